import { Command } from 'commander'
import { z } from 'zod'
import { appraise, parsePolicy, type Appraisal, type AttestationKeyInput } from '../attest/index.ts'
import { fromHex, TouchstoneError } from '../core/index.ts'
import { parsePcrSelection } from '../tpm/index.ts'
import { checkBlocks } from './check-sentence.ts'
import { EXIT } from './failure.ts'
import { readInput, readText } from './files.ts'
import { paint, parseOutputFormat, printObject } from './output.ts'

interface AppraiseOptions {
  readonly policy: string
  readonly ak: string
  readonly ek?: string
  readonly quote: string
  readonly signature: string
  readonly nonce: string
  readonly log: string
  readonly ima?: string
  readonly pcrs?: string
  readonly select?: string
  readonly at?: string
  readonly output?: string
  readonly json?: boolean
}

export function appraiseCommand(finish: (code: number) => void): Command {
  return new Command('appraise')
    .description('Judge files of evidence under a policy. Exit 0 for affirming or warning, 1 otherwise.')
    .requiredOption('--policy <file>', 'an AttestationPolicy')
    .requiredOption(
      '--ak <file>',
      'TPM2B_PUBLIC of the attestation key, taken as enrolled; or a PEM, which shows no attributes',
    )
    .option('--ek <file>', 'TPM2B_PUBLIC of the EK: the quote must then name the AK as its child')
    .requiredOption('--quote <file>', 'TPMS_ATTEST, as tpm2_quote -m writes it')
    .requiredOption('--signature <file>', 'TPMT_SIGNATURE, as tpm2_quote -s writes it')
    .requiredOption('--nonce <hex>', 'the qualifying data that the quote must carry')
    .requiredOption('--log <file>', 'firmware event log')
    .option('--ima <file>', 'IMA log, binary_runtime_measurements')
    .option('--pcrs <file>', 'JSON { bank: { "0": hex } }: believed only when it hashes to the signed digest')
    .option('--select <pcrs>', 'what was asked for, for example sha256:0,1,2,3 (default: spec.pcrs of the policy)')
    .option('--at <time>', 'when the evidence is judged, RFC 3339 (default: now)')
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText(
      'after',
      `
Example:
  touchstone policy learn --from good.bin > policy.yaml
  touchstone appraise --policy policy.yaml --ak ak.pub --quote quote.msg --signature quote.sig \\
    --nonce 00112233445566778899aabbccddeeff --log eventlog.bin --ima ima.bin`,
    )
    .action(async (options: AppraiseOptions) => {
      const format = parseOutputFormat(options)
      requireTime(options.at)
      const { status, vector, checks } = appraise(await readEvidence(options))
      printObject(format, { status, vector, checks }, () => render({ status, vector, checks }))
      finish(status === 'affirming' || status === 'warning' ? EXIT.done : EXIT.no)
    })
}

async function readEvidence(options: AppraiseOptions) {
  const nonce = fromHex(options.nonce)
  if (nonce === undefined || nonce.byteLength === 0) {
    throw new TouchstoneError('usage.arguments', '--nonce is not lower-case hex', {
      hint: 'Give the qualifying data in lower-case hex, an even number of digits.',
    })
  }
  const [ek, imaLog, pcrs] = await Promise.all([
    options.ek === undefined ? undefined : readInput(options.ek),
    options.ima === undefined ? undefined : readInput(options.ima),
    options.pcrs === undefined ? undefined : readClaimedPcrs(options.pcrs),
  ])
  return {
    policy: parsePolicy(await readText(options.policy)),
    ak: keyOf(await readInput(options.ak)),
    enrolment: 'enrolled' as const,
    quote: await readInput(options.quote),
    signature: await readInput(options.signature),
    nonce,
    eventLog: await readInput(options.log),
    ...(ek === undefined ? {} : { ek }),
    ...(imaLog === undefined ? {} : { imaLog }),
    ...(pcrs === undefined ? {} : { pcrs }),
    ...(options.select === undefined ? {} : { selection: parsePcrSelection(options.select) }),
  }
}

function keyOf(bytes: Buffer): AttestationKeyInput {
  return bytes.subarray(0, 5).toString('latin1') === '-----' ? { pem: bytes.toString('utf8') } : { public: bytes }
}

const claimedPcrs = z.record(
  z.string(),
  z.record(z.string().regex(/^\d{1,2}$/), z.string().regex(/^(?:[0-9a-f]{2})+$/)),
)

async function readClaimedPcrs(path: string) {
  try {
    return claimedPcrs.parse(JSON.parse(await readText(path)))
  } catch (cause) {
    if (cause instanceof TouchstoneError) throw cause
    throw new TouchstoneError('usage.file', `${path} is not JSON of the form { "sha256": { "0": "<hex>" } }`, { cause })
  }
}

function requireTime(text: string | undefined): void {
  if (
    text === undefined ||
    (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/.test(text) && !Number.isNaN(Date.parse(text)))
  )
    return
  throw new TouchstoneError('usage.arguments', '--at is not an RFC 3339 time in UTC', {
    hint: 'Write it like 2026-11-22T12:00:00Z.',
  })
}

function render({ status, vector, checks }: Pick<Appraisal, 'status' | 'vector' | 'checks'>): string {
  const colour = status === 'affirming' ? 'green' : status === 'warning' ? 'yellow' : 'red'
  return [
    paint(process.stdout, colour, status),
    Object.entries(vector)
      .map(([claim, value]) => `${claim} ${value}`)
      .join(', '),
    '',
    checkBlocks(process.stdout, checks),
  ].join('\n')
}
