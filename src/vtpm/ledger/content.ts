import { createHmac } from 'node:crypto'
import {
  constant,
  decode,
  encode,
  enumeration,
  fixedBytes,
  list,
  restrict,
  sizedBytes,
  struct,
  u16,
  u32,
  u64,
  u8,
  type Codec,
  type Decoded,
} from '../../codec/index.ts'
import { equalBytes, TouchstoneError } from '../../core/index.ts'
import { guestBytes, guestOf } from './guest-id.ts'

/**
 * What is known of one guest. `stopped` carries the digest of its state, and nothing else may be started; `running` is
 * that of whatever state is authentic under this generation; `retired` never comes back without a grant.
 */
export type LedgerEntry = {
  /** UUID, lower case. */
  readonly guest: string
  /** Power-ons so far; the state of this generation is encrypted under its own key. */
  readonly generation: number
  /** Name of the guest's EK. */
  readonly ekName: Buffer
  /** Whose guest it is; empty where nobody said. */
  readonly tenant: string
  /** The last grant that was used for this guest here, a UUIDv7: only a later one counts. */
  readonly grant?: string
} & (
  | {
      readonly state: 'stopped'
      readonly digest: Buffer
      /** TPM2_Shutdown came last. */
      readonly clean: boolean
    }
  | { readonly state: 'running' | 'retired' }
)

export interface LedgerContent {
  /** What the hardware counter says when this content is the newest. */
  readonly count: bigint
  /** Written by an opening, which moves the counter by two: see `openLedger`. */
  readonly reanchor: boolean
  /** Ordered by guest, each once. */
  readonly entries: readonly LedgerEntry[]
}

const MAC_SIZE = 32
/** "TSL1" */
const MAGIC = 0x54534c31
const NO_GRANT = Buffer.alloc(16)
export const MAX_ENTRIES = 4096

const generation: Codec<bigint> = restrict(
  u64,
  'expected a generation below 2^53',
  (value) => value <= BigInt(Number.MAX_SAFE_INTEGER),
)

const ENTRY = struct({
  guest: fixedBytes(16),
  generation,
  state: enumeration(u8, { stopped: 1, running: 2, retired: 3, unclean: 4 }),
  digest: sizedBytes(u8, { max: 32 }),
  ekName: sizedBytes(u16, { max: 66 }),
  tenant: sizedBytes(u8, { max: 64 }),
  grant: fixedBytes(16),
})

const LEDGER = struct({
  magic: constant(u32, MAGIC),
  reanchor: enumeration(u8, { no: 0, yes: 1 }),
  count: u64,
  entries: list(u16, ENTRY, { max: MAX_ENTRIES }),
})

/** The bytes of a ledger file: content, then HMAC-SHA256 over it. */
export function writeLedger(key: Uint8Array, { count, reanchor, entries }: LedgerContent): Buffer {
  const body = encode(LEDGER, {
    magic: MAGIC,
    reanchor: reanchor ? 'yes' : 'no',
    count,
    entries: entries.map((entry): Decoded<typeof ENTRY> => ({
      guest: guestBytes(entry.guest),
      generation: BigInt(entry.generation),
      state: entry.state === 'stopped' && !entry.clean ? 'unclean' : entry.state,
      digest: entry.state === 'stopped' ? entry.digest : Buffer.alloc(0),
      ekName: entry.ekName,
      tenant: Buffer.from(entry.tenant, 'utf8'),
      grant: entry.grant === undefined ? NO_GRANT : guestBytes(entry.grant),
    })),
  })
  return Buffer.concat([body, macOf(key, body)])
}

/** Throws `ledger.damaged` for whatever {@link writeLedger} did not write under this key. */
export function readLedger(key: Uint8Array, bytes: Buffer): LedgerContent {
  const body = bytes.subarray(0, Math.max(0, bytes.byteLength - MAC_SIZE))
  if (!equalBytes(macOf(key, body), bytes.subarray(body.byteLength))) throw new TouchstoneError('ledger.damaged')
  const { count, reanchor, entries } = decode('ledger', LEDGER, body)
  return { count, reanchor: reanchor === 'yes', entries: entries.map(entryOf) }
}

function entryOf({ guest, generation, state, digest, ekName, tenant, grant }: Decoded<typeof ENTRY>): LedgerEntry {
  const shared = {
    guest: guestOf(guest),
    generation: Number(generation),
    ekName,
    tenant: tenant.toString('utf8'),
    ...(grant.equals(NO_GRANT) ? {} : { grant: guestOf(grant) }),
  }
  return state === 'running' || state === 'retired'
    ? { ...shared, state }
    : { ...shared, state: 'stopped', digest, clean: state === 'stopped' }
}

function macOf(key: Uint8Array, body: Uint8Array): Buffer {
  return createHmac('sha256', key).update(body).digest()
}
