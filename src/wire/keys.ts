import { z } from 'zod'
import { bytesSchema } from './bytes.ts'
import { keyName } from './placement-names.ts'

/**
 * The bodies of the key service on a tenant's socket. Times are RFC 3339 UTC; keys never leave the TPM, so none of these
 * carries a private key. `secret` is what an app gave to be kept, and is only ever in the body of seal and unseal.
 */

/** Bounds of the key service, in bytes unless the name says otherwise. */
export const KEY_LIMITS = {
  /** What is hashed here and signed in the TPM. */
  message: 256 << 10,
  /** What is fed through the TPM itself, 1 KiB a command. */
  hmacMessage: 32 << 10,
  /** JSON of a token's claims, or its payload. */
  payload: 16 << 10,
  secret: 32 << 10,
  random: 1024,
  /** One RSA-2048 block. */
  ciphertext: 256,
  nonce: 64,
  /** What an agreement gives, and salt and info of its derivation. */
  derived: 128,
  derivation: 1024,
  /** Versions of one key that exist at once. */
  versions: 8,
} as const

export const KEY_KINDS = [
  ...(['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'rsa-pss-2048', 'ecdh-p256', 'ecdh-p384'] as const),
  ...(['hmac-sha256', 'secret'] as const),
] as const
export const keyKind = z.enum(KEY_KINDS)
export type KeyKind = z.output<typeof keyKind>

export const keyUse = z.enum(['sign', 'decrypt', 'agree', 'unseal'])
export type KeyUse = z.output<typeof keyUse>

/** JWS algorithms (RFC 7518 section 3.1); a key has one, or none where it does not sign. */
export const keyAlgorithm = z.enum(['ES256', 'ES384', 'RS256', 'PS256', 'HS256'])
export type KeyAlgorithm = z.output<typeof keyAlgorithm>

const time = z.string()
const version = z.number().int().min(1).max(0xffff_ffff)
/** PCRs of one bank, as tpm2-tools write them. */
const pcrs = z
  .string()
  .regex(/^sha(?:1|256|384|512):\d{1,2}(?:,\d{1,2}){0,23}$/, 'expected PCRs of one bank, for example sha256:7,14')

export const keyPath = z.object({ name: keyName })

/** PUT of the same again changes nothing; of something else under a name that is taken, it is refused. */
export const keyCreation = z.strictObject({
  kind: keyKind,
  /** Of an rsa-2048 key; `sign` alone where it does not say. Other kinds have one use each. */
  uses: z
    .array(z.enum(['sign', 'decrypt', 'agree']))
    .min(1)
    .max(2)
    .refine((uses) => new Set(uses).size === uses.length, 'a use is named twice')
    .exactOptional(),
  /** Of a secret: how many random bytes the TPM makes, 32 where it does not say. To keep bytes of your own, use seal. */
  size: z.number().int().min(16).max(KEY_LIMITS.random).exactOptional(),
  /** Of a secret: it comes back only while these registers are as they are now. */
  pcrs: pcrs.exactOptional(),
})
export type KeyCreation = z.input<typeof keyCreation>

const jwk = z.record(z.string(), z.json())

export const keyVersion = z.object({
  version,
  /** RFC 7638 thumbprint, or for a key without a public part, the same over its Name in the TPM. */
  kid: z.string(),
  created: time,
  publicKey: z.object({ pem: z.string(), jwk }).exactOptional(),
  /** PEM of the certificate, then of those above it. */
  certificate: z.array(z.string()).exactOptional(),
  /** Of a secret: its size in bytes. */
  size: z.number().int().exactOptional(),
  pcrs: z.string().exactOptional(),
})
export type KeyVersion = z.output<typeof keyVersion>

export const keyDetail = z.object({
  name: z.string(),
  kind: keyKind,
  uses: z.array(keyUse),
  algorithm: keyAlgorithm.exactOptional(),
  created: time,
  /** The version that signs, and that everybody gets who does not ask for another; the newest. */
  current: version,
  /** Oldest first. */
  versions: z.array(keyVersion),
})
export type KeyDetail = z.output<typeof keyDetail>

export const keySummary = z.discriminatedUnion('state', [
  z.object({
    state: z.literal('ready'),
    name: z.string(),
    kind: keyKind,
    uses: z.array(keyUse),
    algorithm: keyAlgorithm.exactOptional(),
    created: time,
    current: version,
    kid: z.string(),
    versions: z.number().int(),
  }),
  /** Its file is not what this broker wrote; `code` says in which way. It can be deleted, and nothing else. */
  z.object({ state: z.literal('damaged'), name: z.string(), code: z.string() }),
])
export type KeySummary = z.output<typeof keySummary>

export const keyList = z.object({
  items: z.array(keySummary),
  /** What there is, and what this tenant may have. */
  quota: z.object({
    keys: z.number().int(),
    maxKeys: z.number().int(),
    secretBytes: z.number().int(),
    maxSecretBytes: z.number().int(),
  }),
})
export type KeyList = z.output<typeof keyList>

export const signRequest = z
  .strictObject({
    /** Hashed with the key's own algorithm before it is signed. */
    message: bytesSchema(KEY_LIMITS.message, 0).exactOptional(),
    /** Of the key's own algorithm; not for HMAC. */
    digest: bytesSchema(64, 32).exactOptional(),
  })
  .refine(
    ({ message, digest }) => (message === undefined) !== (digest === undefined),
    'expected a message or a digest, and not both',
  )

const signature = bytesSchema(512)

export const signResult = z.object({
  version,
  kid: z.string(),
  algorithm: keyAlgorithm,
  /** As in a JWS: for ECDSA r and s at their full width, for RSA PKCS #1 v1.5 or PSS, for HMAC the code. */
  signature,
  /** ECDSA only: Ecdsa-Sig-Value in DER, as OpenSSL and X.509 have it. */
  der: bytesSchema(160).exactOptional(),
})

export const verifyRequest = z.strictObject({
  message: bytesSchema(KEY_LIMITS.message, 0),
  signature,
  encoding: z.enum(['raw', 'der']).default('raw'),
})

/** Without `version` the signature is by no version of this key that still exists. */
export const verifyResult = z.object({ valid: z.boolean(), version: version.exactOptional() })

export const tokenRequest = z
  .strictObject({
    /** JSON claims; `iat` and `exp` are set from `expiresIn`. */
    claims: z.record(z.string(), z.json()).exactOptional(),
    /** Or any bytes. */
    payload: bytesSchema(KEY_LIMITS.payload, 0).exactOptional(),
    /** Seconds; only with claims. */
    expiresIn: z
      .number()
      .int()
      .min(1)
      .max(366 * 86_400)
      .exactOptional(),
    /** Further protected header parameters. `alg` and `kid` are the key's. */
    header: z.record(z.string(), z.json()).exactOptional(),
    /** Puts the key's certificates into the header (x5c). */
    certificate: z.boolean().default(false),
  })
  .refine((body) => (body.claims === undefined) !== (body.payload === undefined), 'expected claims or a payload')
  .refine(
    (body) => body.expiresIn === undefined || body.claims !== undefined,
    'expiresIn needs claims that it can be put into',
  )
  .refine(
    ({ claims, expiresIn }) =>
      expiresIn === undefined || !(claims !== undefined && ('iat' in claims || 'exp' in claims)),
    'expiresIn sets iat and exp: give it or them',
  )
export type TokenRequest = z.input<typeof tokenRequest>

export const tokenResult = z.object({ jws: z.string(), kid: z.string(), version })

export const decryptRequest = z.strictObject({
  /** RSA-OAEP-256 (RFC 7518 section 4.3): SHA-256 for hash and mask, no label. */
  ciphertext: bytesSchema(KEY_LIMITS.ciphertext, KEY_LIMITS.ciphertext),
  version: version.exactOptional(),
})
export const decryptResult = z.object({ plaintext: bytesSchema(KEY_LIMITS.ciphertext, 0), version })

/** Bytes that both sides of an agreement have and nobody else: the point's x coordinate, or what HKDF makes of it. */
export const agreeRequest = z
  .strictObject({
    /** DER SubjectPublicKeyInfo of the other side, on the curve of the key. */
    peer: bytesSchema(256),
    /** HKDF (RFC 5869) with the hash of the key's curve, SHA-256 or SHA-384, over the coordinate. */
    derive: z
      .strictObject({
        size: z.number().int().min(16).max(KEY_LIMITS.derived),
        salt: bytesSchema(KEY_LIMITS.derivation, 0).exactOptional(),
        info: bytesSchema(KEY_LIMITS.derivation, 0).exactOptional(),
      })
      .exactOptional(),
    /** The coordinate itself, at its full width: no key yet, but what a protocol with its own derivation begins with. */
    raw: z.literal(true).exactOptional(),
    version: version.exactOptional(),
  })
  .refine(({ derive, raw }) => (derive === undefined) !== (raw === undefined), 'expected derive or raw, and not both')
export const agreeResult = z.object({ secret: bytesSchema(KEY_LIMITS.derived), version })

/** Keeps these bytes as the newest version of a secret, making the secret where there is none. */
export const sealRequest = z.strictObject({
  secret: bytesSchema(KEY_LIMITS.secret),
  pcrs: pcrs.exactOptional(),
})
export const unsealRequest = z.strictObject({ version: version.exactOptional() })
export const unsealResult = z.object({ secret: bytesSchema(KEY_LIMITS.secret), version })

export const randomRequest = z.strictObject({ size: z.number().int().min(1).max(KEY_LIMITS.random) })
export const randomResult = z.object({ bytes: bytesSchema(KEY_LIMITS.random) })

export const attestRequest = z.strictObject({
  /** From whoever is to be convinced; they compute the qualifying data from it, see `keyQualifyingData`. */
  nonce: bytesSchema(KEY_LIMITS.nonce, 8),
  version: version.exactOptional(),
})
export const attestResult = z.object({
  version,
  kid: z.string(),
  /** The tenant that this socket is; part of the qualifying data, as the key's name and version are. */
  tenant: z.string(),
  /** TPMS_ATTEST of TPM2_Certify, and the TPMT_SIGNATURE over it by the node's AK. */
  statement: bytesSchema(2048),
  signature: bytesSchema(1024),
  /** TPMT_PUBLIC of the key, whose Name the statement has, and of the AK. */
  publicArea: bytesSchema(1024),
  akPublic: bytesSchema(1024),
  nodeId: z.string().exactOptional(),
  /** PEM of the AK's certificate and those above it, where the node has them. */
  akCertificate: z.array(z.string()).exactOptional(),
})

export const emptyRequest = z.strictObject({})
export const certificateResult = z.object({ version, kid: z.string(), certificate: z.array(z.string()) })

/** Without a version the whole key. */
export const keyDeletion = z.strictObject({ version: z.coerce.number().int().min(1).max(0xffff_ffff).optional() })
/** Versions that are left. */
export const keyDeletionResult = z.object({ left: z.number().int() })
