import { OID } from '../path/index.ts'
import type { Certificate } from '../path/index.ts'
import type { Signer } from '../signer.ts'
import { distinguishedName } from './names.ts'
import {
  basicConstraints,
  extendedKeyUsage,
  keyUsage,
  policies,
  writeCertificate,
  writeSelfSigned,
} from './write-certificate.ts'
import type { Issuance, Issuer } from './write-certificate.ts'

export interface AuthorityInput extends Issuance {
  /** At most 64 characters each. */
  readonly commonName: string
  readonly organization: string
}

/** A root that has issuing authorities below it and nothing below those (path length 1). P-384 by convention. */
export async function makeRootCertificate(signer: Signer, input: AuthorityInput): Promise<Certificate> {
  const extensions = [basicConstraints({ pathLength: 1 }), keyUsage('keyCertSign', 'cRLSign')]
  return writeSelfSigned({ subject: nameOf(input), spki: signer.spki, extensions }, signer, input)
}

/** An authority that issues to nodes and services, and to no further authority (path length 0). P-256 by convention. */
export async function makeIssuingCertificate(
  issuer: Issuer,
  spki: Buffer,
  input: AuthorityInput,
): Promise<Certificate> {
  const extensions = [basicConstraints({ pathLength: 0 }), keyUsage('keyCertSign', 'cRLSign'), policies(OID.anyPolicy)]
  return writeCertificate({ subject: nameOf(input), spki, extensions }, issuer, input)
}

/**
 * The authority of guests' endorsement keys, and of nothing else: path length 0, its own policy where the issuing
 * authority has any, and the purpose of EK certificates, to which OpenSSL holds what is below. P-256 by convention.
 */
export async function makeGuestAuthorityCertificate(
  issuer: Issuer,
  spki: Buffer,
  input: AuthorityInput,
): Promise<Certificate> {
  const extensions = [
    basicConstraints({ pathLength: 0 }),
    keyUsage('keyCertSign', 'cRLSign'),
    extendedKeyUsage(OID.ekCertificate),
    policies(OID.guestEk),
  ]
  return writeCertificate({ subject: nameOf(input), spki, extensions }, issuer, input)
}

function nameOf({ organization, commonName }: AuthorityInput): Buffer {
  return distinguishedName([OID.organizationName, organization], [OID.commonName, commonName])
}
