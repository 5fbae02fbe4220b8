import type { KeyObject } from 'node:crypto'
import { createPublicKey } from 'node:crypto'
import { calculateJwkThumbprint, SignJWT } from 'jose'
import type { JWTPayload } from 'jose'
import type { Verdict } from '../core/index.ts'
import { EAR_PROFILES } from './ear-names.ts'
import type { EarProfile } from './ear-names.ts'

/** What a relying party is told. Times in seconds since the epoch, as JWTs have them. */
export interface EarInput {
  readonly profile: EarProfile
  readonly verdict: Verdict
  /** Name of the attester within the result: `node`. */
  readonly submodule: string
  /** NodeId. */
  readonly subject: string
  readonly issuer: string
  readonly verifier: { readonly developer: string; readonly build: string }
  /** See `policyId`; the policies that were evaluated. */
  readonly policyIds: readonly string[]
  readonly issuedAt: number
  readonly expiresAt: number
  /** RFC 7638 thumbprint of the key that must confirm the result, see {@link keyThumbprint}. */
  readonly confirmation: string
  readonly audience?: string
  /** The relying party's own nonce: 8 to 88 characters (RFC 9711 section 4.1). */
  readonly nonce?: string
}

/** The claims of the JWT, ready to be signed or shown. */
export function earClaims(input: EarInput): JWTPayload {
  const names = EAR_PROFILES[input.profile]
  return {
    eat_profile: names.uri,
    iss: input.issuer,
    sub: input.subject,
    iat: input.issuedAt,
    exp: input.expiresAt,
    ...(input.audience === undefined ? {} : { aud: input.audience }),
    ...(input.nonce === undefined ? {} : { eat_nonce: input.nonce }),
    // RFC 7800: whoever presents the result must prove possession of this key, so that a tampered box cannot
    // present a good box's token.
    cnf: { jkt: input.confirmation },
    [names.verifierId]: { developer: input.verifier.developer, build: input.verifier.build },
    submods: {
      [input.submodule]: {
        [names.status]: input.verdict.status,
        [names.vector]: input.verdict.vector,
        [names.policies]: names.policiesOf(input.policyIds),
      },
    },
  }
}

/** The result: a compact JWS by an ECDSA P-256 key. `kid` names the key in the verifier's published set. */
export async function signResult(claims: JWTPayload, key: KeyObject, kid: string): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid }).sign(key)
}

/** RFC 7638 thumbprint (SHA-256, base64url) of a public key given as DER SubjectPublicKeyInfo. */
export async function keyThumbprint(spki: Uint8Array): Promise<string> {
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  return calculateJwkThumbprint(key)
}
