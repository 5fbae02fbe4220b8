import { Command, Option } from 'commander'
import { KEY_KINDS, KEY_LIMITS, type KeyDetail, type KeyKind, type KeySummary } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import {
  formatOption,
  hexBytes,
  keysClient,
  type OutputOptions,
  SOCKET,
  type SocketOptions,
  VERSION,
  wholeNumber,
  writeAs,
} from './key-io.ts'
import { keyUseCommands } from './key-use.ts'
import { type Column, parseOutputFormat, print, printable, printJson, printObject, printRows } from './output.ts'
import { TouchstoneError } from '../core/index.ts'

const OUTPUT = ['-o, --output <format>', 'json, yaml or wide'] as const
const JSON_OPTION = ['--json', 'the same as -o json'] as const

type Options = SocketOptions & OutputOptions

export function keyCommand(finish: (code: number) => void): Command {
  const command = new Command('key')
    .description("An app's named keys in the TPM of this node, through its tenant's socket.")
    .addHelpText(
      'after',
      `
Examples:
  export TOUCHSTONE_KEYS=/run/touchstone/t/shop/keys.sock
  touchstone key create orders --kind ecdsa-p256
  touchstone key token orders --claims '{"sub":"order 17"}' --expires-in 300
  touchstone key seal database-password < password
  touchstone key unseal database-password

Keys never leave the TPM. Secrets come by standard input and go to standard output, never through an argument.`,
    )
  for (const make of [
    createCommand,
    listCommand,
    showCommand,
    rotateCommand,
    deleteCommand,
    certificateCommand,
    attestCommand,
    jwksCommand,
    randomCommand,
    ...keyUseCommands,
  ]) {
    command.addCommand(make(finish))
  }
  return command
}

interface CreateOptions extends Options {
  readonly kind: KeyKind
  readonly use?: readonly ('sign' | 'decrypt')[]
  readonly size?: string
  readonly pcrs?: string
}

function createCommand(finish: (code: number) => void): Command {
  return new Command('create')
    .description('Make a key. The same again answers the key that there is.')
    .argument('<name>', 'lower-case letters, digits, dots, underscores and hyphens')
    .addOption(new Option('--kind <kind>', 'what it is').choices(KEY_KINDS).default('ecdsa-p256'))
    .addOption(new Option('--use <use...>', 'of rsa-2048: what it is for').choices(['sign', 'decrypt']))
    .option('--size <bytes>', 'of a secret that the TPM makes: 32 bytes where it does not say')
    .option('--pcrs <registers>', 'of a secret: it comes back only while these are as now, for example sha256:7,14')
    .option(...SOCKET)
    .option(...OUTPUT)
    .option(...JSON_OPTION)
    .action(async (name: string, options: CreateOptions) => {
      const size = wholeNumber(options.size, '--size')
      const client = await keysClient(options)
      const detail = await client.create(name, {
        kind: options.kind,
        ...(options.use === undefined ? {} : { uses: [...options.use] }),
        ...(size === undefined ? {} : { size }),
        ...(options.pcrs === undefined ? {} : { pcrs: options.pcrs }),
      })
      show(options, detail)
      finish(EXIT.done)
    })
}

const COLUMNS: readonly Column<KeySummary>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'KIND', value: (key) => (key.state === 'damaged' ? `damaged (${key.code})` : key.kind) },
  { title: 'USES', value: (key) => (key.state === 'damaged' ? '' : key.uses.join(',')) },
  { title: 'VERSION', value: (key) => (key.state === 'damaged' ? '' : String(key.current)) },
  { title: 'CREATED', value: (key) => (key.state === 'damaged' ? '' : key.created) },
  { title: 'KID', value: (key) => (key.state === 'damaged' ? '' : key.kid), wide: true },
]

function listCommand(finish: (code: number) => void): Command {
  return new Command('list')
    .description("This tenant's keys by name.")
    .option(...SOCKET)
    .option(...OUTPUT)
    .option(...JSON_OPTION)
    .action(async (options: Options) => {
      const list = await (await keysClient(options)).list()
      const none = 'no keys yet; make one with: touchstone key create NAME'
      printRows(parseOutputFormat(options), list.items, COLUMNS, none, list)
      finish(EXIT.done)
    })
}

function showCommand(finish: (code: number) => void): Command {
  return new Command('show')
    .description('A key with its versions and public keys.')
    .argument('<name>', 'of the key')
    .option('--pem', 'the public key of the newest version alone')
    .option('--certificate', 'the certificate of the newest version and those above it, PEM')
    .option(...SOCKET)
    .option(...OUTPUT)
    .option(...JSON_OPTION)
    .action(async (name: string, options: Options & { pem?: boolean; certificate?: boolean }) => {
      const detail = await (await keysClient(options)).get(name)
      const newest = detail.versions.at(-1)
      if (options.pem === true) print(need(newest?.publicKey?.pem, `${name} has no public key`))
      else if (options.certificate === true) {
        print(need(newest?.certificate, `${name} has no certificate; see touchstone key certificate`).join(''))
      } else show(options, detail)
      finish(EXIT.done)
    })
}

