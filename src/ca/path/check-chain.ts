import { isTouchstoneError, toRfc3339 } from '../../core/index.ts'
import type { Certificate } from './certificate.ts'
import { basicConstraintsOf, extendedKeyUsageOf, keyUsageOf } from './extensions.ts'
import type { KeyUsage } from './extensions.ts'
import { describeName, isSameName } from './name.ts'
import { OID } from './oid.ts'
import type { SignatureOptions } from './signature.ts'

export type PathFailureCode =
  | 'path.algorithm'
  | 'path.critical_extension'
  | 'path.expired'
  | 'path.extended_key_usage'
  | 'path.key'
  | 'path.key_usage'
  | 'path.length'
  | 'path.malformed'
  | 'path.name_constraints'
  | 'path.no_issuer'
  | 'path.not_ca'
  | 'path.not_yet_valid'
  | 'path.policy_constraints'
  | 'path.signature'
  | 'path.too_complex'

export interface PathFailure {
  readonly code: PathFailureCode
  /** Subject of the certificate at fault, for people. It is what the certificate says, and so untrusted. */
  readonly certificate: string
  readonly expected?: string
  readonly actual?: string
}

export interface ChainOptions extends SignatureOptions {
  /**
   * Milliseconds since the Unix epoch. `ignoreValidity` judges no dates: for a node that does not know the time yet and
   * has pinned its anchor, and for telling an expired chain from a broken one.
   */
  readonly now: number | 'ignoreValidity'
  /** A purpose that the leaf must name itself; "any purpose" does not count. */
  readonly extendedKeyUsage?: string
  /** Whether an issuer that limits purposes must name that purpose, or any, too. */
  readonly nestedExtendedKeyUsage?: boolean
  /** A use that the leaf's key usage must contain. */
  readonly keyUsage?: KeyUsage
}

/** The extensions that this module understands, and so may be critical. */
const UNDERSTOOD: readonly string[] = [
  OID.basicConstraints,
  OID.keyUsage,
  OID.extendedKeyUsage,
  OID.subjectAltName,
  // Policies are accepted whatever they are: with "any policy" as the initial set, no mapping and no inhibition of
  // anyPolicy can make a path invalid until an explicit policy is required (RFC 5280 section 6.1.3 f), and the extension
  // that requires one is refused below.
  OID.certificatePolicies,
  OID.policyMappings,
  OID.inhibitAnyPolicy,
  OID.policyConstraints,
  OID.nameConstraints,
]

/**
 * RFC 5280 section 6.1 for one chain, leaf first and anchor last, whose signatures were verified and whose names chain.
 * The anchor is held to the same rules as any issuer, which is more than the RFC asks and what OpenSSL does.
 * Returns the first failure, nearest to the anchor first.
 */
export function chainFailure(chain: readonly Certificate[], options: ChainOptions): PathFailure | undefined {
  for (const [depth, certificate] of [...chain.entries()].reverse()) {
    const failure = malformedIsFailure(
      () =>
        validityFailure(certificate, options.now) ??
        extensionFailure(certificate) ??
        (depth === 0 ? leafFailure(certificate, options) : issuerFailure(certificate, chain.slice(1, depth), options)),
    )
    if (failure !== undefined) return { ...failure, certificate: describeName(certificate.subject) }
  }
  return undefined
}

type Failure = Omit<PathFailure, 'certificate'>

/** What cannot be decoded has failed: a certificate from the field must not end the judgement of others. */
export function malformedIsFailure(judge: () => Failure | undefined): Failure | undefined {
  try {
    return judge()
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    return { code: 'path.malformed', actual: error.message }
  }
}

function validityFailure(certificate: Certificate, now: ChainOptions['now']): Failure | undefined {
  if (now === 'ignoreValidity') return undefined
  const { notBefore, notAfter } = certificate
  if (now < notBefore) return { code: 'path.not_yet_valid', expected: toRfc3339(notBefore), actual: toRfc3339(now) }
  // notAfter is the last second that is still valid, all of it.
  if (now >= notAfter + 1000) return { code: 'path.expired', expected: toRfc3339(notAfter), actual: toRfc3339(now) }
  return undefined
}

function extensionFailure(certificate: Certificate): Failure | undefined {
  for (const [oid, { critical }] of certificate.extensions) {
    if (critical && !UNDERSTOOD.includes(oid)) return { code: 'path.critical_extension', actual: oid }
  }
  // Neither is evaluated, so neither may be passed over, critical or not.
  if (certificate.extensions.has(OID.nameConstraints)) return { code: 'path.name_constraints' }
  if (certificate.extensions.has(OID.policyConstraints)) return { code: 'path.policy_constraints' }
  return undefined
}

function issuerFailure(
  issuer: Certificate,
  between: readonly Certificate[],
  { extendedKeyUsage, nestedExtendedKeyUsage }: ChainOptions,
): Failure | undefined {
  const constraints = basicConstraintsOf(issuer)
  if (constraints?.ca !== true) return { code: 'path.not_ca' }
  const uses = keyUsageOf(issuer)
  if (uses?.has('keyCertSign') !== true) {
    return { code: 'path.key_usage', expected: 'keyCertSign', actual: listed(uses) }
  }
  const below = between.filter((certificate) => !isSelfIssued(certificate)).length
  if (constraints.pathLength !== undefined && below > constraints.pathLength) {
    return { code: 'path.length', expected: `at most ${constraints.pathLength}`, actual: `${below}` }
  }
  if (extendedKeyUsage === undefined || nestedExtendedKeyUsage !== true) return undefined
  const purposes = extendedKeyUsageOf(issuer)
  const allowed = purposes?.some((oid) => oid === extendedKeyUsage || oid === OID.anyExtendedKeyUsage) ?? true
  return allowed ? undefined : purposeFailure(extendedKeyUsage, purposes)
}

function leafFailure(leaf: Certificate, { extendedKeyUsage, keyUsage }: ChainOptions): Failure | undefined {
  const uses = keyUsageOf(leaf)
  if (keyUsage !== undefined && uses?.has(keyUsage) !== true) {
    return { code: 'path.key_usage', expected: keyUsage, actual: listed(uses) }
  }
  const purposes = extendedKeyUsageOf(leaf)
  if (extendedKeyUsage !== undefined && purposes?.includes(extendedKeyUsage) !== true) {
    return purposeFailure(extendedKeyUsage, purposes)
  }
  return undefined
}

/** Issued by its own name (RFC 5280 section 6.1): a key rollover within one authority, which path lengths do not count. */
function isSelfIssued(certificate: Certificate): boolean {
  return isSameName(certificate.subject, certificate.issuer)
}

function purposeFailure(expected: string, purposes: readonly string[] | undefined): Failure {
  return { code: 'path.extended_key_usage', expected, actual: listed(purposes) }
}

function listed(items: Iterable<string> | undefined): string {
  return items === undefined ? '(absent)' : [...items].join(', ')
}
