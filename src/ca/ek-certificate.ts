import { TouchstoneError, view } from '../core/index.ts'
import { Reader } from '../codec/index.ts'
import { directoryNamesOf, OID, readCertificate } from './path/index.ts'
import type { Certificate } from './path/index.ts'

/** What a manufacturer says of a TPM in its certificate (TCG EK Credential Profile 2.5, section 3.1.2). */
export interface TpmIdentity {
  /** `id:` and the four characters of TPM_PT_MANUFACTURER in hex, for example `id:53544D20`. */
  readonly manufacturer: string
  readonly model: string
  readonly version: string
}

export interface EkCertificate {
  readonly certificate: Certificate
  /** As the certificate states it: no more trusted than its chain. */
  readonly tpm: TpmIdentity | undefined
}

interface NvHeader {
  readonly magic: Buffer
  /** Where the big-endian 16-bit size is, and how much more than the certificate it counts. */
  readonly sizeAt: number
  readonly counts: number
  readonly size: number
}

/** Headers that precede a certificate in NV. */
const NV_HEADERS: readonly NvHeader[] = [
  // TCG PC Client Implementation Specification 1.21, section 7.4.2: TCG_PCCLIENT_STORED_CERT with a TCG_FULL_CERT.
  { magic: Buffer.from('100100', 'hex'), sizeAt: 3, counts: 2, size: 7 },
  // Certificate provisioned with a version 0 header: four bytes of zero, a 16-bit type of 1, the size.
  { magic: Buffer.from('000000000001', 'hex'), sizeAt: 6, counts: 0, size: 8 },
]
const FULL_CERT = 0x1002

/**
 * Reads an EK certificate as it lies in a TPM's NV (TCG EK Credential Profile 2.5, section 2.2.1.4): with or without a
 * header, and padded with 00 or ff to the end of the index. The DER is taken as it is and never encoded again, so that
 * its digest is the manufacturer's. An expired certificate reads like any other.
 *
 * Throws `ca.ek_blank` for an index that was never written, `ca.ek_tpm12` for the certificate of a TPM 1.2, whose key is
 * marked for rsaesOaep, and `decode.*`.
 */
export function readEkCertificate(nv: Uint8Array): EkCertificate {
  const bytes = view(nv)
  if (bytes.every((byte) => byte === 0xff) || bytes.every((byte) => byte === 0))
    throw new TouchstoneError('ca.ek_blank')
  const reader = new Reader(bytes, 'EkCertificate')
  const certificate = skipHeader(reader, bytes)
  const at = reader.offset
  const padding = reader.rest()
  const filler = padding[0]
  if (filler !== undefined && ((filler !== 0x00 && filler !== 0xff) || padding.some((byte) => byte !== filler))) {
    throw new TouchstoneError(
      'decode.trailing',
      `EkCertificate at byte ${at}: what follows the certificate is no padding`,
    )
  }
  if (certificate.keyAlgorithm.oid === OID.rsaesOaep) throw new TouchstoneError('ca.ek_tpm12')
  return { certificate, tpm: tpmIdentityOf(certificate) }
}

function skipHeader(reader: Reader, bytes: Buffer): Certificate {
  const header = NV_HEADERS.find(({ magic }) => bytes.subarray(0, magic.byteLength).equals(magic))
  if (header === undefined) return readCertificate(reader)
  reader.bytes(header.sizeAt)
  const size = reader.u16() - header.counts
  if (header.counts > 0) {
    const at = reader.offset
    if (reader.u16() !== FULL_CERT) throw reader.invalid(at, 'expected 1002, a full certificate')
  }
  return reader.window(Math.max(size, 0), () => readCertificate(reader))
}

/** The TPM's attributes in the subject alternative name's directory name, where all three are there. */
function tpmIdentityOf(certificate: Certificate): TpmIdentity | undefined {
  for (const name of directoryNamesOf(certificate)) {
    const value = (oid: string) => name.attributes.find((attribute) => attribute.oid === oid)?.value
    const manufacturer = value(OID.tpmManufacturer)
    const model = value(OID.tpmModel)
    const version = value(OID.tpmVersion)
    if (manufacturer !== undefined && model !== undefined && version !== undefined) {
      return { manufacturer, model, version }
    }
  }
  return undefined
}
