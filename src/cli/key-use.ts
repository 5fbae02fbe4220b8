import { Command } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import { KEY_LIMITS } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { agreeCommand } from './key-agree.ts'
import {
  formatOption,
  hexBytes,
  jsonObject,
  keysClient,
  readBytes,
  signatureBytes,
  SOCKET,
  type SocketOptions,
  VERSION,
  wholeNumber,
  writeAs,
  writeBytes,
} from './key-io.ts'
import { print, printJson } from './output.ts'

const IN = ['--in <file>', 'reads this file instead of standard input'] as const
const OUT = ['--out <file>', 'writes this file, mode 0600, instead of standard output'] as const
const SIGNATURE_FORMATS = ['base64url', 'hex', 'raw', 'der'] as const

interface InOut extends SocketOptions {
  readonly in?: string
  readonly out?: string
}

/** What an app does with its keys. */
export const keyUseCommands: readonly ((finish: (code: number) => void) => Command)[] = [
  signCommand,
  verifyCommand,
  tokenCommand,
  decryptCommand,
  agreeCommand,
  sealCommand,
  unsealCommand,
]

function signCommand(finish: (code: number) => void): Command {
  return new Command('sign')
    .description('Sign a message with the newest version, by the algorithm of the key.')
    .argument('<name>', 'of the key')
    .option(...IN)
    .option('--digest <hex>', 'sign this digest instead of a message')
    .option(...OUT)
    .addOption(formatOption(SIGNATURE_FORMATS, 'base64url'))
    .option(...SOCKET)
    .addHelpText(
      'after',
      '\nWith --format der an ECDSA signature is as OpenSSL has it; in all other formats as a JWS has it.',
    )
    .action(async (name: string, options: InOut & { digest?: string; format: string }) => {
      const client = await keysClient(options)
      const what =
        options.digest === undefined
          ? { message: await readBytes(options.in, KEY_LIMITS.message) }
          : { digest: hexBytes(options.digest, '--digest') }
      const { signature, der } = await client.sign(name, what)
      await writeAs(options.format, options.out, options.format === 'der' ? (der ?? signature) : signature)
      finish(EXIT.done)
    })
}

function verifyCommand(finish: (code: number) => void): Command {
  return new Command('verify')
    .description('Whether any version of the key made a signature. Exit 1 when none did.')
    .argument('<name>', 'of the key')
    .option(...IN)
    .requiredOption('--signature <file>', 'as sign wrote it')
    .addOption(formatOption(SIGNATURE_FORMATS, 'base64url'))
    .option(...SOCKET)
    .option('--json', 'the answer as JSON')
    .action(async (name: string, options: InOut & { signature: string; format: string; json?: boolean }) => {
      const client = await keysClient(options)
      const message = await readBytes(options.in, KEY_LIMITS.message)
      const signature = signatureBytes(await readBytes(options.signature, 4096), options.format)
      const encoding = options.format === 'der' ? 'der' : 'raw'
      const version = await client.verify(name, message, signature, encoding)
      if (options.json === true) printJson({ valid: version !== undefined, version })
      else print(version === undefined ? `not signed by ${name}` : `signed by ${name}, version ${version}`)
      finish(version === undefined ? EXIT.no : EXIT.done)
    })
}

interface TokenOptions extends SocketOptions {
  readonly claims?: string
  readonly in?: string
  readonly expiresIn?: string
  readonly header?: string
  readonly certificate?: boolean
}

function tokenCommand(finish: (code: number) => void): Command {
  return new Command('token')
    .description('Sign claims as a JWT, or any bytes as a JWS, and print it.')
    .argument('<name>', 'of the key')
    .option('--claims <json>', 'an object')
    .option('--in <file>', 'a payload instead of claims; - for standard input')
    .option('--expires-in <seconds>', 'sets iat and exp')
    .option('--header <json>', 'further header parameters; alg and kid are those of the key')
    .option('--certificate', "puts the key's certificates into the header (x5c)")
    .option(...SOCKET)
    .action(async (name: string, options: TokenOptions) => {
      if ((options.claims === undefined) === (options.in === undefined)) {
        throw new TouchstoneError('usage.arguments', 'give --claims or --in, and not both')
      }
      const client = await keysClient(options)
      const expiresIn = wholeNumber(options.expiresIn, '--expires-in')
      const payload = options.in === undefined ? undefined : await readBytes(options.in, KEY_LIMITS.payload)
      const jws = await client.token(name, {
        ...(options.claims === undefined ? {} : { claims: jsonObject(options.claims, '--claims') }),
        ...(payload === undefined ? {} : { payload }),
        ...(options.header === undefined ? {} : { header: jsonObject(options.header, '--header') }),
        ...(expiresIn === undefined ? {} : { expiresIn }),
        certificate: options.certificate === true,
      })
      print(jws)
      finish(EXIT.done)
    })
}

function decryptCommand(finish: (code: number) => void): Command {
  return new Command('decrypt')
    .description('Decrypt RSA-OAEP with SHA-256.')
    .argument('<name>', 'of the key')
    .option(...IN)
    .option(...OUT)
    .option(...VERSION)
    .option(...SOCKET)
    .addHelpText(
      'after',
      `
Example:
  touchstone key show inbox --pem > inbox.pem
  openssl pkeyutl -encrypt -pubin -inkey inbox.pem -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 \\
    -in letter | touchstone key decrypt inbox`,
    )
    .action(async (name: string, options: InOut & { keyVersion?: string }) => {
      const version = wholeNumber(options.keyVersion, '--key-version')
      const client = await keysClient(options)
      const ciphertext = await readBytes(options.in, KEY_LIMITS.message)
      await writeBytes(options.out, await client.decrypt(name, ciphertext, version))
      finish(EXIT.done)
    })
}

function sealCommand(finish: (code: number) => void): Command {
  return new Command('seal')
    .description('Keep bytes as the newest version of a secret, making the secret where there is none.')
    .argument('<name>', 'of the secret')
    .option(...IN)
    .option('--pcrs <registers>', 'it comes back only while these are as now, for example sha256:7,14')
    .option(...SOCKET)
    .action(async (name: string, options: InOut & { pcrs?: string }) => {
      const client = await keysClient(options)
      const secret = await readBytes(options.in, KEY_LIMITS.secret)
      const { current } = await client.seal(name, secret, options.pcrs)
      print(`sealed as version ${current} of ${name}`)
      finish(EXIT.done)
    })
}

function unsealCommand(finish: (code: number) => void): Command {
  return new Command('unseal')
    .description('Print a secret, if the registers that it is bound to are what they were.')
    .argument('<name>', 'of the secret')
    .option(...OUT)
    .option(...VERSION)
    .option(...SOCKET)
    .action(async (name: string, options: InOut & { keyVersion?: string }) => {
      const version = wholeNumber(options.keyVersion, '--key-version')
      const client = await keysClient(options)
      await writeBytes(options.out, await client.unseal(name, version))
      finish(EXIT.done)
    })
}
