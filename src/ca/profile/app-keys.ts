import type { NodeId } from '../../core/index.ts'
import { sequence } from '../der-writer.ts'
import { OID } from '../path/index.ts'
import type { Certificate } from '../path/index.ts'
import { distinguishedName, touchstoneUri } from './names.ts'
import {
  basicConstraints,
  extendedKeyUsage,
  extension,
  keyUsage,
  policies,
  writeCertificate,
} from './write-certificate.ts'
import type { Issuance, Issuer } from './write-certificate.ts'

export interface AppKeyCertificateInput extends Issuance {
  readonly nodeId: NodeId
  /** `[a-z0-9][a-z0-9-]{0,31}` */
  readonly tenant: string
  /** `[a-z0-9][a-z0-9._-]{0,62}` */
  readonly key: string
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Buffer
  /** Whether the node's AK certified that the key cannot leave the TPM; then the certificate says so. */
  readonly isTpmFixed: boolean
}

/**
 * The certificate of an app's named key: `urn:touchstone:node/…/tenant/…/key/…`. Its purpose is of its own and not that
 * of a TLS client: whoever lets nodes in by their device certificates must not let an app in as one.
 */
export async function makeAppKeyCertificate(
  issuer: Issuer,
  { nodeId, tenant, key, spki, isTpmFixed, ...issuance }: AppKeyCertificateInput,
): Promise<Certificate> {
  const extensions = [
    basicConstraints(undefined),
    keyUsage('digitalSignature'),
    extendedKeyUsage(OID.appKey),
    extension(OID.subjectAltName, sequence(touchstoneUri(['node', nodeId], ['tenant', tenant], ['key', key]))),
    ...(isTpmFixed ? [policies(OID.verifiedTpmFixed)] : []),
  ]
  const subject = distinguishedName([OID.organizationalUnitName, tenant], [OID.commonName, key])
  return writeCertificate({ subject, spki, extensions }, issuer, issuance)
}
