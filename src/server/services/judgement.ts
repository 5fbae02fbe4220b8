import { type Appraisal, appraise, type AppraisalInput, verdictOf } from '../../attest/index.ts'
import { decode } from '../../codec/index.ts'
import { type Check, isTouchstoneError, type JsonValue, toHex, toRfc3339 } from '../../core/index.ts'
import type { ImaSource } from '../../eventlog/index.ts'
import type { PriorState } from '../../store/index.ts'
import { formatPcrSelection, type PcrSelection, TPMS_ATTEST } from '../../tpm/index.ts'
import { sha256 } from '../../wire/index.ts'
import { guestInputs } from './guest-context.ts'
import { packEvidence } from './stored-evidence.ts'
import { userspaceInputs } from './userspace-log.ts'

/** A SHA-1 log of one event that extends nothing: pcr, type EV_NO_ACTION, digest, size. */
const BLANK_LOG = Buffer.alloc(32)
BLANK_LOG.writeUInt32LE(3, 4)

/**
 * Appraises evidence of a known node. A log that cannot be read, behind a quote that is genuine, is no reason to refuse
 * an answer: whoever tampered with the machine could keep its last good verdict on the operator's screen by sending
 * garbage. So that is a failed check, and a verdict. Throws `decode.*` where the quote itself cannot be read.
 */
export function judge(input: AppraisalInput): Appraisal {
  try {
    return appraise(input)
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    // Throws the same again where the fault is in the quote.
    const rest = { ...input, eventLog: BLANK_LOG }
    delete rest.imaLog
    delete rest.imaState
    delete rest.userspaceLog
    const blank = appraise(rest)
    const unreadable = {
      check: 'log.readable',
      outcome: 'fail',
      code: 'attestation.log_unreadable',
      actual: error.message,
    } as const
    const { attested } = blank
    const checks = [unreadable, ...blank.checks.map((check) => (isOfQuote(check) ? check : blockedByLog(check)))]
    return { ...verdictOf(checks, rest.policy), ...(attested === undefined ? {} : { attested }) }
  }
}

/** What can be said without a log: of the quote, its key, and what a guest runs on. */
function isOfQuote({ check }: Check): boolean {
  return check !== 'quote.digest' && /^(?:quote|ak|guest|link)\./.test(check)
}

/** Asked for, and not answered: the blank log that stood in must not be judged as if it had come. */
function blockedByLog({ check, rule, claim, mode }: Check): Check {
  return {
    check,
    outcome: 'indeterminate',
    code: 'check.blocked',
    actual: 'the event log cannot be read',
    ...(rule === undefined ? {} : { rule }),
    ...(claim === undefined ? {} : { claim }),
    ...(mode === undefined ? {} : { mode }),
  }
}

/** What must hold of a quote before anything of it is kept: made by the enrolled AK, in its TPM, for this very request. */
const AUTHENTIC = ['quote.magic', 'quote.type', 'quote.scheme', 'quote.signature', 'ak.attributes', 'ak.qualified-name']

/** The checks that say whose evidence it is; `quote.nonce` says for what. */
export function authenticity(checks: readonly Check[]): readonly Check[] {
  return checks.filter(({ check }) => AUTHENTIC.includes(check))
}

/** The counters of an authentic quote, as the store keeps them. */
export function priorOf(quote: Buffer, nonceIssued: number): PriorState {
  const { clockInfo, firmwareVersion } = decode('TPMS_ATTEST', TPMS_ATTEST, quote)
  const { clock, resetCount, restartCount, safe } = clockInfo
  return { nonceIssued, clock, resetCount, restartCount, safe, firmwareVersion }
}

/**
 * Everything that a verdict depended on: `inputs` for people, by value where small, else by SHA-256; `evidence` for
 * recomputing it, which `inputs` pins.
 */
export function pinned(
  input: Selected,
  appraisal: Appraisal,
  circumstances: Circumstances,
): { readonly inputs: Record<string, JsonValue>; readonly evidence: string } {
  const agreed = appraisal.checks.some(({ check, outcome }) => check === 'quote.digest' && outcome === 'pass')
  const evidence = packEvidence(input, agreed)
  const made = { ...inputsOf(input, circumstances), ...userspaceInputs(input, appraisal) }
  const inputs = { ...made, evidence: toHex(sha256(Buffer.from(evidence, 'utf8'))) }
  return { inputs, evidence }
}

type Selected = AppraisalInput & { readonly selection: PcrSelection }
type Circumstances = Readonly<Record<string, JsonValue>> & { readonly now: number }

function inputsOf(input: Selected, circumstances: Circumstances): Record<string, JsonValue> {
  const digest = (bytes: Uint8Array) => toHex(sha256(bytes))
  return {
    ...circumstances,
    now: toRfc3339(input.now ?? circumstances.now),
    policy: { name: input.policy.name, digest: input.policy.digest },
    references: (input.references ?? []).map(({ name, digest: of }) => ({ name, digest: of })),
    exceptions: (input.exceptions ?? []).map(({ name, digest: of }) => ({ name, digest: of })),
    selection: formatPcrSelection(input.selection),
    qualifyingData: toHex(input.nonce),
    quote: digest(input.quote),
    signature: digest(input.signature),
    eventLog: digest(input.eventLog),
    imaLog: input.imaLog === undefined ? null : toHex(sha256(bytesOf(input.imaLog))),
    imaState: input.imaState === undefined ? null : { entries: input.imaState.entries, basis: input.imaState.basis },
    ...(input.guest === undefined ? {} : { guest: guestInputs(input.guest) }),
    prior:
      input.prior === undefined
        ? null
        : {
            clock: input.prior.clock.toString(),
            resetCount: input.prior.resetCount,
            restartCount: input.prior.restartCount,
            firmwareVersion: input.prior.firmwareVersion.toString(16),
          },
  }
}

/** Of a log in one piece, or in the parts in which it is kept. */
function bytesOf(log: ImaSource): Uint8Array {
  return log instanceof Uint8Array ? log : Buffer.concat([...log])
}
