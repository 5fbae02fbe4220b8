import { Command } from 'commander'
import { z } from 'zod'
import {
  appraise,
  explainVerdict,
  type Appraisal,
  type AppraisalInput,
  type AttestationKeyInput,
  type ReferenceSet,
} from '../attest/index.ts'
import { ekDigestOf } from '../ca/index.ts'
import { fromHex, TouchstoneError } from '../core/index.ts'
import { type ImaSource, parseEventLog } from '../eventlog/index.ts'
import { parsePcrSelection, readPublicArea } from '../tpm/index.ts'
import { readEks } from './ek-file.ts'
import { EXIT } from './failure.ts'
import { inFile, isPem, MAX_DOCUMENT, readInput, readText } from './files.ts'
import { collectLabels } from './label-options.ts'
import { streamedFile } from './streamed-file.ts'
import { parseOutputFormat, printObject } from './output.ts'
import { doubtLines, policyIn, referencesIn } from './policy-faults.ts'
import { renderVerdict } from './verdict-render.ts'

interface AppraiseOptions {
  readonly policy: string
  readonly references?: readonly string[]
  readonly ak: string
  readonly ek?: string
  readonly quote: string
  readonly signature: string
  readonly nonce: string
  readonly log: string
  readonly userspaceLog?: string
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
    .option('--references <file...>', 'reference sets that the policy names and that are not in its text')
    .requiredOption(
      '--ak <file>',
      'TPM2B_PUBLIC of the attestation key, taken as enrolled; or a PEM, which shows no attributes',
    )
    .option(
      '--ek <file>',
      'TPM2B_PUBLIC of the EK, its PEM or its certificate: the quote must then name the AK as its child',
    )
    .requiredOption('--quote <file>', 'TPMS_ATTEST, as tpm2_quote -m writes it')
    .requiredOption('--signature <file>', 'TPMT_SIGNATURE, as tpm2_quote -s writes it')
    .requiredOption('--nonce <hex>', 'the qualifying data that the quote must carry')
    .requiredOption('--log <file>', 'firmware event log')
    .option(
      '--userspace-log <file>',
      "systemd's tpm2-measure.log, which goes on where the firmware's ends (PCR 9, 11, 15)",
    )
    .option('--ima <file>', 'IMA log, binary_runtime_measurements or ascii_runtime_measurements; of any length')
    .option('--pcrs <file>', 'JSON { bank: { "0": hex } }: believed only when it hashes to the signed digest')
    .option('--baseline <file>', 'event log of a boot that was good: says what changed since, and the likely cause')
    .option('--select <pcrs>', 'what was asked for, for example sha256:0,1,2,3 (default: spec.pcrs of the policy)')
    .option('--at <time>', 'when the evidence is judged, RFC 3339 (default: now)')
    .option('--node <id>', 'the id of the node, for exceptions; a percentage of canaries chooses by --ek')
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
      const eks = options.ek === undefined ? [] : await readEks(options.ek)
      const policyText = await readText(options.policy, MAX_DOCUMENT)
      const given = await readEvidence(options, policyText)
      const evidence = { ...given, ...nodeOf(options, eks[0]), now }
      const baseline = options.baseline === undefined ? undefined : await readBaseline(options.baseline)
      const { status, vector, checks } = judge(evidence, eks, options)
      const { policy, selection = policy.pcrs, eventLog, userspaceLog } = evidence
      const [judged = policy.judged] = selection
      const explanation = explainVerdict({
        checks,
        before: baseline && { eventLog: baseline },
        now: { eventLog, userspaceLog },
        bank: judged.hash,
        quoted: judged.pcrs,
        references: [...policy.references, ...evidence.references],
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
      if (checks.some(({ code }) => code !== undefined && OF_POLICY.includes(code))) {
        const names = evidence.references.map(({ name }) => name)
        for (const line of doubtLines(options.policy, policyText, names)) process.stderr.write(`${line}\n`)
      }
      finish(status === 'affirming' || status === 'warning' ? EXIT.done : EXIT.no)
    })
}

/** Codes that say something of the policy and not of the evidence. */
const OF_POLICY: readonly string[] = ['policy.reference_missing', 'policy.nothing_enforced']

async function readEvidence(options: AppraiseOptions, policyText: string) {
  const nonce = fromHex(options.nonce)
  if (nonce === undefined || nonce.byteLength === 0) {
    throw new TouchstoneError('usage.arguments', '--nonce is not lower-case hex', {
      hint: 'Give the qualifying data in lower-case hex, an even number of digits.',
    })
  }
  const [userspaceLog, imaLog, pcrs] = await Promise.all([
    options.userspaceLog === undefined ? undefined : readInput(options.userspaceLog),
    options.ima === undefined ? undefined : readIma(options.ima),
    options.pcrs === undefined ? undefined : readClaimedPcrs(options.pcrs),
  ])
  return {
    policy: policyIn(options.policy, policyText),
    references: (await Promise.all((options.references ?? []).map(readReferences))).flat(),
    ak: keyOf(await readInput(options.ak)),
    enrolment: 'enrolled' as const,
    quote: await readInput(options.quote),
    signature: await readInput(options.signature),
    nonce,
    eventLog: await readLog(options.log),
    ...(userspaceLog === undefined ? {} : { userspaceLog }),
    ...(imaLog === undefined ? {} : { imaLog }),
    ...(pcrs === undefined ? {} : { pcrs }),
    ...(options.select === undefined ? {} : { selection: parsePcrSelection(options.select) }),
  }
}

