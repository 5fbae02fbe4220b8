import { type ErrorCode, TouchstoneError } from '../../core/index.ts'
import { digest, publicKeyOf } from '../../tpm/index.ts'
import { KEY_LIMITS, type KeyCreation, type KeyKind, type KeyUse } from '../../wire/index.ts'
import { audited } from './audited.ts'
import type { TenantKeys } from './deps.ts'
import type { KeyLabel, WrappedKey } from './key-hardware.ts'
import { KINDS } from './kinds.ts'
import { keyFor, keyOf } from './lookup.ts'
import type { KeyRecord, VersionRecord } from './records.ts'
import { makeSecret } from './secrets.ts'
import { verifies } from './signing.ts'
import { currentOf, versionOf } from './views.ts'

/** A key of that name, kind and uses: the one that there is, or a new one. */
export function createKey(keys: TenantKeys, name: string, asked: KeyCreation): Promise<KeyRecord> {
  return keys.changes.run(async () => {
    const { kind } = asked
    const uses = usesOf(asked)
    if (keys.store.keys.has(name) || keys.store.damaged.has(name)) return same(keyOf(keys, name), asked, uses)
    return await audited(keys, 'create', name, async () => {
      refuseMoreKeys(keys)
      const first = await makeVersion(keys, { name, version: 1 }, kind, uses, asked)
      const record = { name, kind, uses, created: first.created, next: 2, versions: [first] }
      await keys.store.put(record)
      return record
    })
  })
}

/** Another version of the same kind, which is the current one from then on. Older ones stay until they are deleted. */
export function rotateKey(keys: TenantKeys, name: string): Promise<KeyRecord> {
  return keys.changes.run(() =>
    audited(keys, 'rotate', name, async () => {
      const record = keyOf(keys, name)
      const { sealed, pcrs } = currentOf(record)
      const like = {
        ...(sealed === undefined ? {} : { size: sealed.ciphertext.byteLength }),
        ...(pcrs === undefined ? {} : { pcrs }),
      }
      return await addVersion(keys, record, (version) =>
        makeVersion(keys, { name, version }, record.kind, record.uses, like),
      )
    }),
  )
}

/** Keeps `secret` as the newest version of a secret of that name, making the secret where there is none. */
export function sealSecret(
  keys: TenantKeys,
  name: string,
  secret: Uint8Array,
  pcrs: string | undefined,
): Promise<KeyRecord> {
  return keys.changes.run(() =>
    audited(keys, 'seal', name, async () => {
      if (keys.store.keys.has(name) || keys.store.damaged.has(name)) {
        return await addVersion(keys, keyFor(keys, name, 'unseal'), (version) =>
          makeSecret(keys, { name, version }, secret, pcrs),
        )
      }
      refuseMoreKeys(keys)
      const first = await makeSecret(keys, { name, version: 1 }, secret, pcrs)
      const kind = 'secret' as const
      const record = { name, kind, uses: KINDS[kind].uses, created: first.created, next: 2, versions: [first] }
      await keys.store.put(record)
      return record
    }),
  )
}

/** One version, or the key with all of them. Answers how many are left. */
export function deleteKey(keys: TenantKeys, name: string, version: number | undefined): Promise<number> {
  return keys.changes.run(() =>
    audited(keys, 'delete', name, async () => {
      const damaged = keys.store.damaged.has(name)
      const record = damaged ? undefined : keyOf(keys, name)
      const gone = record === undefined || version === undefined ? record?.versions : [versionOf(record, version)]
      const left = record?.versions.filter((one) => gone?.includes(one) !== true) ?? []
      if (record === undefined || left.length === 0) await keys.store.remove(name)
      else await keys.store.put({ ...record, versions: left })
      for (const one of gone ?? []) await keys.hardware.forget(one)
      return left.length
    }),
  )
}

function usesOf({ kind, uses }: KeyCreation): readonly KeyUse[] {
  const possible = KINDS[kind].uses
  if (uses === undefined) return possible.slice(0, 1)
  const chosen = possible.filter((use) => uses.some((asked) => asked === use))
  if (chosen.length === uses.length) return chosen
  throw new TouchstoneError('key.use', `a key of kind ${kind} is for ${possible.join(' or ')} alone`)
}

/** PUT of the same again answers what there is. */
function same(record: KeyRecord, { kind, size, pcrs }: KeyCreation, uses: readonly KeyUse[]): KeyRecord {
  const { sealed, pcrs: bound } = currentOf(record)
  const differs =
    record.kind !== kind ||
    record.uses.join() !== uses.join() ||
    (size !== undefined && size !== sealed?.ciphertext.byteLength) ||
    (pcrs !== undefined && pcrs !== bound)
  if (!differs) return record
  throw new TouchstoneError(
    'key.exists',
    `${record.name} is a key of kind ${record.kind} for ${record.uses.join(', ')}`,
  )
}

async function makeVersion(
  keys: TenantKeys,
  label: { readonly name: string; readonly version: number },
  kind: KeyKind,
  uses: readonly KeyUse[],
  { size, pcrs }: Pick<KeyCreation, 'size' | 'pcrs'>,
): Promise<VersionRecord> {
  if (kind !== 'secret') {
    refuse(size !== undefined || pcrs !== undefined, 'key.use', 'size and pcrs are for secrets alone')
    const made = await keys.hardware.create(label, kind, uses)
    if (kind === 'rsa-pss-2048') await requireShortSalt(keys, label, made)
    return { version: label.version, created: keys.clock.now(), ...made }
  }
  const secret = await keys.hardware.random(size ?? DEFAULT_SIZE)
  try {
    return await makeSecret(keys, label, secret, pcrs)
  } finally {
    secret.fill(0)
  }
}

/** No TPM says how long a salt it takes; a signature does. */
async function requireShortSalt({ hardware, random }: TenantKeys, label: KeyLabel, key: WrappedKey): Promise<void> {
  const signing = { algorithm: 'PS256', hash: 'sha256' } as const
  const message = random(32)
  const signature = await hardware.sign(label, key, digest(signing.hash, message))
  if (verifies(publicKeyOf(key.publicArea), signing, message, signature)) return
  await hardware.forget(key)
  throw new TouchstoneError(
    'key.kind',
    'this TPM signs PSS with the longest salt there is, which PS256 does not allow (RFC 7518 section 3.5)',
  )
}

const DEFAULT_SIZE = 32

async function addVersion(
  keys: TenantKeys,
  record: KeyRecord,
  make: (version: number) => Promise<VersionRecord>,
): Promise<KeyRecord> {
  const isFull = record.versions.length >= KEY_LIMITS.versions
  refuse(isFull, 'key.quota', `${record.name} has ${record.versions.length} versions; delete old ones first`)
  const version = await make(record.next)
  const next = { ...record, next: record.next + 1, versions: [...record.versions, version] }
  await keys.store.put(next)
  return next
}

function refuseMoreKeys({ store, quota }: TenantKeys): void {
  const count = store.keys.size + store.damaged.size
  refuse(count >= quota.keys, 'key.quota', `there are ${count} keys, and ${quota.keys} are allowed`)
}

function refuse(when: boolean, code: ErrorCode, message: string): void {
  if (when) throw new TouchstoneError(code, message)
}
