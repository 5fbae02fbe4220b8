import { TouchstoneError } from '../../core/index.ts'

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The 16 bytes of a guest's UUID. Only the lower-case spelling is one, so that a guest has one name. */
export function guestBytes(guest: string): Buffer {
  if (!UUID.test(guest)) throw new TouchstoneError('guest.id', `${guest} is not a UUID in lower case`)
  return Buffer.from(guest.replaceAll('-', ''), 'hex')
}

export function isGuestId(text: string): boolean {
  return UUID.test(text)
}

/** The inverse of {@link guestBytes}. */
export function guestOf(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
