import { createPublicKey, verify } from 'node:crypto'
import { z } from 'zod'
import { fromBase64Url, TouchstoneError } from '../core/index.ts'
import { bytesSchema, hexSchema } from './bytes.ts'
import { generation, guestId, tenantName } from './placement-names.ts'

/** `typ` of a grant (RFC 8725 section 3.11): no other token of this verifier can pass for one. */
export const GRANT_TYPE = 'touchstone-grant+jwt'

const common = {
  /** UUIDv7 of this grant, for audit trails. */
  jti: z.uuid(),
  iss: z.string(),
  /** Seconds since the Unix epoch. */
  iat: z.int(),
  exp: z.int(),
  guest: guestId,
  tenant: tenantName,
  /** The node that may go on with the guest, and the reference of its storage root. */
  node: z.uuid(),
  nodeRef: hexSchema(),
  /** The least generation that the guest goes on with there. */
  generation,
}

/** What a verifier allows a broker to do with a guest's state. */
export const grant = z.discriminatedUnion('kind', [
  z.strictObject({
    ...common,
    kind: z.literal('restore'),
    /** SHA-256 of the state that may be restored, as its backup says. */
    digest: hexSchema(),
    /** DER SubjectPublicKeyInfo of the node's transport key. */
    transportKey: bytesSchema(160),
  }),
  z.strictObject({
    ...common,
    kind: z.literal('migrate'),
    /** Where the guest comes from; only this node may export it. */
    source: z.uuid(),
    /** DER SubjectPublicKeyInfo of the destination's transport key: the state leaves its node for this key only. */
    transportKey: bytesSchema(160),
  }),
])

export type Grant = z.output<typeof grant>
export type RestoreGrant = Extract<Grant, { kind: 'restore' }>
export type MigrationGrant = Extract<Grant, { kind: 'migrate' }>

const MAX_TOKEN = 4096

const header = z.strictObject({ alg: z.literal('ES256'), typ: z.literal(GRANT_TYPE), kid: z.string() })

/**
 * Reads a grant: compact JWS (RFC 7515), ES256, by the grant key whose SubjectPublicKeyInfo is `spki`. `now` is in
 * milliseconds; a clock that stands before the issue passes, because a node may not know the time yet. Throws
 * `grant.malformed`, `grant.signature`, `grant.expired`. That it names this node, this guest and this state is for the
 * caller to compare.
 */
export function readGrant(token: string, spki: Uint8Array, now: number): Grant {
  if (token.length > MAX_TOKEN)
    throw new TouchstoneError('grant.malformed', `a grant has at most ${MAX_TOKEN} characters`)
  const [protectedHeader = '', payload = '', signature = '', ...rest] = token.split('.')
  const signed = Buffer.from(`${protectedHeader}.${payload}`, 'ascii')
  const bytes = fromBase64Url(signature)
  if (rest.length > 0 || bytes === undefined || !header.safeParse(parsed(protectedHeader)).success) {
    throw new TouchstoneError('grant.malformed')
  }
  if (!verify('sha256', signed, { key: keyOf(spki), dsaEncoding: 'ieee-p1363' }, bytes)) {
    throw new TouchstoneError('grant.signature')
  }
  const claims = grant.safeParse(parsed(payload))
  if (!claims.success) throw new TouchstoneError('grant.malformed', 'a genuine grant of another version')
  if (now >= claims.data.exp * 1000) throw new TouchstoneError('grant.expired')
  return claims.data
}

function keyOf(spki: Uint8Array) {
  return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
}

function parsed(part: string): unknown {
  try {
    return JSON.parse(fromBase64Url(part)?.toString('utf8') ?? '')
  } catch {
    return undefined
  }
}
