import type { PcrSelection, TpmtPublic } from '../../tpm/index.ts'
import type { KeyKind, KeyUse } from '../../wire/index.ts'
import type { Attestation, SealedBlob } from '../hardware/index.ts'

/** One version of a key, as the TPM needs it. The same `blob` object means the same key: loaded ones are found by it. */
export interface WrappedKey {
  readonly blob: SealedBlob
  readonly publicArea: TpmtPublic
}

/** Whose key it is; its authorisation value is derived from these, so that one key never passes for another. */
export interface KeyLabel {
  readonly name: string
  readonly version: number
}

/**
 * What the TPM does for one tenant. All of it runs one at a time. Rejects with `key.kind`, `key.ciphertext`,
 * `key.registers`, `key.elsewhere`, or as the TPM client does.
 */
export interface KeyHardware {
  /** Makes and loads the tenant's parent key, or loads the one that there is. Answers what to keep when it was made. */
  prepare(parent: SealedBlob | undefined): Promise<SealedBlob | undefined>
  create(label: KeyLabel, kind: KeyKind, uses: readonly KeyUse[]): Promise<WrappedKey>
  /** Seals 32 bytes; with `pcrs` to the values that these registers have now. */
  seal(label: KeyLabel, secret: Uint8Array, pcrs: PcrSelection | undefined): Promise<WrappedKey>
  unseal(label: KeyLabel, key: WrappedKey, pcrs: PcrSelection | undefined): Promise<Buffer>
  /** As JWS has signatures: r and s at their full width, PKCS #1 v1.5, or PSS with the salt that the TPM takes. */
  sign(label: KeyLabel, key: WrappedKey, digest: Uint8Array): Promise<Buffer>
  hmac(label: KeyLabel, key: WrappedKey, message: Uint8Array): Promise<Buffer>
  /** RSA-OAEP with SHA-256. */
  decrypt(label: KeyLabel, key: WrappedKey, ciphertext: Uint8Array): Promise<Buffer>
  /** The x coordinate of the shared point, at the full width of the curve. Fill it with zeros after use. */
  agree(label: KeyLabel, key: WrappedKey, peer: { readonly x: Buffer; readonly y: Buffer }): Promise<Buffer>
  random(size: number): Promise<Buffer>
  /** By the node's AK. Rejects with `key.no_attestation`. */
  certify(label: KeyLabel, key: WrappedKey, qualifyingData: Uint8Array): Promise<Certification>
  /** Takes a key out of the TPM that will not be used again. */
  forget(key: WrappedKey): Promise<void>
  close(): Promise<void>
}

export interface Certification extends Attestation {
  /** TPMT_PUBLIC of the AK. */
  readonly akPublic: Buffer
  readonly nodeId: string | undefined
  /** PEM of the AK's certificate and those above it; empty where there is none. */
  readonly akCertificate: readonly string[]
}
