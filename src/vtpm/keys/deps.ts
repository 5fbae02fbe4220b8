import type { Clock } from '../../core/index.ts'
import type { IssuedOf } from '../../wire/index.ts'
import type { AuditLog } from '../lane/index.ts'
import type { KeyHardware } from './key-hardware.ts'
import type { KeyStore } from './key-store.ts'
import type { OneAtATime } from './one-at-a-time.ts'

/** What one tenant may have, and how fast it may ask. */
export interface KeyQuota {
  readonly keys: number
  /** Bytes of all secrets together, all versions counted. */
  readonly secretBytes: number
  readonly requestsPerSecond: number
  readonly burst: number
  /** Keys, versions, certificates and attestations: what costs the TPM or the verifier most. */
  readonly creationsPerMinute: number
}

/** Obtains a certificate through the node's evidence; see `encodeIssueRequest`. */
export type ObtainAppKey = (kind: 'appKey', request: Buffer) => Promise<IssuedOf<'appKey'>>

/** Everything that the operations of one tenant work with. */
export interface TenantKeys {
  readonly tenant: string
  readonly store: KeyStore
  readonly hardware: KeyHardware
  readonly quota: KeyQuota
  readonly audit: Pick<AuditLog, 'append' | 'accepting'>
  readonly clock: Clock
  readonly random: (size: number) => Buffer
  /** `undefined` where the broker has no agent. */
  readonly obtain: ObtainAppKey | undefined
  /** Changes run one after the other: each begins with what the one before has stored. */
  readonly changes: OneAtATime
}
