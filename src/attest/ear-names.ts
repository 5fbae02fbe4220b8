/**
 * EAT Attestation Results, as JWT and as CWT. The draft at -03 and the profile of 2023, which deployed readers want, say the
 * same with other names; in CBOR the names are numbers, and those are the same in both. This table is all that differs.
 *
 * Numbers: draft-ietf-rats-ear-03 (1000 to 1004), RFC 8392 (1 to 6), RFC 8747 (8), RFC 9711 (10, 265, 266).
 */
export const EAR_PROFILES = {
  /** draft-ietf-rats-ear-03 */
  'ear-03': {
    uri: 'tag:ietf.org,2026:rats/ear#03',
    verifierId: 'ear_verifier_id',
    status: 'ear_status',
    vector: 'ear_trustworthiness_vector',
    policies: 'ear_appraisal_policy_ids',
    policiesOf: (ids: readonly string[]): string | readonly string[] => ids,
  },
  /** draft-fv-rats-ear-00, as Veraison's libraries read it: one policy, named by one string. */
  'veraison-2023': {
    uri: 'tag:github.com,2023:veraison/ear',
    verifierId: 'ear.verifier-id',
    status: 'ear.status',
    vector: 'ear.trustworthiness-vector',
    policies: 'ear.appraisal-policy-id',
    policiesOf: (ids: readonly string[]): string | readonly string[] => ids.join(' '),
  },
} as const

export type EarProfile = keyof typeof EAR_PROFILES

export const CWT_LABELS = {
  issuer: 1,
  subject: 2,
  audience: 3,
  expires: 4,
  issuedAt: 6,
  confirmation: 8,
  nonce: 10,
  profile: 265,
  submodules: 266,
  status: 1000,
  vector: 1001,
  policies: 1003,
  verifierId: 1004,
} as const

/** draft-ietf-rats-ar4si section 3.3: developer, then build. */
export const VERIFIER_ID_LABELS = { developer: 0, build: 1 } as const

/** Claims of the trustworthiness vector (AR4SI section 3.1), by their number in CBOR. */
export const VECTOR_LABELS = {
  'instance-identity': 0,
  configuration: 1,
  executables: 2,
  'file-system': 3,
  hardware: 4,
} as const

/** A tier is a word in JSON and the first value of its range in CBOR (AR4SI section 3.2). */
export const STATUS_LABELS = { none: 0, affirming: 2, warning: 32, contraindicated: 96 } as const

/** Media types of the two serialisations (RFC 9782); `eat_profile` is their parameter. */
export const EAR_MEDIA = { jwt: 'application/eat+jwt', cwt: 'application/eat+cwt' } as const

export type EarFormat = keyof typeof EAR_MEDIA
