import { TouchstoneError } from '../../core/index.ts'
import { sequence } from '../der-writer.ts'
import { OID } from '../path/index.ts'
import type { Certificate } from '../path/index.ts'
import { distinguishedName, hostName } from './names.ts'
import { basicConstraints, extendedKeyUsage, extension, keyUsage, writeCertificate } from './write-certificate.ts'
import type { Issuance, Issuer } from './write-certificate.ts'

export interface ServerCertificateInput extends Issuance {
  /** DNS names and IP addresses, at least one. The subject is empty, so the alternative name is critical. */
  readonly hosts: readonly string[]
  readonly spki: Buffer
}

/** The verifier's own TLS certificate. Throws `ca.name` for a host that is neither a DNS name nor an address. */
export async function makeServerCertificate(
  issuer: Issuer,
  { hosts, spki, ...issuance }: ServerCertificateInput,
): Promise<Certificate> {
  if (hosts.length === 0) throw new TouchstoneError('ca.name', 'a server certificate needs a host name')
  const extensions = [
    basicConstraints(undefined),
    keyUsage('digitalSignature'),
    extendedKeyUsage(OID.serverAuth),
    extension(OID.subjectAltName, sequence(...hosts.map(hostName)), 'critical'),
  ]
  return writeCertificate({ subject: distinguishedName(), spki, extensions }, issuer, issuance)
}

export interface ResultsCertificateInput extends Issuance {
  readonly commonName: string
  readonly spki: Buffer
}

/**
 * The certificate of the key that signs results and answers to nodes. Its purpose is of its own, so that no server's or
 * node's certificate under the same authority can pass for it.
 */
export async function makeResultsCertificate(
  issuer: Issuer,
  { commonName, spki, ...issuance }: ResultsCertificateInput,
): Promise<Certificate> {
  const extensions = [basicConstraints(undefined), keyUsage('digitalSignature'), extendedKeyUsage(OID.resultSigning)]
  return writeCertificate(
    { subject: distinguishedName([OID.commonName, commonName]), spki, extensions },
    issuer,
    issuance,
  )
}
