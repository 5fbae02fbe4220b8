import { type Appraisal, appraise, type AppraisalInput, verdictOf } from '../../attest/index.ts'
import { decode } from '../../codec/index.ts'
import { type Check, isTouchstoneError, type JsonValue, toHex, toRfc3339 } from '../../core/index.ts'
import type { PriorState } from '../../store/index.ts'
import { formatPcrSelection, type PcrSelection, TPMS_ATTEST } from '../../tpm/index.ts'
import { sha256 } from '../../wire/index.ts'
import { guestInputs } from './guest-context.ts'

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
function blockedByLog({ check, rule, claim }: Check): Check {
  return {
    check,
    outcome: 'indeterminate',
    code: 'check.blocked',
    actual: 'the event log cannot be read',
    ...(rule === undefined ? {} : { rule }),
    ...(claim === undefined ? {} : { claim }),
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

/** Everything that a verdict depended on, so that it can be recomputed: by value where small, else by SHA-256. */
export function inputsOf(
  input: AppraisalInput & { readonly selection: PcrSelection },
  circumstances: Readonly<Record<string, JsonValue>> & { readonly now: number },
): Record<string, JsonValue> {
  const digest = (bytes: Uint8Array) => toHex(sha256(bytes))
  return {
    ...circumstances,
    now: toRfc3339(circumstances.now),
    policy: { name: input.policy.name, digest: input.policy.digest },
    references: (input.references ?? []).map((set) => ({ name: set.name, digest: set.digest })),
    selection: formatPcrSelection(input.selection),
    qualifyingData: toHex(input.nonce),
    quote: digest(input.quote),
    signature: digest(input.signature),
    eventLog: digest(input.eventLog),
    imaLog: input.imaLog === undefined ? null : digest(input.imaLog),
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
