import { createHash } from 'node:crypto'
import { equalBytes, fromBase64Url, fromHex, toBase64Url, toHex, TouchstoneError, uuidV7 } from '../../core/index.ts'
import type { Role, Store, TokenRecord } from '../../store/index.ts'
import type { Actor } from './route.ts'

const SECRET_SIZE = 32
/** The fixed beginning lets scanners for leaked secrets find tokens. */
const TOKEN = /^touchstone_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})_([A-Za-z0-9_-]{43})$/

/** Each role may do what those before it may. */
const RANKS: Readonly<Record<Role, number>> = { viewer: 1, operator: 2, admin: 3 }

/** `random` gives bytes from a CSPRNG. Answers the token, which is shown once, and what is kept of it. */
export function mintToken(
  name: string,
  role: Role,
  now: number,
  random: (size: number) => Buffer,
): { readonly token: string; readonly record: TokenRecord } {
  const id = uuidV7(now, random(10))
  const secret = random(SECRET_SIZE)
  return {
    token: `touchstone_${id}_${toBase64Url(secret)}`,
    record: { id, name, role, secretSha256: toHex(digestOf(secret)), created: now },
  }
}

/** Who sent this Authorization header. Throws `auth.missing` or `auth.invalid`; nobody learns which part was wrong. */
export async function authenticate(tokens: Store['tokens'], authorization: string | undefined): Promise<Actor> {
  if (authorization === undefined) throw new TouchstoneError('auth.missing')
  const [, id, secretText] = TOKEN.exec(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '') ?? []
  const secret = fromBase64Url(secretText ?? '')
  if (id === undefined || secret === undefined) throw new TouchstoneError('auth.invalid')
  const record = await tokens.byId(id)
  // A comparison takes place in any case, so that the time taken does not tell which ids exist.
  const matches = equalBytes(digestOf(secret), fromHex(record?.secretSha256 ?? '') ?? Buffer.alloc(32))
  if (record === undefined || !matches || record.revoked !== undefined) throw new TouchstoneError('auth.invalid')
  return { name: record.name, role: record.role }
}

export function authorize(actor: Actor, needed: Role): void {
  if (RANKS[actor.role] >= RANKS[needed]) return
  throw new TouchstoneError('auth.forbidden', `this needs the role ${needed}, the token has ${actor.role}`)
}

function digestOf(secret: Uint8Array): Buffer {
  return createHash('sha256').update(secret).digest()
}
