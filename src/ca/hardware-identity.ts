import { createHash } from 'node:crypto'
import { toHex } from '../core/index.ts'
import type { EkCertificate } from './ek-certificate.ts'
import { authorityKeyIdOf } from './path/index.ts'

/** How a certificate names the TPM that its key is in. */
export interface HardwareIdentity {
  /** hwSerialNum of a hardwareModuleName: bytes. */
  readonly serial: Buffer
  /** identifierValue of a permanentIdentifier: upper-case hex. */
  readonly permanentIdentifier: string
}

/**
 * The TPM's identity after TCG, "TPM 2.0 Keys for Device Identity and Attestation" 1.0: with an EK certificate, the
 * serial is `manufacturer:authority key identifier:certificate serial` and the identifier the certificate's SHA-256;
 * without, both come from the EK's SubjectPublicKeyInfo, the latter preceded by "EkPubkey".
 */
export function hardwareIdentityOf(ekSpki: Uint8Array, certificate: EkCertificate | undefined): HardwareIdentity {
  if (certificate === undefined) {
    return {
      serial: createHash('sha256').update(ekSpki).digest(),
      permanentIdentifier: upperHex(createHash('sha256').update('EkPubkey').update(ekSpki).digest()),
    }
  }
  const { certificate: leaf, tpm } = certificate
  const authority = authorityKeyIdOf(leaf)
  const manufacturer = tpm?.manufacturer.replace(/^id:/, '')
  return {
    serial:
      authority === undefined || manufacturer === undefined
        ? createHash('sha256').update(ekSpki).digest()
        : Buffer.from(`${manufacturer}:${upperHex(authority)}:${upperHex(leaf.serial)}`, 'latin1'),
    permanentIdentifier: upperHex(createHash('sha256').update(leaf.der).digest()),
  }
}

function upperHex(bytes: Uint8Array): string {
  return toHex(bytes).toUpperCase()
}