function need<T>(value: T | undefined, otherwise: string): T {
  if (value === undefined) throw new TouchstoneError('key.use', otherwise)
  return value
}

function rotateCommand(finish: (code: number) => void): Command {
  return new Command('rotate')
    .description('Make a new version, which signs from then on; older ones stay until they are deleted.')
    .argument('<name>', 'of the key')
    .option(...SOCKET)
    .option(...OUTPUT)
    .option(...JSON_OPTION)
    .action(async (name: string, options: Options) => {
      show(options, await (await keysClient(options)).rotate(name))
      finish(EXIT.done)
    })
}

function deleteCommand(finish: (code: number) => void): Command {
  return new Command('delete')
    .description('Delete one version, or the key with all of them. What it sealed is lost with it.')
    .argument('<name>', 'of the key')
    .option(VERSION[0], 'this version alone')
    .option(...SOCKET)
    .option(...JSON_OPTION)
    .action(async (name: string, options: Options & { keyVersion?: string }) => {
      const version = wholeNumber(options.keyVersion, '--key-version')
      const left = await (await keysClient(options)).remove(name, version)
      if (options.json === true) printJson({ left })
      else print(left === 0 ? `deleted ${name}` : `deleted version ${String(version)} of ${name}; ${left} left`)
      finish(EXIT.done)
    })
}

function certificateCommand(finish: (code: number) => void): Command {
  return new Command('certificate')
    .description('Obtain a certificate for the newest version through the evidence of this node, and print the chain.')
    .argument('<name>', 'of the key')
    .option(...SOCKET)
    .action(async (name: string, options: SocketOptions) => {
      print((await (await keysClient(options)).certificate(name)).join(''))
      finish(EXIT.done)
    })
}

function attestCommand(finish: (code: number) => void): Command {
  return new Command('attest')
    .description("Have this node's attestation key say that the key is in its TPM and cannot leave it; JSON.")
    .argument('<name>', 'of the key')
    .requiredOption('--nonce <hex>', 'from whoever is to be convinced: 8 to 64 bytes')
    .option(...VERSION)
    .option(...SOCKET)
    .action(async (name: string, options: SocketOptions & { nonce: string; keyVersion?: string }) => {
      const nonce = hexBytes(options.nonce, '--nonce')
      const version = wholeNumber(options.keyVersion, '--key-version')
      const { statement, signature, publicArea, akPublic, nodeId, ...rest } = await (
        await keysClient(options)
      ).attest(name, nonce, version)
      const bytes = { statement, signature, publicArea, akPublic }
      const encoded = Object.entries(bytes).map(([field, value]) => [field, value.toString('base64url')] as const)
      printJson({ ...rest, ...(nodeId === undefined ? {} : { nodeId }), ...Object.fromEntries(encoded) })
      finish(EXIT.done)
    })
}

function jwksCommand(finish: (code: number) => void): Command {
  return new Command('jwks')
    .description('Public keys of all versions as a JWKS (RFC 7517), for whoever verifies what this tenant signs.')
    .option(...SOCKET)
    .action(async (options: SocketOptions) => {
      printJson(await (await keysClient(options)).jwks())
      finish(EXIT.done)
    })
}

function randomCommand(finish: (code: number) => void): Command {
  return new Command('random')
    .description("Random bytes of the TPM's generator.")
    .argument('<bytes>', `how many, at most ${KEY_LIMITS.random}`)
    .addOption(formatOption(['hex', 'base64url', 'raw'], 'hex'))
    .option(...SOCKET)
    .action(async (bytes: string, options: SocketOptions & { format: string }) => {
      const size = wholeNumber(bytes, 'the number of bytes') ?? 1
      await writeAs(options.format, undefined, await (await keysClient(options)).random(size))
      finish(EXIT.done)
    })
}

function show(options: Options, detail: KeyDetail): void {
  printObject(parseOutputFormat(options), detail, () => describe(detail))
}

function describe({ name, kind, uses, algorithm, versions }: KeyDetail): string {
  const row = (title: string, value: string | undefined) =>
    value === undefined ? [] : [`${title.padEnd(10)}${printable(value)}`]
  return [
    ...row('key', name),
    ...row('kind', kind),
    ...row('uses', uses.join(', ')),
    ...row('algorithm', algorithm),
    ...versions.flatMap(({ version, kid, created, certificate, size, pcrs }) => [
      ...row('version', `${version}, ${created}`),
      ...row('  kid', kid),
      ...row('  size', size === undefined ? undefined : `${size} bytes`),
      ...row('  pcrs', pcrs),
      ...row('  certificate', certificate === undefined ? undefined : ' yes'),
    ]),
  ].join('\n')
}
