import { equalBytes, isTouchstoneError, toHex } from '../core/index.ts'
import type { Check, JsonValue } from '../core/index.ts'
import {
  formatPcrSelection,
  TPM_GENERATED_VALUE,
  TPM_ST_ATTEST,
  verifySignature,
  verifySignatureByKey,
} from '../tpm/index.ts'
import type { PcrSelection, SignatureResult, TpmsAttest, TpmtSignature } from '../tpm/index.ts'
import type { AttestationKey } from './attestation-key.ts'
import { fail, indeterminate, judge, pass, warn } from './outcome.ts'
import type { Detail } from './outcome.ts'
import type { ReadQuote, ReadSignature } from './quote.ts'

/** What the node's last accepted quote said. Clock and counters must not go back behind it. */
export interface PriorState {
  /** Milliseconds that the TPM was powered. */
  readonly clock: bigint
  readonly resetCount: number
  readonly restartCount: number
  readonly firmwareVersion: bigint
}

export interface QuoteExpectation {
  /** The exact qualifying data. */
  readonly nonce: Uint8Array
  /** What was asked for; its first bank is the judged one. */
  readonly selection: PcrSelection
  /** Absent for a node that was never seen. */
  readonly prior?: PriorState | undefined
  /** The TPM is a guest's: a program, which keeps its clock over an orderly end alone. */
  readonly isGuest?: boolean
}

/** Every point of the quote itself, whatever else failed: one check each. */
export function checkQuote(
  quote: ReadQuote,
  signature: ReadSignature,
  key: AttestationKey,
  expected: QuoteExpectation,
): Check[] {
  const [scheme, signed] = checkSignature(quote, signature, key)
  return [
    checkMagic(quote),
    checkType(quote),
    scheme,
    signed,
    checkNonce(quote, expected.nonce),
    checkSelection(quote, expected.selection),
    checkClock(quote.attest, expected),
    checkCounters(quote.attest, expected.prior),
    checkFirmwareVersion(quote.attest, expected.prior),
  ]
}

const MAGIC = hexNumber(TPM_GENERATED_VALUE)
const MAGIC_AS_IT_MUST_BE = passed('quote.magic', MAGIC, MAGIC)

/** A key that is not restricted signs whatever it is given; a restricted one refuses what begins with this value. */
function checkMagic({ magic }: ReadQuote): Check {
  if (magic === TPM_GENERATED_VALUE) return MAGIC_AS_IT_MUST_BE
  return fail('quote.magic', 'quote.magic', { expected: MAGIC, actual: hexNumber(magic) })
}

const TYPE = hexNumber(TPM_ST_ATTEST.quote)
const TYPE_AS_IT_MUST_BE = passed('quote.type', TYPE, TYPE)

/** An NV index certified as a quote says what its owner wrote there (CVE-2024-29038). */
function checkType({ type }: ReadQuote): Check {
  if (type === TPM_ST_ATTEST.quote) return TYPE_AS_IT_MUST_BE
  return fail('quote.type', 'quote.type', { expected: TYPE, actual: hexNumber(type) })
}

/** `quote.scheme`, `quote.signature`. */
function checkSignature(
  quote: ReadQuote,
  { sigAlg, signature, problem }: ReadSignature,
  key: AttestationKey,
): readonly [Check, Check] {
  if (key.kind === 'unreadable') {
    const blocked = { actual: key.problem }
    const scheme =
      key.field === 'scheme'
        ? fail('quote.scheme', 'tpm.signature_scheme', blocked)
        : indeterminate('quote.scheme', 'check.blocked', blocked)
    return [scheme, indeterminate('quote.signature', 'check.blocked', blocked)]
  }
  if (signature === undefined) {
    return [fail('quote.scheme', 'tpm.signature_scheme', { actual: problem ?? hexNumber(sigAlg) }), unverified()]
  }
  const result = verify(quote.bytes, signature, key)
  if (result.ok) return VERIFIED
  const detail: Detail = { expected: result.expected, actual: result.actual }
  if (result.code === 'tpm.signature_scheme' || result.code === 'tpm.signature_hash') {
    return [fail('quote.scheme', result.code, detail), unverified()]
  }
  return [pass('quote.scheme'), fail('quote.signature', result.code, detail)]
}

const VERIFIED: readonly [Check, Check] = [pass('quote.scheme'), pass('quote.signature')]

function unverified(): Check {
  return indeterminate('quote.signature', 'check.blocked', { actual: 'the scheme is not the key’s own' })
}

function verify(message: Uint8Array, signature: TpmtSignature, key: Exclude<AttestationKey, { kind: 'unreadable' }>) {
  try {
    return key.kind === 'tpm'
      ? verifySignature(key.pub, message, signature)
      : verifySignatureByKey(key.key, message, signature)
  } catch (error) {
    // A public area that decodes and holds no usable key: its signature cannot be good.
    if (!isTouchstoneError(error)) throw error
    const unusable: SignatureResult = { ok: false, code: error.code, expected: 'a usable key', actual: error.message }
    return unusable
  }
}

