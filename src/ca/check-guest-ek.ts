import type { Check } from '../core/index.ts'
import { equalBytes } from '../core/index.ts'
import type { TpmtPublic } from '../tpm/index.ts'
import { checkEk } from './check-ek.ts'
import type { EkPolicy } from './check-ek.ts'
import type { EkCertificate } from './ek-certificate.ts'
import { basicConstraintsOf, extendedKeyUsageOf, OID } from './path/index.ts'
import type { Certificate } from './path/index.ts'
import { guestIdentityOf } from './profile/guests.ts'
import type { GuestIdentity } from './profile/guests.ts'

export interface GuestEkInput {
  readonly ekPublic: TpmtPublic
  readonly certificate: EkCertificate
  /** The fleet's guest CA, and the root above it. */
  readonly authority: Certificate
  readonly root: Certificate
  /** Milliseconds since the Unix epoch. */
  readonly now: number
  readonly expired: EkPolicy['expired']
}

export interface GuestEkResult {
  readonly checks: readonly Check[]
  /** Whose vTPM it is; present where no check failed. */
  readonly identity: GuestIdentity | undefined
}

/**
 * Whether an endorsement key is a guest's of this fleet: the same checks as for a machine's (see `checkEk`), with the
 * fleet's own guest CA, and nobody else, in the place of the manufacturers. Whether that guest may run, and where, is in
 * its placement.
 */
export function checkGuestEk({ authority, root, expired, ...input }: GuestEkInput): GuestEkResult {
  const { certificate } = input.certificate
  const { checks: common, path } = checkEk({
    ...input,
    chain: [],
    trust: { anchors: [root], intermediates: [authority] },
    policy: { certificate: 'required', expired, allowSha1: false },
  })
  const identity = guestIdentityOf(certificate)
  const isBelow = path?.[1] !== undefined && equalBytes(path[1].der, authority.der)
  const purposes = extendedKeyUsageOf(certificate) ?? []
  const isEk = basicConstraintsOf(certificate)?.ca !== true && purposes.includes(OID.ekCertificate)
  const checks = common.map((check): Check => {
    if (check.check !== 'ek.purpose') return check
    // What this check asks of a machine's certificate is the opposite of what is asked here.
    if (identity !== undefined && isBelow && isEk)
      return { check: check.check, outcome: 'pass', actual: identity.guest }
    return { check: check.check, outcome: 'fail', code: 'guest.certificate_untrusted', expected: OID.guestEk }
  })
  const isSound = checks.every(({ outcome }) => outcome === 'pass' || outcome === 'warn')
  return { checks, identity: isSound ? identity : undefined }
}
