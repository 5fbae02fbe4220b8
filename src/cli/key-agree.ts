import { createPublicKey } from 'node:crypto'
import { Command } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import { KEY_LIMITS } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { readInput } from './files.ts'
import {
  formatOption,
  hexBytes,
  keysClient,
  SOCKET,
  type SocketOptions,
  VERSION,
  wholeNumber,
  writeAs,
} from './key-io.ts'

interface AgreeOptions extends SocketOptions {
  readonly peer: string
  readonly info?: string
  readonly salt?: string
  readonly size: string
  readonly raw?: boolean
  readonly out?: string
  readonly format: string
  readonly keyVersion?: string
}

const LARGEST_KEY = 4096

export function agreeCommand(finish: (code: number) => void): Command {
  return new Command('agree')
    .description('Agree on a secret with the holder of another key: ECDH in the TPM, then HKDF.')
    .argument('<name>', 'of the key')
    .requiredOption('--peer <file>', "the other side's public key on the same curve, PEM or DER")
    .option('--size <bytes>', `of the secret: 16 to ${KEY_LIMITS.derived}`, '32')
    .option('--info <text>', 'what it is for: another purpose, another secret')
    .option('--salt <hex>', 'of HKDF')
    .option('--raw', 'the coordinate itself instead: no key, but what a protocol with its own derivation begins with')
    .option('--out <file>', 'writes this file, mode 0600, instead of standard output')
    .addOption(formatOption(['raw', 'hex', 'base64url'], 'raw'))
    .option(...VERSION)
    .option(...SOCKET)
    .addHelpText(
      'after',
      `
Both sides derive by RFC 5869 with SHA-256 on P-256, and SHA-384 on P-384. The other side, with OpenSSL:

  touchstone key create meeting --kind ecdh-p256
  touchstone key show meeting --pem > meeting.pem
  openssl pkeyutl -derive -inkey mine.pem -peerkey meeting.pem -out shared
  openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:$(od -An -v -tx1 shared | tr -d ' \\n') -kdfopt info:files -binary HKDF > key
  touchstone key agree meeting --peer mine.pub --info files | cmp - key`,
    )
    .action(async (name: string, options: AgreeOptions) => {
      const { raw = false, info, salt } = options
      if (raw && (info !== undefined || salt !== undefined)) {
        throw new TouchstoneError('usage.arguments', '--info and --salt are of HKDF, which --raw leaves out')
      }
      const size = wholeNumber(options.size, '--size') ?? 32
      const version = wholeNumber(options.keyVersion, '--key-version')
      const peer = publicKeyIn(await readInput(options.peer, LARGEST_KEY), options.peer)
      const how = raw
        ? ({ raw: true } as const)
        : {
            size,
            ...(info === undefined ? {} : { info: Buffer.from(info, 'utf8') }),
            ...(salt === undefined ? {} : { salt: hexBytes(salt, '--salt') }),
          }
      const secret = await (await keysClient(options)).agree(name, peer, how, version)
      await writeAs(options.format, options.out, secret)
      finish(EXIT.done)
    })
}

/** DER SubjectPublicKeyInfo. */
function publicKeyIn(bytes: Buffer, file: string): Buffer {
  try {
    const key = bytes.includes('-----BEGIN')
      ? createPublicKey(bytes)
      : createPublicKey({ key: bytes, format: 'der', type: 'spki' })
    return key.export({ type: 'spki', format: 'der' })
  } catch (cause) {
    throw new TouchstoneError('key.peer', `${file} holds no public key`, { cause })
  }
}
