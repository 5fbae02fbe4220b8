import type { NodeId } from '../../core/index.ts'
import { sequence } from '../der-writer.ts'
import type { TpmIdentity } from '../ek-certificate.ts'
import type { HardwareIdentity } from '../hardware-identity.ts'
import { OID } from '../path/index.ts'
import type { Certificate } from '../path/index.ts'
import { distinguishedName, hardwareModuleName, nodeUri, permanentIdentifier, tpmDirectoryName } from './names.ts'
import {
  basicConstraints,
  extendedKeyUsage,
  extension,
  keyUsage,
  policies,
  writeCertificate,
} from './write-certificate.ts'
import type { Issuance, Issuer } from './write-certificate.ts'

export interface DeviceCertificateInput extends Issuance {
  readonly nodeId: NodeId
  /** The serial number under which the node was admitted. */
  readonly nodeSerial: string
  readonly hardware: HardwareIdentity
  /** DER SubjectPublicKeyInfo of the device key. */
  readonly spki: Buffer
}

/**
 * The LDevID certificate: who the node is, to anyone who speaks TLS with it. After TCG, "TPM 2.0 Keys for Device Identity
 * and Attestation" 1.0: the hardware in hardwareModuleName and permanentIdentifier, and as policy that the key cannot
 * leave its TPM. It says nothing of the node's state.
 */
export async function makeDeviceCertificate(issuer: Issuer, input: DeviceCertificateInput): Promise<Certificate> {
  const { nodeId, nodeSerial, hardware, spki } = input
  const names = [
    hardwareModuleName(hardware.serial),
    permanentIdentifier(hardware.permanentIdentifier),
    nodeUri(nodeId),
  ]
  const extensions = [
    basicConstraints(undefined),
    keyUsage('digitalSignature'),
    extendedKeyUsage(OID.clientAuth),
    extension(OID.subjectAltName, sequence(...names)),
    policies(OID.verifiedTpmFixed),
  ]
  const subject = distinguishedName([OID.commonName, nodeId], [OID.serialNumber, nodeSerial])
  return writeCertificate({ subject, spki, extensions }, issuer, input)
}

export interface AkCertificateInput extends Issuance {
  readonly nodeId: NodeId
  /** From the EK certificate; `undefined` where the TPM has none, and then the certificate does not name the TPM. */
  readonly tpm: TpmIdentity | undefined
  /** DER SubjectPublicKeyInfo of the AK. */
  readonly spki: Buffer
}

/**
 * The attestation key's certificate (TCG EK Credential Profile and "TPM 2.0 Keys for Device Identity and Attestation"):
 * an empty subject, the TPM in a critical alternative name, and the purpose tcg-kp-AIKCertificate first.
 */
export async function makeAkCertificate(
  issuer: Issuer,
  { nodeId, tpm, spki, ...issuance }: AkCertificateInput,
): Promise<Certificate> {
  const names = [...(tpm === undefined ? [] : [tpmDirectoryName(tpm)]), nodeUri(nodeId)]
  const extensions = [
    basicConstraints(undefined),
    keyUsage('digitalSignature'),
    extendedKeyUsage(OID.aikCertificate),
    extension(OID.subjectAltName, sequence(...names), 'critical'),
    policies(OID.verifiedTpmRestricted),
  ]
  return writeCertificate({ subject: distinguishedName(), spki, extensions }, issuer, issuance)
}
