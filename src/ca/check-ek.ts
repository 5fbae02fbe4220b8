import { createHash } from 'node:crypto'
import type { Check, ErrorCode, JsonValue } from '../core/index.ts'
import { equalBytes, toHex, toRfc3339 } from '../core/index.ts'
import { matchEkTemplate, spkiOf } from '../tpm/index.ts'
import type { TpmtPublic } from '../tpm/index.ts'
import type { EkCertificate } from './ek-certificate.ts'
import { basicConstraintsOf, extendedKeyUsageOf, OID, validatePath } from './path/index.ts'
import type { Certificate, PathFailure, ValidPath } from './path/index.ts'
import { isOfGuestCa } from './profile/guests.ts'
import type { TrustStore } from './trust-store.ts'

export interface EkPolicy {
  /** Whether a certificate with a valid chain is what admits the node (`vendor-ek`), or only adds to what does. */
  readonly certificate: 'required' | 'optional'
  /** TPMs outlive their certificates: what a date that does not hold, anywhere in the chain, amounts to. */
  readonly expired: 'fail' | 'warn'
  /** Insecure: for the SHA-1 chains of old vendors. */
  readonly allowSha1: boolean
}

export interface EkInput {
  readonly ekPublic: TpmtPublic
  /** `undefined` where the node sent none. */
  readonly certificate: EkCertificate | undefined
  /** Certificates that the node sent along (on-die authorities): material for a path, never trust. */
  readonly chain: readonly Certificate[]
  readonly trust: TrustStore
  /** Milliseconds since the Unix epoch. */
  readonly now: number
  readonly policy: EkPolicy
}

export interface EkResult {
  readonly checks: readonly Check[]
  /** The path to the manufacturer's root, when there is one; dates are judged by the check `ek.validity`. */
  readonly path: ValidPath | undefined
}

/** SHA-256 of the EK's SubjectPublicKeyInfo in hex: the key of an EK's row, and its spelling in manifests. */
export function ekDigestOf(ekPublic: TpmtPublic): string {
  return createHash('sha256').update(spkiOf(ekPublic)).digest('hex')
}

/**
 * Whether an endorsement key is what it claims: `ek.template`, `ek.certificate`, `ek.key`, `ek.purpose`, `ek.chain`,
 * `ek.validity`, all of them every time. Where the certificate is optional, its absence and a chain to nowhere known are
 * warnings; a certificate for another key is a failure always. Throws what `publicKeyOf` throws for an unusable key.
 */
export function checkEk(input: EkInput): EkResult {
  const { certificate, policy } = input
  const checks: Check[] = [templateCheck(input.ekPublic)]
  if (certificate === undefined) {
    const outcome = policy.certificate === 'required' ? 'fail' : 'warn'
    const absent = (check: string): Check => ({ check, outcome, code: 'ek.no_certificate' })
    return {
      checks: [...checks, ...['ek.certificate', 'ek.key', 'ek.purpose', 'ek.chain', 'ek.validity'].map(absent)],
      path: undefined,
    }
  }
  const leaf = certificate.certificate
  const { path, failure } = findPath(input, leaf)
  checks.push(
    { check: 'ek.certificate', outcome: 'pass', actual: toHex(leaf.serial) },
    keyCheck(input.ekPublic, leaf),
    purposeCheck(leaf, path),
    chainCheck(path, failure, policy),
    validityCheck(path, input),
  )
  return { checks, path }
}

function templateCheck(ekPublic: TpmtPublic): Check {
  const match = matchEkTemplate(ekPublic)
  if ('name' in match) return { check: 'ek.template', outcome: 'pass', actual: match.name }
  return failed('ek.template', 'ek.template', 'a TCG EK template in everything but unique', match.difference)
}

function keyCheck(ekPublic: TpmtPublic, leaf: Certificate): Check {
  const spki = spkiOf(ekPublic)
  if (equalBytes(spki, leaf.spki)) return { check: 'ek.key', outcome: 'pass' }
  return failed('ek.key', 'ek.key', digestOf(leaf.spki), digestOf(spki))
}

/**
 * TCG EK Credential Profile 2.5, sections 3.1.5 and 3.1.7. Old certificates name no purpose at all. One of a guest CA,
 * this fleet's or another's, says that there is no machine behind it.
 */
function purposeCheck(leaf: Certificate, path: ValidPath | undefined): Check {
  const check = 'ek.purpose'
  if ([leaf, ...(path ?? [])].some(isOfGuestCa)) {
    return failed(check, 'ek.guest', "an endorsement key of a machine's TPM", OID.guestEk)
  }
  if (basicConstraintsOf(leaf)?.ca === true)
    return failed(check, 'ek.purpose', 'no certificate authority', 'cA is true')
  const purposes = extendedKeyUsageOf(leaf)
  if (purposes === undefined)
    return { check, outcome: 'warn', code: 'ek.purpose', expected: OID.ekCertificate, actual: null }
  if (purposes.includes(OID.ekCertificate)) return { check, outcome: 'pass' }
  return failed(check, 'ek.purpose', OID.ekCertificate, [...purposes])
}

function findPath(
  input: EkInput,
  leaf: Certificate,
): { path: ValidPath | undefined; failure: PathFailure | undefined } {
  const search = {
    leaf,
    intermediates: [...input.trust.intermediates, ...input.chain],
    anchors: input.trust.anchors,
    allowSha1: input.policy.allowSha1,
  }
  const today = validatePath({ ...search, now: input.now })
  if (today.ok) return { path: today.path, failure: undefined }
  const anyDay = validatePath({ ...search, now: 'ignoreValidity' })
  return anyDay.ok ? { path: anyDay.path, failure: undefined } : { path: undefined, failure: anyDay.failure }
}

function chainCheck(path: ValidPath | undefined, failure: PathFailure | undefined, policy: EkPolicy): Check {
  const check = 'ek.chain'
  const root = path?.[path.length - 1]
  if (root !== undefined) return { check, outcome: 'pass', actual: digestOf(root.der) }
  return {
    check,
    outcome: policy.certificate === 'required' ? 'fail' : 'warn',
    code: failure?.code ?? 'path.no_issuer',
    expected: failure?.expected ?? 'a path to a configured root',
    actual: failure === undefined ? null : [failure.certificate, failure.actual ?? 'none'],
  }
}

function validityCheck(path: ValidPath | undefined, { now, policy }: EkInput): Check {
  const check = 'ek.validity'
  if (path === undefined) {
    return { check, outcome: policy.certificate === 'required' ? 'indeterminate' : 'warn', code: 'ek.validity' }
  }
  const stale = path.find(({ notBefore, notAfter }) => now < notBefore || now >= notAfter + 1000)
  if (stale === undefined) return { check, outcome: 'pass' }
  return {
    check,
    outcome: policy.expired,
    code: now < stale.notBefore ? 'path.not_yet_valid' : 'path.expired',
    expected: [toRfc3339(stale.notBefore), toRfc3339(stale.notAfter)],
    actual: toRfc3339(now),
  }
}

function failed(check: string, code: ErrorCode, expected: JsonValue, actual: JsonValue): Check {
  return { check, outcome: 'fail', code, expected, actual }
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
