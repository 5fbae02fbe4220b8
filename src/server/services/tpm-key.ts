import { toHex } from '../../core/index.ts'
import { nameOf, readPublicArea, spkiOf, type TpmtPublic } from '../../tpm/index.ts'

/** A public area as it was sent, and what follows from it. */
export interface TpmKey {
  /** TPM2B_PUBLIC. */
  readonly bytes: Buffer
  readonly pub: TpmtPublic
  readonly name: Buffer
  /** The Name in hex, as the store keys it. */
  readonly nameHex: string
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Buffer
}

/** `field` begins the path in errors. Throws `decode.*`, and `tpm.*` for a public area that holds no usable key. */
export function readTpmKey(field: string, bytes: Buffer): TpmKey {
  const pub = readPublicArea(field, bytes)
  const name = nameOf(pub)
  return { bytes, pub, name, nameHex: toHex(name), spki: spkiOf(pub) }
}
