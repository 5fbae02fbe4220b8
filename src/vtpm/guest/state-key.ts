import { hkdfSync } from 'node:crypto'
import { guestBytes } from '../ledger/index.ts'

export const KEY_SIZE = 32

/**
 * The key of one generation's state: HKDF-SHA256 of the guest's key, so that state of an older generation does not even
 * decrypt, and neither does another guest's. Fill it with zeros after use.
 */
export function stateKey(guestKey: Uint8Array, guest: string, generation: number): Buffer {
  const count = Buffer.alloc(8)
  count.writeBigUInt64BE(BigInt(generation))
  return derive(guestKey, guest, Buffer.concat([Buffer.from('touchstone guest state v1', 'ascii'), count]))
}

/** The key of backups and packages, whose generation is authenticated beside the state. */
export function archiveKey(guestKey: Uint8Array, guest: string): Buffer {
  return derive(guestKey, guest, Buffer.from('touchstone guest archive v1', 'ascii'))
}

function derive(guestKey: Uint8Array, guest: string, info: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', guestKey, guestBytes(guest), info, KEY_SIZE))
}
