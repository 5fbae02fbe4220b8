import { createPublicKey } from 'node:crypto'
import { isTouchstoneError, parseNodeId } from '../../core/index.ts'
import type { NodeId } from '../../core/index.ts'
import { integer, oid, sequence, setOfOne, utf8String } from '../der-writer.ts'
import type { TpmIdentity } from '../ek-certificate.ts'
import { OID, policiesOf, urisOf } from '../path/index.ts'
import type { Certificate } from '../path/index.ts'
import { distinguishedName, touchstoneUri, tpmDirectoryName } from './names.ts'
import {
  basicConstraints,
  extendedKeyUsage,
  extension,
  keyUsage,
  policies,
  writeCertificate,
} from './write-certificate.ts'
import type { Issuance, Issuer } from './write-certificate.ts'

/** Whose vTPM an endorsement key is in, when its certificate was made. */
export interface GuestIdentity {
  /** UUID. */
  readonly guest: string
  /** The machine that it was placed on. */
  readonly nodeId: NodeId
  /** `[a-z0-9][a-z0-9-]{0,31}`. */
  readonly tenant: string
  readonly generation: number
}

export interface GuestEkCertificateInput extends Issuance, GuestIdentity {
  /** DER SubjectPublicKeyInfo of the guest's EK. */
  readonly spki: Buffer
}

/** What libtpms says of itself: TPM_PT_MANUFACTURER, the program, TPM_PT_FIRMWARE_VERSION_1. */
const VTPM: TpmIdentity = { manufacturer: 'id:49424D00', model: 'swtpm', version: 'id:20191023' }

/** TCG EK Credential Profile 2.5, section 3.1.3: the library specification 2.0, revision 1.64. */
const SPECIFICATION = sequence(
  sequence(oid(OID.tpmSpecification), setOfOne(sequence(utf8String('2.0'), integer(0n), integer(164n)))),
)

/**
 * The certificate of a guest's endorsement key, by the guest CA. After TCG, "EK Credential Profile for TPM Family 2.0"
 * 2.5: an empty subject, the TPM in a critical alternative name, the purpose tcg-kp-EKCertificate. Beside the TPM stands
 * the guest as `urn:touchstone:guest/…/node/…/tenant/…/generation/…`, and the policy is that of the guest CA.
 */
export async function makeGuestEkCertificate(
  issuer: Issuer,
  { guest, nodeId, tenant, generation, spki, ...issuance }: GuestEkCertificateInput,
): Promise<Certificate> {
  const uri = touchstoneUri(['guest', guest], ['node', nodeId], ['tenant', tenant], ['generation', generation])
  const isRsa = createPublicKey({ key: spki, format: 'der', type: 'spki' }).asymmetricKeyType === 'rsa'
  const extensions = [
    basicConstraints(undefined),
    keyUsage(isRsa ? 'keyEncipherment' : 'keyAgreement'),
    extendedKeyUsage(OID.ekCertificate),
    extension(OID.subjectAltName, sequence(tpmDirectoryName(VTPM), uri), 'critical'),
    extension(OID.subjectDirectoryAttributes, SPECIFICATION),
    policies(OID.guestEk),
  ]
  return writeCertificate({ subject: distinguishedName(), spki, extensions }, issuer, issuance)
}

/**
 * Whether this is a guest CA's certificate, or one that it issued. It says so itself: trust is in its path. Policies that
 * cannot be read are some vendor's, since no guest CA writes such.
 */
export function isOfGuestCa(certificate: Certificate): boolean {
  try {
    return policiesOf(certificate).includes(OID.guestEk)
  } catch (error) {
    if (isTouchstoneError(error)) return false
    throw error
  }
}

const GUEST_URI =
  /^urn:touchstone:guest\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/node\/([0-9a-f-]{36})\/tenant\/([a-z0-9][a-z0-9-]{0,31})\/generation\/([1-9]\d{0,14})$/

/**
 * Whose vTPM a certificate of the guest CA is for; `undefined` where it is none. No more trusted than the certificate's
 * path, which the caller validates up to the guest CA.
 */
export function guestIdentityOf(certificate: Certificate): GuestIdentity | undefined {
  if (!isOfGuestCa(certificate)) return undefined
  const [uri, ...more] = urisOf(certificate)
  const [, guest, node, tenant, generation] = GUEST_URI.exec(uri ?? '') ?? []
  const nodeId = parseNodeId(node ?? '')
  if (more.length > 0 || guest === undefined || nodeId === undefined || tenant === undefined) return undefined
  return { guest, nodeId, tenant, generation: Number(generation) }
}
