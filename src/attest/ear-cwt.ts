import { createPublicKey, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { Encoder } from 'cbor-x'
import { TouchstoneError, fromBase64Url, view } from '../core/index.ts'
import type { EarInput } from './ear.ts'
import { CWT_LABELS, EAR_MEDIA, EAR_PROFILES, STATUS_LABELS, VECTOR_LABELS, VERIFIER_ID_LABELS } from './ear-names.ts'

/** As {@link EarInput}; CBOR confirms by the key itself. */
export interface EarCwtInput extends Omit<EarInput, 'confirmation'> {
  /** DER SubjectPublicKeyInfo of the key that must confirm the result: P-256, P-384, P-521 or RSA. */
  readonly confirmationKey: Uint8Array
}

/** Maps with numbers for keys, definite lengths, no extensions of the library's own. */
const cbor = new Encoder({ useRecords: false, mapsAsObjects: false, tagUint8Array: false })

/** COSE header parameters (RFC 9052 section 3.1, RFC 9596), and the algorithm ES256 (RFC 9053). */
const HEADER = { algorithm: 1, keyId: 4, type: 16 } as const
const ES256 = -7
/** COSE_Sign1 (RFC 9052 section 2), as one byte. */
const TAG_SIGN1 = 0xd2

/**
 * The claims-set of the same result as a CBOR Web Token (RFC 8392): the bytes that {@link signCwtResult} signs. Throws
 * `result.nonce` for a nonce that is not base64url of 8 to 64 bytes, which is all that CBOR can carry (RFC 9711
 * section 4.1).
 */
export function earCwtClaims(input: EarCwtInput): Buffer {
  const names = EAR_PROFILES[input.profile]
  const { verdict, verifier, audience, nonce } = input
  const vector = Object.entries(VECTOR_LABELS).flatMap(([claim, label]) => {
    const value = claimOf(verdict.vector, claim)
    return value === undefined ? [] : [[label, value] as const]
  })
  const appraisal = new Map<number, unknown>([
    [CWT_LABELS.status, STATUS_LABELS[verdict.status]],
    [CWT_LABELS.vector, new Map(vector)],
    [CWT_LABELS.policies, names.policiesOf(input.policyIds)],
  ])
  const claims = new Map<number, unknown>([
    [CWT_LABELS.issuer, input.issuer],
    [CWT_LABELS.subject, input.subject],
    ...(audience === undefined ? [] : [[CWT_LABELS.audience, audience] as const]),
    [CWT_LABELS.expires, input.expiresAt],
    [CWT_LABELS.issuedAt, input.issuedAt],
    [CWT_LABELS.confirmation, new Map([[COSE_KEY, coseKey(input.confirmationKey)]])],
    ...(nonce === undefined ? [] : [[CWT_LABELS.nonce, nonceBytes(nonce)] as const]),
    [CWT_LABELS.profile, names.uri],
    [CWT_LABELS.submodules, new Map([[input.submodule, appraisal]])],
    [
      CWT_LABELS.verifierId,
      new Map([
        [VERIFIER_ID_LABELS.developer, verifier.developer],
        [VERIFIER_ID_LABELS.build, verifier.build],
      ]),
    ],
  ])
  return view(cbor.encode(claims))
}

/** COSE_Sign1 (RFC 9052 section 4.2) by an ECDSA P-256 key, tagged. `kid` is in the unprotected header, as text's bytes. */
export function signCwtResult(claims: Uint8Array, key: KeyObject, kid: string): Buffer {
  const header = view(
    cbor.encode(
      new Map<number, unknown>([
        [HEADER.algorithm, ES256],
        [HEADER.type, EAR_MEDIA.cwt],
      ]),
    ),
  )
  const signed = cbor.encode(['Signature1', header, Buffer.alloc(0), view(claims)])
  const signature = sign('sha256', signed, { key, dsaEncoding: 'ieee-p1363' })
  const parts = [header, new Map([[HEADER.keyId, Buffer.from(kid, 'utf8')]]), view(claims), signature]
  return Buffer.concat([Buffer.of(TAG_SIGN1), cbor.encode(parts)])
}

function claimOf(vector: Readonly<Record<string, number | undefined>>, claim: string): number | undefined {
  return Object.hasOwn(vector, claim) ? vector[claim] : undefined
}

function nonceBytes(nonce: string): Buffer {
  const bytes = fromBase64Url(nonce)
  if (bytes === undefined || bytes.byteLength < 8 || bytes.byteLength > 64) throw new TouchstoneError('result.nonce')
  return view(bytes)
}

/** Confirmation by COSE_Key (RFC 8747 section 3.2). */
const COSE_KEY = 1
/** Key types and curves of RFC 9053 and RFC 8230. */
const KTY = { ec2: 2, rsa: 3 } as const
const CURVES: Readonly<Record<string, number>> = { 'P-256': 1, 'P-384': 2, 'P-521': 3 }

function coseKey(spki: Uint8Array): Map<number, unknown> {
  const jwk = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }).export({ format: 'jwk' })
  const bytes = (text: unknown) => Buffer.from(typeof text === 'string' ? text : '', 'base64url')
  const curve = CURVES[typeof jwk.crv === 'string' ? jwk.crv : '']
  if (jwk.kty === 'EC' && curve !== undefined) {
    return new Map<number, unknown>([
      [1, KTY.ec2],
      [-1, curve],
      [-2, bytes(jwk.x)],
      [-3, bytes(jwk.y)],
    ])
  }
  if (jwk.kty !== 'RSA') throw new TypeError(`no COSE key for ${String(jwk.kty)}`)
  return new Map<number, unknown>([
    [1, KTY.rsa],
    [-1, bytes(jwk.n)],
    [-2, bytes(jwk.e)],
  ])
}
