import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { decode, encode } from '../../src/codec/index.ts'
import { parsePcrSelection, TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import { softwareTpm } from '../../scripts/stage/software-quote.ts'
import { installed } from './installed.ts'

/**
 * `scripts/node bench/peers/tpm2-tools.ts`: what tpm2_checkquote and tpm2_eventlog answer to evidence, what Touchstone
 * answers to the same files, and how long each takes as a command. docs/comparison.md has the outcome, and its limits.
 */

const root = join(import.meta.dirname, '..', '..')
const touchstone = join(root, 'bin', 'touchstone')
const checkquote = installed('tpm2_checkquote', 'tpm2-tools')
const eventlog = installed('tpm2_eventlog', 'tpm2-tools')
const NONCE = '00112233445566778899aabbccddeeff'
const ROUNDS = 11
const PATIENCE_MS = 60_000

interface Evidence {
  readonly ak: string
  readonly ek?: string
  readonly quote: string
  readonly signature: string
  readonly nonce: string
  readonly log: string
  readonly ima?: string
  /** PCR values beside the quote, and what they are said to be values of. */
  readonly pcrs?: readonly [file: string, selection: string]
}

interface Answer {
  readonly code: number
  readonly stdout: string
  readonly milliseconds: number
}

function run(program: string, args: readonly string[]): Promise<Answer> {
  const started = performance.now()
  return new Promise((resolve) => {
    execFile(program, args, { maxBuffer: 64 << 20, timeout: PATIENCE_MS }, (error, stdout) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 139
      resolve({ code, stdout, milliseconds: performance.now() - started })
    })
  })
}

function askTools({ ak, quote, signature, nonce, pcrs }: Evidence): Promise<Answer> {
  const values = pcrs === undefined ? [] : ['-f', pcrs[0], '-l', pcrs[1]]
  return run(checkquote, ['-u', ak, '-m', quote, '-s', signature, '-q', nonce, '-g', 'sha256', ...values])
}

function askTouchstone(policy: string, { ak, ek, quote, signature, nonce, log, ima }: Evidence): Promise<Answer> {
  const files = [...(ek === undefined ? [] : ['--ek', ek]), ...(ima === undefined ? [] : ['--ima', ima])]
  return run(touchstone, [
    ...['appraise', '--json', '--policy', policy, '--ak', ak, '--quote', quote, '--signature', signature],
    ...['--nonce', nonce, '--log', log, ...files],
  ])
}

/** `contraindicated: quote.nonce` */
function verdictOf({ stdout }: Answer): string {
  const answer: unknown = JSON.parse(stdout)
  if (typeof answer !== 'object' || answer === null) return 'no answer'
  if ('code' in answer) return `refused: ${String(answer.code)}`
  const [first] = 'checks' in answer && Array.isArray(answer.checks) ? answer.checks.filter(isFailed) : []
  const status = 'status' in answer ? String(answer.status) : 'no status'
  return first === undefined ? status : `${status}: ${first.claim ?? first.check}`
}

function isFailed(check: unknown): check is { check: string; claim?: string } {
  return typeof check === 'object' && check !== null && 'outcome' in check && check.outcome !== 'pass'
}

/** Recorded boots and their quotes, and what an intruder makes of them. */
async function cases(directory: string): Promise<readonly (readonly [name: string, evidence: Evidence])[]> {
  const examples = join(root, 'policies', 'examples')
  const boots = join(root, 'swtpm', 'boots')
  const of = (boot: string): Evidence => ({
    ak: join(examples, 'ak.pub'),
    ek: join(examples, 'ek.pub'),
    quote: join(examples, boot, 'quote.msg'),
    signature: join(examples, boot, 'quote.sig'),
    nonce: NONCE,
    log: join(boots, boot, 'eventlog.bin'),
    ima: join(boots, boot, 'ima.bin'),
  })
  const honest = of('honest')
  const file = async (name: string, bytes: Uint8Array) => {
    await writeFile(join(directory, name), bytes)
    return join(directory, name)
  }
  const flipped = async (name: string, path: string, at: number) => {
    const bytes = await readFile(path)
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
    return file(name, bytes)
  }

  const ak = decode('TPM2B_PUBLIC', TPM2B_PUBLIC, await readFile(honest.ak))
  const otherAk = { ...ak, objectAttributes: { ...ak.objectAttributes, noDA: !ak.objectAttributes.noDA } }
  const log = await readFile(honest.log)
  const edited = Buffer.from(log)
  for (let at = log.indexOf('lockdown=integrity'); at >= 0; at = log.indexOf('lockdown=integrity', at + 1)) {
    edited.write('lockdown=innocent!', at, 'latin1')
  }

  // Nobody has a TPM that signs these; a key in software does, and so does any AK that is not restricted.
  const tpm = softwareTpm('ecdsa')
  const loose = {
    ak: await file('soft-ak.pub', tpm.akBytes),
    ek: await file('soft-ek.pub', tpm.ekBytes),
    nonce: NONCE,
    log: honest.log,
  }
  const value = Buffer.alloc(32, 7)
  const sixteen = tpm.quote({
    nonce: Buffer.from(NONCE, 'hex'),
    selection: parsePcrSelection('sha256:16'),
    register: () => value,
  })
  const magic = Buffer.from(sixteen.quote)
  magic.writeUInt32BE(0, 0)
  const signedWithout = tpm.sign(magic)
  const certified = tpm.sign(nvCertified(sixteen.quote))
  return [
    ['an honest boot', honest],
    ['another nonce', { ...honest, nonce: NONCE.replace('00', '01') }],
    ['a bit of the quote is flipped', { ...honest, quote: await flipped('flipped.msg', honest.quote, 60) }],
    ['an attribute of the AK is flipped', { ...honest, ak: await file('ak.pub', encode(TPM2B_PUBLIC, otherAk)) }],
    ['another kernel command line', of('cmdline')],
    ['the same, with the log of the honest boot', { ...of('cmdline'), log: honest.log, ima: honest.ima ?? '' }],
    ['Secure Boot off', of('secureboot-off')],
    ['the log’s command line edited, its digest left', { ...honest, log: await file('edited.bin', edited) }],
    [
      'PCR 16 quoted, said to be PCR 10',
      { ...loose, ...(await written('p16', sixteen)), pcrs: [await file('p16.values', value), 'sha256:10'] },
    ],
    ['not made by a TPM (another magic)', { ...loose, ...(await written('magic', signedWithout)) }],
    ['no quote: what an NV index holds, certified', { ...loose, ...(await written('nv', certified)) }],
  ]

  async function written(name: string, { quote, signature }: { readonly quote: Buffer; readonly signature: Buffer }) {
    return { quote: await file(`${name}.msg`, quote), signature: await file(`${name}.sig`, signature) }
  }
}

