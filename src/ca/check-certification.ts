import { decode } from '../codec/index.ts'
import type { Check, ErrorCode, JsonValue } from '../core/index.ts'
import { equalBytes, toHex } from '../core/index.ts'
import {
  attestTypeOf,
  nameOf,
  qualifiedNameUnderEndorsement,
  signatureSchemeOf,
  TPM_GENERATED_VALUE,
  TPMS_ATTEST,
  TPMS_ATTEST_HEADER,
  TPMT_SIGNATURE,
  TPMT_SIGNATURE_HEADER,
  verifySignature,
} from '../tpm/index.ts'
import type { TpmsAttest, TpmsClockInfo, TpmtPublic } from '../tpm/index.ts'

export interface CertificationInput {
  readonly ek: TpmtPublic
  readonly ak: TpmtPublic
  readonly device: TpmtPublic
  /** TPMS_ATTEST, as the TPM made it. */
  readonly certification: Uint8Array
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array
  /** What extraData must be: SHA-256 over all that enrolment binds together. */
  readonly binding: Uint8Array
}

/** The checks of what was signed; one that cannot be evaluated says so under its own name. */
const CHECKS = ['magic', 'type', 'signer', 'binding', 'key', 'clock'] as const
type CheckName = (typeof CHECKS)[number]

/**
 * Whether the AK certified this device key for this enrolment: TPM2_CertifyCreation, or TPM2_Certify where its extraData
 * is right (TPM 2.0 Library Part 3, sections 18.2 and 18.3). All checks `enrol.certification.*` are in the answer, in
 * their order; those that a wrong magic or type leaves without meaning are `indeterminate`.
 * Throws `decode.*` for a structure that cannot be decoded.
 */
export function checkCertification(input: CertificationInput): readonly Check[] {
  const { magic, type: number } = decode('TPMS_ATTEST', TPMS_ATTEST_HEADER, input.certification)
  const type = attestTypeOf(number)
  const isGenerated = magic === TPM_GENERATED_VALUE
  const isCertification = type === 'creation' || type === 'certify'
  const made = new Map<CheckName, Check>([
    ['magic', isGenerated ? passed('magic') : failed('magic', hexNumber(TPM_GENERATED_VALUE), hexNumber(magic))],
    ['type', isCertification ? passed('type', type) : failed('type', 'creation or certify', type ?? hexNumber(number))],
  ])
  if (isGenerated && isCertification) {
    const attest = decode('TPMS_ATTEST', TPMS_ATTEST, input.certification)
    const signer = qualifiedNameUnderEndorsement(input.ek, input.ak)
    made.set('signer', bytesCheck('signer', signer, attest.qualifiedSigner))
    made.set('binding', bytesCheck('binding', input.binding, attest.extraData))
    made.set('key', keyCheck(attest, input.device))
    made.set('clock', clockCheck(attest.clockInfo))
  }
  return [signatureCheck(input), ...CHECKS.map((name) => made.get(name) ?? unevaluated(name))]
}

function signatureCheck({ ak, certification, signature }: CertificationInput): Check {
  const check = 'enrol.certification.signature'
  const { sigAlg } = decode('TPMT_SIGNATURE', TPMT_SIGNATURE_HEADER, signature)
  if (signatureSchemeOf(sigAlg) === undefined) {
    const expected = "the AK's own scheme"
    return { check, outcome: 'fail', code: 'tpm.signature_scheme', expected, actual: hexNumber(sigAlg) }
  }
  const result = verifySignature(ak, certification, decode('TPMT_SIGNATURE', TPMT_SIGNATURE, signature))
  if (result.ok) return { check, outcome: 'pass' }
  const { code, expected, actual } = result
  return { check, outcome: 'fail', code, expected, actual }
}

/** The attested Name is that of the public area submitted, so all of its attributes are the TPM's word. */
function keyCheck(attest: TpmsAttest, device: TpmtPublic): Check {
  const name = nameOf(device)
  if (attest.type === 'certify') return bytesCheck('key', name, attest.attested.name)
  if (attest.type === 'creation') return bytesCheck('key', name, attest.attested.objectName)
  return failed('key', toHex(name), null)
}

/** An AK in the endorsement hierarchy reports its TPM's counters as they are (Part 1 section 36.7). */
function clockCheck({ clock, resetCount, restartCount, safe }: TpmsClockInfo): Check {
  const actual = { clock: clock.toString(), resetCount, restartCount, safe }
  // Not safe: after a power cut the clock may have gone back by what was not yet written to NV (Part 1 section 36.3).
  return safe ? passed('clock', actual) : { ...failed('clock', { safe: true }, actual), outcome: 'warn' }
}

function bytesCheck(name: CheckName, expected: Uint8Array, actual: Uint8Array): Check {
  return equalBytes(expected, actual) ? passed(name) : failed(name, toHex(expected), toHex(actual))
}

function passed(name: CheckName, actual?: JsonValue): Check {
  return { check: `enrol.certification.${name}`, outcome: 'pass', ...(actual === undefined ? {} : { actual }) }
}

function failed(name: CheckName, expected: JsonValue, actual: JsonValue): Check {
  return { check: `enrol.certification.${name}`, outcome: 'fail', code: codeOf(name), expected, actual }
}

function unevaluated(name: CheckName): Check {
  return { check: `enrol.certification.${name}`, outcome: 'indeterminate', code: codeOf(name) }
}

function codeOf(name: CheckName): ErrorCode {
  return `enrol.certification_${name}`
}

function hexNumber(value: number): string {
  return `0x${value.toString(16)}`
}
