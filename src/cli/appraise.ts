import { Command } from 'commander'
import { z } from 'zod'
import {
  appraise,
  explainVerdict,
  parsePolicy,
  type AppraisalInput,
  type AttestationKeyInput,
} from '../attest/index.ts'
import { fromHex, TouchstoneError } from '../core/index.ts'
import { parseEventLog } from '../eventlog/index.ts'
import { parsePcrSelection } from '../tpm/index.ts'
import { EXIT } from './failure.ts'
import { readInput, readText } from './files.ts'
import { collectLabels } from './label-options.ts'
import { streamedFile } from './streamed-file.ts'
import { parseOutputFormat, printObject } from './output.ts'
import { renderVerdict } from './verdict-render.ts'

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
  readonly baseline?: string
  readonly select?: string
  readonly at?: string
  readonly node?: string
  readonly label?: Readonly<Record<string, string>>
  readonly output?: string
  readonly json?: boolean
}

export function appraiseCommand(finish: (code: number) => void): Command {
  return new Command('appraise')
    .description('Judge files of evidence under a policy. Exit 0 for affirming or warning, 1 otherwise.')
    .requiredOption('--policy <file>', 'an AttestationPolicy, with the reference sets and exceptions of its text')
    .requiredOption(
      '--ak <file>',
      'TPM2B_PUBLIC of the attestation key, taken as enrolled; or a PEM, which shows no attributes',
    )
    .option('--ek <file>', 'TPM2B_PUBLIC of the EK: the quote must then name the AK as its child')
    .requiredOption('--quote <file>', 'TPMS_ATTEST, as tpm2_quote -m writes it')
    .requiredOption('--signature <file>', 'TPMT_SIGNATURE, as tpm2_quote -s writes it')
    .requiredOption('--nonce <hex>', 'the qualifying data that the quote must carry')
    .requiredOption('--log <file>', 'firmware event log')
    .option('--ima <file>', 'IMA log, binary_runtime_measurements or ascii_runtime_measurements; of any length')
    .option('--pcrs <file>', 'JSON { bank: { "0": hex } }: believed only when it hashes to the signed digest')
    .option('--baseline <file>', 'event log of a boot that was good: says what changed since, and the likely cause')
    .option('--select <pcrs>', 'what was asked for, for example sha256:0,1,2,3 (default: spec.pcrs of the policy)')
    .option('--at <time>', 'when the evidence is judged, RFC 3339 (default: now)')
    .option('--node <id>', 'the id of the node, for canary references and exceptions')
    .option('--label <name=value>', 'a label of the node, for the same and for rules; may be repeated', collectLabels)
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText(
      'after',
      `
Example:
  touchstone policy learn --from good.bin > policy.yaml
  touchstone appraise --policy policy.yaml --ak ak.pub --quote quote.msg --signature quote.sig \\
    --nonce 00112233445566778899aabbccddeeff --log eventlog.bin --ima ima.bin --baseline good.bin`,
    )
    .action(async (options: AppraiseOptions) => {
      const format = parseOutputFormat(options)
      const now = timeOf(options.at)
      const evidence = { ...(await readEvidence(options)), ...nodeOf(options), now }
      const baseline = options.baseline === undefined ? undefined : await readBaseline(options.baseline)
      const { status, vector, checks } = appraise(evidence)
      const { policy, selection = policy.pcrs, eventLog } = evidence
      const [judged = policy.judged] = selection
      const explanation = explainVerdict({
        checks,
        before: baseline && { eventLog: baseline },
        now: { eventLog },
        bank: judged.hash,
        quoted: judged.pcrs,
        references: policy.references,
        circumstances: { now, node: evidence.node },
      })
      // Without a baseline the answer is the verdict alone, as scripts know it.
      const answer = { status, vector, checks, ...(baseline === undefined ? {} : explanation) }
      printObject(format, answer, () =>
        renderVerdict({
          status,
          vector,
          checks,
          explanation,
          comparedWith: 'the baseline',
          compareHint: 'Give the log of a good boot: --baseline good.bin.',
        }),
      )
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
    options.ima === undefined ? undefined : streamedFile(options.ima),
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

/** A baseline that cannot be read is a mistake of whoever gave it, and no matter of the verdict. */
async function readBaseline(path: string): Promise<Buffer> {
  const bytes = await readInput(path)
  try {
    parseEventLog(bytes)
  } catch (error) {
    if (!(error instanceof TouchstoneError)) throw error
    throw new TouchstoneError(error.code, `${path}: ${error.message}`, { cause: error.cause, hint: error.hint })
  }
  return bytes
}

/** What is said of the node: of one that nobody says anything of, canaries and exceptions cannot be judged. */
function nodeOf({ node, label }: AppraiseOptions): Pick<AppraisalInput, 'node'> {
  if (node === undefined && label === undefined) return {}
  return { node: { labels: label ?? {}, ...(node === undefined ? {} : { nodeId: node }) } }
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

/** In milliseconds; of `undefined`, this moment. */
function timeOf(text: string | undefined): number {
  if (text === undefined) return Date.now()
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/.test(text) && !Number.isNaN(Date.parse(text)))
    return Date.parse(text)
  throw new TouchstoneError('usage.arguments', '--at is not an RFC 3339 time in UTC', {
    hint: 'Write it like 2026-11-22T12:00:00Z.',
  })
}