/** Of a quote of one register: a selection of one bank, then the digest, each behind its size. */
const QUOTED_BYTES = 4 + 2 + 1 + 3 + 2 + 32
/** TPMS_NV_CERTIFY_INFO: a Name, an offset, and what its owner wrote, here one byte. */
const NV_CERTIFY_INFO = Buffer.concat([Buffer.from([0, 34, 0, 11]), Buffer.alloc(32, 9), Buffer.from([0, 0, 0, 1, 5])])
const ATTEST_NV = 0x8014

/** TPMS_ATTEST of TPM2_NV_Certify (Part 2, 10.12.12), with the head of a quote. */
function nvCertified(quote: Buffer): Buffer {
  const bytes = Buffer.concat([quote.subarray(0, quote.length - QUOTED_BYTES), NV_CERTIFY_INFO])
  bytes.writeUInt16BE(ATTEST_NV, 4)
  return bytes
}

function median(samples: readonly number[]): string {
  const sorted = [...samples].sort((a, b) => a - b)
  return (sorted[sorted.length >> 1] ?? 0).toFixed(0)
}

function print(...cells: readonly string[]): void {
  const widths = [48, 16, 0]
  process.stdout.write(`${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' ')}\n`)
}

const directory = await mkdtemp(join(tmpdir(), 'ts-'))
try {
  const policy = join(directory, 'policy.yaml')
  const learned = await run(touchstone, ['policy', 'learn', '--from', join(root, 'swtpm/boots/honest/eventlog.bin')])
  await writeFile(policy, learned.stdout)

  print('EVIDENCE', 'tpm2_checkquote', 'touchstone appraise')
  for (const [name, evidence] of await cases(directory)) {
    const [tools, ours] = [await askTools(evidence), await askTouchstone(policy, evidence)]
    print(name, tools.code === 0 ? 'accepts' : 'refuses', verdictOf(ours))
  }

  const [[, honest] = ['', undefined]] = await cases(directory)
  if (honest === undefined) throw new Error('there is no honest evidence')
  const times: Record<'checkquote' | 'eventlog' | 'appraise', number[]> = { checkquote: [], eventlog: [], appraise: [] }
  for (let round = 0; round < ROUNDS; round += 1) {
    times.checkquote.push((await askTools(honest)).milliseconds)
    times.eventlog.push((await run(eventlog, [honest.log])).milliseconds)
    times.appraise.push((await askTouchstone(policy, honest)).milliseconds)
  }
  print('')
  print('MILLISECONDS, AS COMMANDS (medians, in turn)')
  for (const [name, samples] of Object.entries(times)) print(name, median(samples))

  const logs = globSync(join(root, '..', 'shared', 'data', 'eventlogs', '*.bin')).sort()
  if (logs.length === 0) process.stderr.write('note: ../shared/data is not there, so no other logs are read\n')
  else {
    print('')
    print('EVENT LOG', 'tpm2_eventlog', 'touchstone log show')
    for (const log of logs) {
      const [tools, ours] = [await run(eventlog, [log]), await run(touchstone, ['log', 'show', log, '--json'])]
      print(basename(log), outcome(tools), outcome(ours))
    }
  }
} finally {
  await rm(directory, { recursive: true })
}

function outcome({ code }: Answer): string {
  return code === 0 ? 'reads' : code === 139 ? 'crashes' : 'refuses'
}