/** A baseline that cannot be read is a mistake of whoever gave it, and no matter of the verdict. */
async function readBaseline(path: string): Promise<Buffer> {
  const bytes = await readInput(path)
  inFile(path, () => parseEventLog(bytes))
  return bytes
}

/** Logs are read behind a genuine signature alone, and a file with nothing in it is none, whatever the signature. */
async function readLog(path: string): Promise<Buffer> {
  const bytes = await readInput(path)
  if (bytes.byteLength === 0) throw new TouchstoneError('eventlog.empty', `${path} is empty`)
  return bytes
}

async function readReferences(path: string): Promise<readonly ReferenceSet[]> {
  return referencesIn(path, await readText(path, MAX_DOCUMENT))
}

async function readIma(path: string): Promise<ImaSource> {
  const source = await streamedFile(path)
  for (const piece of source instanceof Uint8Array ? [source] : source) if (piece.byteLength > 0) return source
  throw new TouchstoneError('usage.file', `the IMA log ${path} is empty`, {
    hint: 'Read it as root from /sys/kernel/security/ima/binary_runtime_measurements; of a machine without IMA, leave --ima out.',
  })
}

/** What is said of the node: of one that nobody says anything of, canaries and exceptions cannot be judged. */
function nodeOf({ node, label }: AppraiseOptions, ek: Uint8Array | undefined): Pick<AppraisalInput, 'node'> {
  if (node === undefined && label === undefined) return {}
  return {
    node: {
      labels: label ?? {},
      ...(node === undefined ? {} : { nodeId: node }),
      ...(ek === undefined ? {} : { ekSha256: ekDigestOf(readPublicArea('TPM2B_PUBLIC', ek)) }),
    },
  }
}

function keyOf(bytes: Buffer): AttestationKeyInput {
  return isPem(bytes) ? { pem: bytes.toString('utf8') } : { public: bytes }
}

/** By the name that a structure has in errors: the option that it came by, and what belongs there. */
const GIVEN_BY = {
  TPMS_ATTEST: { option: 'quote', takes: 'the TPMS_ATTEST that tpm2_quote -m writes' },
  TPMT_SIGNATURE: { option: 'signature', takes: 'the TPMT_SIGNATURE that tpm2_quote -s writes, without -f plain' },
  TPM2B_PUBLIC: { option: 'ak', takes: 'the TPM2B_PUBLIC that tpm2_createak -u writes, or a PEM' },
  eventlog: { option: 'log', takes: 'binary_bios_measurements' },
  ima: { option: 'ima', takes: 'binary_runtime_measurements or ascii_runtime_measurements' },
} as const

/** By the EK whose child the AK is, where it may be one of several; names the file in what is said of one that cannot be decoded. */
function judge(evidence: AppraisalInput, eks: readonly Buffer[], options: AppraiseOptions): Appraisal {
  try {
    const [first = appraise(evidence), ...others] = eks.map((ek) => appraise({ ...evidence, ek }))
    return [first, ...others].find(isOfEk) ?? first
  } catch (error) {
    if (!(error instanceof TouchstoneError)) throw error
    const [name = ''] = error.code === 'ak.pem' ? ['TPM2B_PUBLIC'] : String(error.details['path'] ?? '').split(/[.[]/)
    if (!isGiven(name)) throw error
    const { option, takes } = GIVEN_BY[name]
    const { cause, details } = error
    const hint = `${error.hint} --${option} takes ${takes}.`
    throw new TouchstoneError(error.code, `${options[option] ?? option}: ${error.message}`, { cause, details, hint })
  }
}

function isOfEk({ checks }: Appraisal): boolean {
  return checks.some(({ check, outcome }) => check === 'ak.qualified-name' && outcome === 'pass')
}

function isGiven(name: string): name is keyof typeof GIVEN_BY {
  return Object.hasOwn(GIVEN_BY, name)
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
    throw new TouchstoneError('usage.file', `${path} is not JSON of the form { "sha256": { "0": "<hex>" } }`, {
      cause,
      hint: 'Write the values in lower-case hex, by bank and register; or leave --pcrs out: it only helps to localise a mismatch.',
    })
  }
}

/** In milliseconds; of `undefined`, this moment. */
function timeOf(text: string | undefined): number {
  if (text === undefined) return Date.now()
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/.test(text) ? Date.parse(text) : Number.NaN
  // A day that the month does not have would become one of the next.
  if (!Number.isNaN(time) && new Date(time).toISOString().startsWith(text.slice(0, 10))) return time
  throw new TouchstoneError('usage.arguments', '--at is not an RFC 3339 time in UTC', {
    hint: 'Write it like 2026-11-22T12:00:00Z.',
  })
}
