import { TouchstoneError } from '../../core/index.ts'
import type { KeyUse } from '../../wire/index.ts'
import type { TenantKeys } from './deps.ts'
import type { KeyRecord } from './records.ts'

/** The key of that name. Throws `key.not_found`, or why its file cannot be used. */
export function keyOf({ store }: Pick<TenantKeys, 'store'>, name: string): KeyRecord {
  const record = store.keys.get(name)
  if (record !== undefined) return record
  const damage = store.damaged.get(name)
  throw new TouchstoneError(damage ?? 'key.not_found', damage === undefined ? `there is no key ${name}` : undefined)
}

/** The same, for a key that is for `use`; else `key.use`. */
export function keyFor(keys: Pick<TenantKeys, 'store'>, name: string, use: KeyUse): KeyRecord {
  const record = keyOf(keys, name)
  if (record.uses.includes(use)) return record
  throw new TouchstoneError('key.use', `${name} is for ${record.uses.join(' and ')}, not for ${use}`)
}
