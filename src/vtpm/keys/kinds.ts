import { objectAttributes } from '../../tpm/index.ts'
import type { HashName, TpmtPublic } from '../../tpm/index.ts'
import type { KeyAlgorithm, KeyKind, KeyUse } from '../../wire/index.ts'

/** Everything that is known of one kind of key. */
interface KindRow {
  /** What it can be for; where a caller does not say, the first. */
  readonly uses: readonly KeyUse[]
  /** How it signs; `undefined` where it cannot. */
  readonly signing: { readonly algorithm: KeyAlgorithm; readonly hash: HashName } | undefined
  /** JWE algorithm (RFC 7518 section 4.1) for what is encrypted to it; absent where nothing is. */
  readonly encryption?: 'RSA-OAEP-256' | 'ECDH-ES'
  /** What its agreements are over. */
  readonly agreement?: { readonly curve: 'nist_p256' | 'nist_p384'; readonly hash: 'sha256' | 'sha384' }
  /** TPM_ECC_CURVE that the TPM must implement. */
  readonly curve?: number
  readonly template: (uses: readonly KeyUse[]) => TpmtPublic
}

const EMPTY = Buffer.alloc(0)
const NO_CIPHER = { algorithm: 'null' } as const

/** Made by the TPM, never to leave it, and outside dictionary-attack protection: lockout is TPM-wide. */
const OWN = ['fixedTPM', 'fixedParent', 'userWithAuth', 'noDA'] as const
const key = (...uses: readonly ('sign' | 'decrypt')[]) => objectAttributes(...OWN, 'sensitiveDataOrigin', ...uses)

const OAEP = { scheme: 'oaep', hashAlg: 'sha256' } as const
const PKCS1 = { scheme: 'rsassa', hashAlg: 'sha256' } as const

function ecdsa(curveID: 'nist_p256' | 'nist_p384', hashAlg: HashName): TpmtPublic {
  return {
    type: 'ecc',
    nameAlg: 'sha256',
    objectAttributes: key('sign'),
    authPolicy: EMPTY,
    parameters: { symmetric: NO_CIPHER, scheme: { scheme: 'ecdsa', hashAlg }, curveID, kdf: { scheme: 'null' } },
    unique: { x: EMPTY, y: EMPTY },
  }
}

/**
 * A key of one use has its scheme fixed, so that the TPM itself refuses every other; one of both must leave it open
 * (Part 2 section 12.2.3.5), and then it is this broker that asks for the same two schemes only.
 */
function rsa(uses: readonly KeyUse[]): TpmtPublic {
  const chosen = (['sign', 'decrypt'] as const).filter((use) => uses.includes(use))
  const scheme = chosen.length === 2 ? ({ scheme: 'null' } as const) : chosen[0] === 'sign' ? PKCS1 : OAEP
  return {
    type: 'rsa',
    nameAlg: 'sha256',
    objectAttributes: key(...chosen),
    authPolicy: EMPTY,
    parameters: { symmetric: NO_CIPHER, scheme, keyBits: 2048, exponent: 0 },
    unique: EMPTY,
  }
}

/** A template of its own, so that the TPM itself makes no other signature with it. */
const PSS: TpmtPublic = {
  type: 'rsa',
  nameAlg: 'sha256',
  objectAttributes: key('sign'),
  authPolicy: EMPTY,
  parameters: {
    symmetric: NO_CIPHER,
    scheme: { scheme: 'rsapss', hashAlg: 'sha256' },
    keyBits: 2048,
    exponent: 0,
  },
  unique: EMPTY,
}

/** For TPM2_ECDH_ZGen and nothing else; that command has no use for the hash of the scheme. */
function ecdh(curveID: 'nist_p256' | 'nist_p384', hashAlg: HashName): TpmtPublic {
  return {
    type: 'ecc',
    nameAlg: 'sha256',
    objectAttributes: key('decrypt'),
    authPolicy: EMPTY,
    parameters: { symmetric: NO_CIPHER, scheme: { scheme: 'ecdh', hashAlg }, curveID, kdf: { scheme: 'null' } },
    unique: { x: EMPTY, y: EMPTY },
  }
}

const HMAC: TpmtPublic = {
  type: 'keyedhash',
  nameAlg: 'sha256',
  objectAttributes: key('sign'),
  authPolicy: EMPTY,
  parameters: { scheme: { scheme: 'hmac', hashAlg: 'sha256' } },
  unique: EMPTY,
}

/** 32 bytes that the broker gives; see `secrets.ts`. A policy takes the place of the authorisation value. */
const SEALED: TpmtPublic = {
  type: 'keyedhash',
  nameAlg: 'sha256',
  objectAttributes: objectAttributes(...OWN),
  authPolicy: EMPTY,
  parameters: { scheme: { scheme: 'null' } },
  unique: EMPTY,
}

export function sealedUnder(policy: Buffer): TpmtPublic {
  return {
    ...SEALED,
    objectAttributes: objectAttributes('fixedTPM', 'fixedParent', 'adminWithPolicy', 'noDA'),
    authPolicy: policy,
  }
}

/**
 * Of PS256 the salt must be as long as the hash (RFC 7518 section 3.5). Older TPMs take the longest that fits (Part 1 annex
 * B.7), which no verifier of tokens accepts: whether this one can is tried with each new key; see lifecycle.ts.
 */
export const KINDS: Readonly<Record<KeyKind, KindRow>> = {
  'ecdsa-p256': {
    uses: ['sign'],
    signing: { algorithm: 'ES256', hash: 'sha256' },
    curve: 0x0003,
    template: () => ecdsa('nist_p256', 'sha256'),
  },
  'ecdsa-p384': {
    uses: ['sign'],
    signing: { algorithm: 'ES384', hash: 'sha384' },
    curve: 0x0004,
    template: () => ecdsa('nist_p384', 'sha384'),
  },
  'rsa-2048': {
    uses: ['sign', 'decrypt'],
    signing: { algorithm: 'RS256', hash: 'sha256' },
    encryption: 'RSA-OAEP-256',
    template: rsa,
  },
  'rsa-pss-2048': { uses: ['sign'], signing: { algorithm: 'PS256', hash: 'sha256' }, template: () => PSS },
  'ecdh-p256': {
    uses: ['agree'],
    signing: undefined,
    encryption: 'ECDH-ES',
    agreement: { curve: 'nist_p256', hash: 'sha256' },
    curve: 0x0003,
    template: () => ecdh('nist_p256', 'sha256'),
  },
  'ecdh-p384': {
    uses: ['agree'],
    signing: undefined,
    encryption: 'ECDH-ES',
    agreement: { curve: 'nist_p384', hash: 'sha384' },
    curve: 0x0004,
    template: () => ecdh('nist_p384', 'sha384'),
  },
  'hmac-sha256': { uses: ['sign'], signing: { algorithm: 'HS256', hash: 'sha256' }, template: () => HMAC },
  secret: { uses: ['unseal'], signing: undefined, template: () => SEALED },
}
