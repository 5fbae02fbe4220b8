import { hkdfSync } from 'node:crypto'
import { TouchstoneError } from '../../core/index.ts'
import { pointOnCurve } from '../../tpm/index.ts'
import { audited } from './audited.ts'
import type { TenantKeys } from './deps.ts'
import { KINDS } from './kinds.ts'
import { keyFor } from './lookup.ts'
import { versionOf } from './views.ts'

export interface ToAgree {
  /** DER SubjectPublicKeyInfo. */
  readonly peer: Buffer
  /** Absent for the coordinate itself. */
  readonly derive?: { readonly size: number; readonly salt?: Buffer; readonly info?: Buffer }
  readonly version?: number
}

const EMPTY = Buffer.alloc(0)

/**
 * What this key and the peer's agree on, by the newest version unless one is named: the x coordinate of the shared point
 * (SEC 1 section 3.3.1), or HKDF (RFC 5869) over it with the hash of the curve. Throws
 * `key.use`, `key.version`, `key.peer`.
 */
export async function agreeWith(keys: TenantKeys, name: string, { peer, derive, version }: ToAgree) {
  const record = keyFor(keys, name, 'agree')
  const { agreement } = KINDS[record.kind]
  if (agreement === undefined) throw new TouchstoneError('key.use')
  const { curve, hash } = agreement
  const agree = async () => {
    const found = versionOf(record, version)
    const point = pointOnCurve(peer, curve)
    if (point === undefined) throw new TouchstoneError('key.peer', `the peer's key is not on the curve of ${name}`)
    const shared = await keys.hardware.agree({ name, version: found.version }, found, point)
    if (derive === undefined) return { secret: shared, version: found.version }
    const { size, salt = EMPTY, info = EMPTY } = derive
    try {
      return { secret: Buffer.from(hkdfSync(hash, shared, salt, info, size)), version: found.version }
    } finally {
      shared.fill(0)
    }
  }
  return await audited(keys, 'agree', name, agree, peer)
}
