import type { FastifyBaseLogger } from 'fastify'
import type { Manifest, TrustStore } from '../../ca/index.ts'
import type { Clock } from '../../core/index.ts'
import type { Store } from '../../store/index.ts'
import type { CertificateAuthority } from '../ca-directory.ts'
import type { ServerConfig } from '../config.ts'
import type { GrantKey, ReleaseKey } from '../fleet-keys.ts'
import type { ResultsKeys } from '../results-keys.ts'
import type { PolicySource } from './policies.ts'

export type Settings = Pick<
  ServerConfig,
  | 'admission'
  | 'ekCertificates'
  | 'reEnrolment'
  | 'interval'
  | 'resultLifetime'
  | 'certificateLifetime'
  | 'guestCertificateLifetime'
  | 'resultProfile'
  | 'limits'
> & {
  /** Who results say they are from. */
  readonly issuer: string
}

/** Keys that every verifier over one database shares; see `secrets` in the store. */
export interface SharedSecrets {
  /** MAC of the stateless nonces. */
  readonly nonce: Buffer
  /** Makes up the log digest that unknown nodes are told. */
  readonly pseudonym: Buffer
}

/** Everything that the services stand on. */
export interface VerifierDeps {
  readonly store: Store
  readonly clock: Clock
  /** Bytes from a CSPRNG. */
  readonly random: (size: number) => Buffer
  readonly log: FastifyBaseLogger
  readonly settings: Settings
  readonly trust: TrustStore
  readonly manifest: Manifest | undefined
  readonly policies: PolicySource
  readonly ca: CertificateAuthority
  readonly results: ResultsKeys
  readonly releaseKey: ReleaseKey
  readonly grantKey: GrantKey
  readonly secrets: SharedSecrets
  /** Of this program; part of results. */
  readonly version: string
}
