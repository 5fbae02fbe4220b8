import type { Check, Verdict } from '../core/index.ts'
import type { BootFacts, ImaSource } from '../eventlog/index.ts'
import { readPublicArea } from '../tpm/index.ts'
import type { PcrSelection } from '../tpm/index.ts'
import { checkAttestationKey, readAttestationKey } from './attestation-key.ts'
import type { AttestationKeyInput, Enrolment } from './attestation-key.ts'
import { boundChecks } from './bounds.ts'
import { checkMeasurements } from './measurements.ts'
import type { UserspaceCoverage } from './measurements.ts'
import { checkGuest } from './guest.ts'
import type { GuestContext } from './guest.ts'
import { readJudgedLog } from './judged-log.ts'
import type { ImaCoverage } from './ima-replay.ts'
import { excuse } from './exceptions.ts'
import type { PolicyException } from './exceptions.ts'
import { imaRules } from './ima-rules.ts'
import type { ImaState } from './ima-state.ts'
import { setsInForce } from './lifecycle.ts'
import type { Policy, ReferenceSet } from './policy.ts'
import { checkQuote } from './quote-checks.ts'
import type { PriorState } from './quote-checks.ts'
import { readQuote, readSignature } from './quote.ts'
import type { ClaimedPcrs } from './registers.ts'
import type { NodeFacts } from './rule-check.ts'
import { quoteFacts } from './rule-table.ts'
import { rememberedRules } from './remembered-rules.ts'
import { eitherValue } from './userspace-rules.ts'
import { verdictOf } from './vector.ts'

/** Evidence exactly as it was received, and everything that it is judged by. Nothing else enters the judgement. */
export interface AppraisalInput {
  readonly policy: Policy
  /** Reference sets beside those that came with the policy. */
  readonly references?: readonly ReferenceSet[]
  readonly ak: AttestationKeyInput
  /** Whether `ak` is the one that the verifier knows of this node. */
  readonly enrolment: Enrolment
  /** TPM2B_PUBLIC of the EK: then the quote must name the AK as its child. */
  readonly ek?: Uint8Array
  /** TPMS_ATTEST and TPMT_SIGNATURE. */
  readonly quote: Uint8Array
  readonly signature: Uint8Array
  /** The exact qualifying data that the quote must carry. */
  readonly nonce: Uint8Array
  /** What was asked for; `spec.pcrs` of the policy unless given. The first bank is judged. */
  readonly selection?: PcrSelection
  readonly eventLog: Uint8Array
  /** systemd's `tpm2-measure.log`, which goes on where the log of the firmware ends. */
  readonly userspaceLog?: Uint8Array
  /** `binary_runtime_measurements` or its text form, in one piece or as something that can be iterated twice. */
  readonly imaLog?: ImaSource
  /** Where this boot's IMA log was left, see `imaBasis`; then `imaLog` is what is behind that, if anything. */
  readonly imaState?: ImaState
  /** More of the IMA log is to come: it may end inside an entry, and the verdict cannot be good yet. */
  readonly imaIsPart?: boolean
  /** Untrusted: a hint to localise a mismatch. */
  readonly pcrs?: ClaimedPcrs
  /** What the last accepted quote of this AK said. */
  readonly prior?: PriorState
  /** What is on record of the node; nothing of it is from evidence. Canaries and exceptions are for some nodes alone. */
  readonly node?: NodeFacts
  /** When it is judged, milliseconds since the Unix epoch; references and exceptions begin and end. */
  readonly now?: number
  /** Exceptions beside those that came with the policy. */
  readonly exceptions?: readonly PolicyException[]
  /** For a guest: what it runs on, which it cannot be better than. */
  readonly guest?: GuestContext
}

/** A verdict, and what a verifier keeps of the evidence. */
export interface Appraisal extends Verdict {
  /** What the TPM said of itself: the next quote's `prior`. Present when the quote itself is genuine and fresh. */
  readonly attested?: PriorState
  /** Present when, beside that, the logs replay to what was signed: they may be stored, and their facts believed. */
  readonly facts?: BootFacts
  readonly ima?: ImaCoverage
  /** What to keep of the IMA log until the next quote of this boot; absent: nothing, and the whole log must come. */
  readonly imaState?: ImaState
  /** How much of the userspace log the quote covers, where one came. */
  readonly userspace?: UserspaceCoverage
}

