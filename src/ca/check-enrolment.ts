import { decode } from '../codec/index.ts'
import type { Check } from '../core/index.ts'
import { equalBytes } from '../core/index.ts'
import { attestTypeOf, spkiOf, TPMS_ATTEST, TPMS_ATTEST_HEADER } from '../tpm/index.ts'
import type { TpmtPublic } from '../tpm/index.ts'
import { checkCertification } from './check-certification.ts'
import { checkAk, checkDeviceKey } from './check-keys.ts'
import type { CertificateRequest } from './request.ts'

export interface EnrolmentInput {
  readonly ek: TpmtPublic
  readonly ak: TpmtPublic
  readonly device: TpmtPublic
  /** TPMS_ATTEST over the device key, and its TPMT_SIGNATURE by the AK. */
  readonly certification: Uint8Array
  readonly certificationSignature: Uint8Array
  /**
   * The TPMS_ATTEST of the quote of this enrolment. Only its counters are compared here; whether it is genuine and what
   * it says is the appraisal's to judge, and both must pass.
   */
  readonly quote: Uint8Array
  readonly request: CertificateRequest
  /** What the verifier computed over its own session and all that was sent: 32 bytes. */
  readonly binding: Uint8Array
  /** What the node sent as proof of the secret, and what it had to be. */
  readonly proof: Uint8Array
  readonly expectedProof: Uint8Array
}

/**
 * Every check of an enrolment except those of the EK (`checkEk`) and of the quote and logs (appraisal): `enrol.proof`,
 * `enrol.ak.*`, `enrol.device_key.*`, `enrol.certification.*`, `enrol.boot`, `enrol.request.*`. All are in the answer
 * whatever the others say. Throws `decode.*` for a structure that cannot be decoded, and what `publicKeyOf` throws.
 */
export function checkEnrolment(input: EnrolmentInput): readonly Check[] {
  return [
    proofCheck(input),
    ...checkAk(input.ak),
    ...checkDeviceKey(input.device),
    ...checkCertification({ ...input, signature: input.certificationSignature }),
    bootCheck(input),
    ...requestChecks(input),
  ]
}

/** The only check that depends on the secret: it says yes or no and nothing more, in constant time. */
function proofCheck({ proof, expectedProof }: EnrolmentInput): Check {
  if (equalBytes(proof, expectedProof)) return { check: 'enrol.proof', outcome: 'pass' }
  return { check: 'enrol.proof', outcome: 'fail', code: 'enrol.proof' }
}

/** Key and quote are of one boot of one TPM: an older certification would speak of a machine in another state. */
function bootCheck({ certification, quote }: EnrolmentInput): Check {
  const check = 'enrol.boot'
  const code = 'enrol.boot'
  const expected = bootOf(quote)
  const actual = bootOf(certification)
  if (expected === undefined || actual === undefined) return { check, outcome: 'indeterminate', code }
  if (expected === actual) return { check, outcome: 'pass', actual }
  return { check, outcome: 'fail', code, expected, actual }
}

/** Counters that change with a reset, a resume or new firmware; `undefined` for what is no attestation. */
function bootOf(bytes: Uint8Array): string | undefined {
  if (attestTypeOf(decode('TPMS_ATTEST', TPMS_ATTEST_HEADER, bytes).type) === undefined) return undefined
  const { clockInfo, firmwareVersion } = decode('TPMS_ATTEST', TPMS_ATTEST, bytes)
  const { resetCount, restartCount } = clockInfo
  return `resetCount ${resetCount}, restartCount ${restartCount}, firmware 0x${firmwareVersion.toString(16)}`
}

function requestChecks({ request, device }: EnrolmentInput): readonly Check[] {
  return [
    request.signatureProblem === undefined
      ? { check: 'enrol.request.signature', outcome: 'pass' }
      : { check: 'enrol.request.signature', outcome: 'fail', code: request.signatureProblem },
    equalBytes(request.spki, spkiOf(device))
      ? { check: 'enrol.request.key', outcome: 'pass' }
      : { check: 'enrol.request.key', outcome: 'fail', code: 'enrol.request_key' },
    request.surprises.length === 0
      ? { check: 'enrol.request.attributes', outcome: 'pass' }
      : {
          check: 'enrol.request.attributes',
          outcome: 'fail',
          code: 'enrol.request_attributes',
          expected: [],
          actual: [...request.surprises],
        },
  ]
}
