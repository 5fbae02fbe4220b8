import { decode } from '../../../src/codec/index.ts'
import { spkiOf, TPM2B_PUBLIC } from '../../../src/tpm/index.ts'
import { guestEk } from '../../ca/guest-keys.ts'
import { X509CertificateGenerator } from '../../ca/x509-library.ts'
import { webcrypto } from 'node:crypto'

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** DER: some CA's certificate for this TPM2B_PUBLIC, or for another EK. */
export async function certificateFor(ekPublic: Buffer | undefined): Promise<Buffer> {
  const ek = ekPublic === undefined ? guestEk() : decode('TPM2B_PUBLIC', TPM2B_PUBLIC, ekPublic)
  const issuer = await webcrypto.subtle.generateKey(ECDSA, true, ['sign', 'verify'])
  const subject = await webcrypto.subtle.importKey('spki', spkiOf(ek), ECDSA, true, ['verify'])
  const certificate = await X509CertificateGenerator.create({
    serialNumber: '01',
    subject: 'CN=guest',
    issuer: 'CN=guest CA',
    notBefore: new Date(0),
    notAfter: new Date(8_000_000_000_000),
    publicKey: subject,
    signingKey: issuer.privateKey,
    signingAlgorithm: ECDSA,
  })
  return Buffer.from(certificate.rawData)
}