/**
 * The judgement, whole: evidence and policy in, verdict out; no clock, no randomness, no IO. A check that was asked for
 * is in the verdict with its outcome, whatever else failed. Throws `decode.*`, `eventlog.*` and `ak.pem` for files that
 * are not what they are said to be (empty, cut short, too long); everything that decodes and is wrong is a failed check.
 *
 * Logs are read only behind a genuine signature, and facts only behind logs that replay to what was signed.
 */
export function appraise(input: AppraisalInput): Appraisal {
  const { policy, selection = policy.pcrs } = input
  const references = [...setsInForce(policy.references, input), ...setsInForce(input.references ?? NO_SETS, input)]

  // 1. The quote and its key: every point of both, each on its own.
  const key = readAttestationKey(input.ak)
  const ek = input.ek && readPublicArea('TPM2B_PUBLIC', input.ek)
  const quote = readQuote(input.quote)
  const signature = readSignature(input.signature, key)
  const { nonce, prior } = input
  const statement = [
    ...checkQuote(quote, signature, key, { nonce, selection, prior, isGuest: input.guest !== undefined }),
    ...checkAttestationKey(key, input.enrolment, ek, quote.attest?.qualifiedSigner),
  ]
  const signed = passed(statement, GENUINE) ? quote.quote : undefined
  const fresh = passed(statement, FRESH) ? signed : undefined

  // 2. The logs: do they replay to exactly what was signed, and are they whole?
  const { imaLog, imaState, imaIsPart, pcrs } = input
  const hasIma = imaLog !== undefined || imaState !== undefined
  const measurements = checkMeasurements({
    policy,
    asked: selection,
    signed: signed?.attested,
    hash: signature.hash,
    eventLog: (digest) => readJudgedLog(input.eventLog, digest),
    userspaceLog: input.userspaceLog,
    ima: hasIma ? { log: imaLog ?? [], state: imaState, isPart: imaIsPart } : undefined,
    imaBy: imaRules(policy, references),
    claimed: pcrs,
  })

  // 3. The policy: its rules over the facts of a boot that the evidence proved, and over nothing else.
  const boot = fresh && measurements.boot
  const { quoted, ima, memory } = measurements
  const asserted = fresh && quoteFacts(fresh, prior)
  const judged = { policy, references, quoted, quote: asserted, node: input.node, ima }
  const rules = eitherValue(
    rememberedRules(memory, { ...judged, boot }),
    boot && measurements.beforeUserspace,
    (before) => rememberedRules(before.memory, { ...judged, boot: before.boot }),
  )

  // 4. What it runs on, where it is a guest: placement, host, and the proof that links the two quotes.
  const hosted = input.guest === undefined ? [] : checkGuest(input.guest, policy, input)

  // 5. The exceptions of operators: a failed rule is a warning for as long as one lasts, and never more than that.
  const made: Check[] = [...statement, ...measurements.checks, ...rules, ...hosted]
  const checks = excuse(made, [...policy.exceptions, ...(input.exceptions ?? [])], policy, input)

  // 6. The verdict: what passed affirms, then the worst of what did not.
  return {
    ...verdictOf(boundChecks(checks), policy),
    ...(fresh === undefined ? {} : { attested: { ...fresh.clockInfo, firmwareVersion: fresh.firmwareVersion } }),
    ...(boot === undefined ? {} : { facts: boot.facts }),
    ...(boot === undefined || measurements.ima === undefined ? {} : { ima: measurements.ima }),
    ...(fresh === undefined || measurements.imaState === undefined ? {} : { imaState: measurements.imaState }),
    ...(boot === undefined || measurements.userspace === undefined ? {} : { userspace: measurements.userspace }),
  }
}

/** One object, so that what is remembered of it is found. */
const NO_SETS: readonly ReferenceSet[] = []

/** Made by the key that is given, by a TPM, as a quote. */
const GENUINE = ['quote.magic', 'quote.type', 'quote.scheme', 'quote.signature']

/** And by a key that only ever signs what its TPM made, now, over what was asked. */
const FRESH = [...GENUINE, 'quote.nonce', 'quote.selection', 'ak.attributes', 'ak.qualified-name']

/** A warning does not stop the judgement: a PEM shows no attributes. */
function passed(checks: readonly Check[], names: readonly string[]): boolean {
  return checks.every(({ check, outcome }) => !names.includes(check) || outcome === 'pass' || outcome === 'warn')
}
