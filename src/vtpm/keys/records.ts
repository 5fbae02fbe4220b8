import type { TpmtPublic } from '../../tpm/index.ts'
import type { KeyKind, KeyUse } from '../../wire/index.ts'
import type { SealedBlob } from '../hardware/index.ts'

/** A secret's content, encrypted under 32 bytes that are sealed in the TPM: AES-256-GCM. */
export interface SealedContent {
  readonly iv: Buffer
  readonly tag: Buffer
  readonly ciphertext: Buffer
}

export interface VersionRecord {
  readonly version: number
  /** Milliseconds since the Unix epoch. */
  readonly created: number
  readonly blob: SealedBlob
  /** What `blob.public` holds. */
  readonly publicArea: TpmtPublic
  readonly sealed?: SealedContent
  /** `sha256:7,14`; see `parsePcrSelection`. */
  readonly pcrs?: string
  /** PEM, the key's own first. */
  readonly certificate?: readonly string[]
}

/** A named key with its versions, oldest first; there is at least one. Never changed: each change makes another record. */
export interface KeyRecord {
  readonly name: string
  readonly kind: KeyKind
  readonly uses: readonly KeyUse[]
  readonly created: number
  /** What the next version is called: no number is given twice, also not that of a version which was deleted. */
  readonly next: number
  readonly versions: readonly VersionRecord[]
}
