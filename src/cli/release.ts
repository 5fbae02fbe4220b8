import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { Command } from 'commander'
import { z } from 'zod'
import { fromBase64Url, fromHex, TouchstoneError } from '../core/index.ts'
import { checkRelease, parsePcrSelection, pcrDigestOf, signRelease } from '../tpm/index.ts'
import type { PcrSelection } from '../tpm/index.ts'
import { release as releaseShape } from '../wire/index.ts'
import type { Release } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { readText } from './files.ts'
import { parseOutputFormat, print, printable, printObject } from './output.ts'
import { releaseApproveCommand, releaseListCommand } from './release-approve.ts'

interface SignOptions {
  readonly key: string
  readonly passphraseFile?: string
  readonly nodeRef: string
  readonly counterName: string
  readonly pcrs: string
  readonly select: string
  readonly release: string
  readonly description?: string
  readonly out?: string
}

interface ShowOptions {
  readonly key?: string
  readonly output?: string
  readonly json?: boolean
}

export function releaseCommand(finish: (code: number) => void): Command {
  return new Command('release')
    .description('What a node may boot for its secrets to open: signed by the fleet, checked by the TPM itself.')
    .addCommand(releaseApproveCommand(finish))
    .addCommand(releaseListCommand(finish))
    .addCommand(signCommand(finish))
    .addCommand(showCommand(finish))
}

function signCommand(finish: (code: number) => void): Command {
  return new Command('sign')
    .description('Sign a release where the release key is; needs no network.')
    .requiredOption('--key <file>', 'the release key: P-256, private, PEM')
    .option('--passphrase-file <file>', 'opens it where it is encrypted')
    .requiredOption('--node-ref <hex>', 'reference of the node')
    .requiredOption('--counter-name <hex>', 'Name of its release counter')
    .requiredOption('--pcrs <file>', 'JSON: values by bank and register, or the answer of touchstone log show --json')
    .option('--select <pcrs>', 'the registers that count', 'sha256:0,2,4,7')
    .requiredOption('--release <number>', "at least the value of the node's release counter; older ones are over then")
    .option('--description <text>', 'for people; not signed')
    .option('--out <file>', 'where to (default: standard output)')
    .addHelpText(
      'after',
      `
Make a release key once, offline; nodes are configured with its public half:
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out release.pem

Example:
  touchstone log show update.eventlog --json > update.json
  touchstone release sign --key release.pem --node-ref 5d0c… --counter-name 000b… --pcrs update.json \\
    --release 7 --description 'EVE 13.4' --out 7.json`,
    )
    .action(async (options: SignOptions) => {
      const key = await readPrivateKey(options)
      const pcrs = parsePcrSelection(options.select)
      const terms = {
        nodeRef: hexOption('--node-ref', options.nodeRef, 32),
        counterName: hexOption('--counter-name', options.counterName, 34),
        release: numberOption(options.release),
        pcrs,
        pcrDigest: pcrDigestOf('sha256', await readRegisters(options.pcrs, pcrs)),
      }
      const signer = {
        publicKey: createPublicKey(key).export({ type: 'spki', format: 'der' }),
        sign: (message: Buffer) => sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' }),
      }
      const text = `${JSON.stringify(await signRelease(terms, signer, options.description), undefined, 2)}\n`
      if (options.out === undefined) print(text)
      else await writeOutput(options.out, text)
      finish(EXIT.done)
    })
}

function showCommand(finish: (code: number) => void): Command {
  return new Command('show')
    .description('Show a release, and check its signature.')
    .argument('<file>', 'a release')
    .option('--key <file>', 'the public release key that it must be signed with, PEM')
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText('after', '\nExample:\n  touchstone release show 7.json --key release.pub.pem')
    .action(async (file: string, options: ShowOptions) => {
      const format = parseOutputFormat(options)
      const release = await readRelease(file)
      const own = fromBase64Url(release.publicKey) ?? Buffer.alloc(0)
      checkRelease(release, options.key === undefined ? own : await readPublicKey(options.key))
      printObject(format, release, () => describe(release))
      finish(EXIT.done)
    })
}

function describe(release: Release): string {
  const row = (title: string, value: string) => `${title.padEnd(18)}${printable(value)}`
  return [
    row('Release', release.release.toString()),
    ...(release.description === undefined ? [] : [row('Description', release.description)]),
    row('Registers', release.pcrs),
    row('PCR digest', release.pcrDigest),
    row('Node reference', release.nodeRef),
    row('Counter', release.counter),
    row('Policy', release.policy),
    row('Release key', release.publicKey),
    row('Signature', 'good'),
  ].join('\n')
}

async function readRelease(file: string): Promise<Release> {
  const parsed = releaseShape.safeParse(parseJson(file, await readText(file)))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new TouchstoneError('release.malformed', `${file}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`)
}

const registers = z.record(z.string(), z.record(z.string(), z.string()))
const logShow = z.object({ pcrs: registers })

/** The values of the selected registers, in order; a register that the file does not have is a fault. */
async function readRegisters(file: string, selection: PcrSelection): Promise<readonly Buffer[]> {
  const json = parseJson(file, await readText(file))
  const shown = logShow.safeParse(json)
  const values = shown.success ? shown.data.pcrs : registers.safeParse(json).data
  return selection.flatMap(({ hash, pcrs }) =>
    pcrs.map((pcr) => {
      const value = fromHex(values?.[hash]?.[pcr.toString()] ?? '')
      if (value !== undefined && value.byteLength > 0) return value
      throw new TouchstoneError('usage.file', `${file} has no value of register ${pcr} in bank ${hash}`, {
        hint: 'Name other registers with --select, or give { "sha256": { "0": "<hex>" } } with all of them.',
      })
    }),
  )
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new TouchstoneError('usage.file', `${file} is not JSON`, { cause })
  }
}

async function readPrivateKey({ key: file, passphraseFile }: SignOptions): Promise<KeyObject> {
  const pem = await readText(file)
  const passphrase = passphraseFile === undefined ? undefined : (await readText(passphraseFile)).trim()
  try {
    return createPrivateKey({ key: pem, format: 'pem', ...(passphrase === undefined ? {} : { passphrase }) })
  } catch (cause) {
    throw new TouchstoneError('usage.file', `${file} holds no private key that can be read`, {
      cause,
      hint: 'Give a P-256 key in PEM, and --passphrase-file where it is encrypted.',
    })
  }
}

async function readPublicKey(file: string): Promise<Buffer> {
  try {
    return createPublicKey(await readText(file)).export({ type: 'spki', format: 'der' })
  } catch (cause) {
    if (cause instanceof TouchstoneError) throw cause
    throw new TouchstoneError('usage.file', `${file} holds no public key that can be read`, { cause })
  }
}

async function writeOutput(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text)
  } catch (cause) {
    throw new TouchstoneError('usage.file', `cannot write ${file}`, { cause })
  }
}

function hexOption(option: string, text: string, size: number): Buffer {
  const bytes = fromHex(text)
  if (bytes?.byteLength === size) return bytes
  throw new TouchstoneError('usage.arguments', `${option} is not ${size} bytes in lower-case hex`)
}

function numberOption(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw new TouchstoneError('usage.arguments', `--release ${text} is not a number from 1`)
}