function checkNonce({ attest }: ReadQuote, nonce: Uint8Array): Check {
  if (attest === undefined) return blocked('quote.nonce')
  const expected = toHex(nonce)
  // An empty nonce is no nonce: anything ever signed without one would match.
  const matches = nonce.byteLength > 0 && equalBytes(nonce, attest.extraData)
  return matches
    ? passed('quote.nonce', expected, expected)
    : fail('quote.nonce', 'quote.nonce', { expected, actual: toHex(attest.extraData) })
}

/**
 * Banks and registers as asked, either way. A TPM signs an empty selection for a bank that it has not allocated, and
 * exactly that is permitted for banks that are not judged.
 */
function checkSelection({ quote, unknownBank }: ReadQuote, asked: PcrSelection): Check {
  const name = 'quote.selection'
  const expected = textOf(asked)
  if (unknownBank !== undefined) return fail(name, 'quote.selection', { expected, actual: unknownBank })
  if (quote === undefined) return blocked(name)
  const signed = quote.attested.pcrSelect
  const asAsked = isSame(signed, asked)
  const actual = asAsked ? expected : formatPcrSelection(signed)
  const [judged] = asked
  const matches =
    judged !== undefined &&
    judged.pcrs.length > 0 &&
    isDistinct(signed) &&
    (asAsked || isOtherwiseSame(signed, asked, judged))
  return matches ? passed(name, expected, actual) : fail(name, 'quote.selection', { expected, actual })
}

/** The banks in another order, or without registers where they are not judged. */
function isOtherwiseSame(signed: PcrSelection, asked: PcrSelection, judged: PcrSelection[number]): boolean {
  return (
    signed.length === asked.length &&
    asked.every((bank) => {
      const same = signed.find(({ hash }) => hash === bank.hash)
      if (same === undefined) return false
      return equalRegisters(same.pcrs, bank.pcrs) || (bank !== judged && same.pcrs.length === 0)
    })
  )
}

function isSame(one: PcrSelection, other: PcrSelection): boolean {
  return (
    one.length === other.length &&
    one.every(({ hash, pcrs }, index) => {
      const beside = other[index]
      return beside?.hash === hash && equalRegisters(pcrs, beside.pcrs)
    })
  )
}

function isDistinct(selection: PcrSelection): boolean {
  return selection.length < 2 || new Set(selection.map(({ hash }) => hash)).size === selection.length
}

const texts = new WeakMap<PcrSelection, string>()

/** A verifier asks the same of most nodes. */
function textOf(selection: PcrSelection): string {
  const known = texts.get(selection)
  if (known !== undefined) return known
  const text = formatPcrSelection(selection)
  texts.set(selection, text)
  return text
}

function equalRegisters(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((pcr, index) => pcr === other[index])
}

const UNKNOWN_NODE = 'no earlier quote of this key is known'

/**
 * The clock goes forward, except that a TPM which lost power without a shutdown may resume behind what it last said, and
 * then says so by `safe` = 0 after a reset (Part 1 section 36.3): that is stated, not judged. A guest's TPM that was killed
 * loses its clock and calls it safe again seconds later; that its state is the newest is what its host's ledger says.
 */
function checkClock(attest: TpmsAttest | undefined, { prior, isGuest = false }: QuoteExpectation): Check {
  const name = 'quote.clock'
  if (attest === undefined) return blocked(name)
  const { clock, safe, resetCount } = attest.clockInfo
  const actual = { clock: clock.toString(), safe }
  if (prior === undefined) return passed(name, UNKNOWN_NODE, actual)
  const mayResumeBehind = (!safe || isGuest) && resetCount > prior.resetCount
  const detail = { expected: `at least ${prior.clock.toString()}`, actual }
  return judge(clock >= prior.clock || mayResumeBehind, name, 'quote.clock', detail)
}

function checkCounters(attest: TpmsAttest | undefined, prior: PriorState | undefined): Check {
  const name = 'quote.counters'
  if (attest === undefined) return blocked(name)
  const { resetCount, restartCount } = attest.clockInfo
  const actual = { resetCount, restartCount }
  if (prior === undefined) return passed(name, UNKNOWN_NODE, actual)
  const expected = { resetCount: prior.resetCount, restartCount: prior.restartCount }
  const forward =
    resetCount > prior.resetCount || (resetCount === prior.resetCount && restartCount >= prior.restartCount)
  return judge(forward, name, 'quote.counters', { expected, actual })
}

function checkFirmwareVersion(attest: TpmsAttest | undefined, prior: PriorState | undefined): Check {
  const name = 'quote.firmware-version'
  if (attest === undefined) return blocked(name)
  const actual = hexNumber(attest.firmwareVersion)
  if (prior === undefined) return passed(name, UNKNOWN_NODE, actual)
  const detail = { expected: hexNumber(prior.firmwareVersion), actual }
  return prior.firmwareVersion === attest.firmwareVersion
    ? pass(name, detail)
    : warn(name, 'quote.firmware_version', detail)
}

/** What `pass` gives; these checks are made for every quote there is. */
function passed(check: string, expected: JsonValue, actual: JsonValue): Check {
  return { check, outcome: 'pass', expected, actual }
}

function blocked(name: string): Check {
  return indeterminate(name, 'check.blocked', { actual: 'the quote could not be read that far' })
}

function hexNumber(value: number | bigint): string {
  return `0x${value.toString(16)}`
}
