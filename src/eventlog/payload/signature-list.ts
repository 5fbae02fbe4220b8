import { guidText } from './guid.ts'

/** SignatureType GUIDs of UEFI 2.10 section 32.4.1. */
const TYPES: ReadonlyMap<string, 'x509' | 'hash'> = new Map([
  ['a5c059a1-94e4-4aa7-87b5-ab155c2bf072', 'x509'],
  ['c1c41626-504c-4092-aca9-41f936934328', 'hash'], // SHA-256
  ['826ca512-cf10-4ac9-b187-be01496631bd', 'hash'], // SHA-1
  ['ff3e5307-9fd0-48c9-85f1-8ad56c701e01', 'hash'], // SHA-384
  ['093e0fae-a6c4-4f50-9f1b-d41e2b89c19a', 'hash'], // SHA-512
  ['0b6e5233-a65c-44c9-9407-d9ab83bfc8bd', 'hash'], // SHA-224
  ['3bd2a492-96c0-4079-b420-fcf98ef103ed', 'hash'], // X.509 to-be-signed part, SHA-256, and time
  ['7076876e-80c2-4ee6-aad2-28b349a6865b', 'hash'], // …, SHA-384
  ['446dbf63-2502-4cda-bcfa-2465d2b0fe9d', 'hash'], // …, SHA-512
])

/** Types whose entries end with the time from which they revoke, an EFI_TIME. */
const TIMED: ReadonlySet<string> = new Set([
  '3bd2a492-96c0-4079-b420-fcf98ef103ed',
  '7076876e-80c2-4ee6-aad2-28b349a6865b',
  '446dbf63-2502-4cda-bcfa-2465d2b0fe9d',
])
const EFI_TIME = 16

const LIST_HEADER = 28
const OWNER = 16

/** One EFI_SIGNATURE_DATA: who owns it, and a certificate or a hash. */
export interface SignatureEntry {
  readonly kind: 'x509' | 'hash' | 'other'
  /** Owner and content together; real databases have hundreds, so no more is made of each than is asked for. */
  readonly bytes: Buffer
  /** A certificate is revoked from a time on, at the end of the bytes; all zeros mean always. */
  readonly timed?: true
}

/** The time from which an entry revokes, ISO 8601 without a zone; `undefined` for one that has none. UEFI 2.10 8.3. */
export function revocationTimeOf({ bytes, timed }: SignatureEntry): string | undefined {
  if (timed !== true || bytes.byteLength < OWNER + EFI_TIME) return undefined
  const time = bytes.subarray(bytes.byteLength - EFI_TIME)
  const [year, month, day] = [time.readUInt16LE(0), time.readUInt8(2), time.readUInt8(3)]
  if (year < 1900 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31) return undefined
  const [hour, minute, second] = [time.readUInt8(4), time.readUInt8(5), time.readUInt8(6)]
  if (hour > 23 || minute > 59 || second > 59) return undefined
  const two = (value: number): string => value.toString().padStart(2, '0')
  return `${year}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}:${two(second)}`
}

export function ownerOf(entry: SignatureEntry): string {
  return guidText(entry.bytes)
}

export function contentOf(entry: SignatureEntry): Buffer {
  return entry.bytes.subarray(OWNER)
}

/**
 * The entries of a chain of EFI_SIGNATURE_LIST, `undefined` where the bytes are no such chain. SignatureHeaderSize is
 * honoured. Each list is as long as its parts say, so the work is bounded by the input.
 */
export function decodeSignatureLists(data: Buffer): SignatureEntry[] | undefined {
  const entries: SignatureEntry[] = []
  let at = 0
  while (at < data.byteLength) {
    const list = listAt(data, at)
    if (list === undefined) return undefined
    const { signatureSize, entriesAt, end } = list
    const type = guidText(data, at)
    const kind = TYPES.get(type) ?? 'other'
    const timed = TIMED.has(type) ? { timed: true as const } : {}
    for (let entry = entriesAt; entry < end; entry += signatureSize) {
      entries.push({ kind, bytes: data.subarray(entry, entry + signatureSize), ...timed })
    }
    at = end
  }
  return entries
}

/** Whether {@link decodeSignatureLists} reads the bytes; nothing is made of them. O(lists). */
export function isSignatureLists(data: Buffer): boolean {
  let at = 0
  while (at < data.byteLength) {
    const list = listAt(data, at)
    if (list === undefined) return false
    at = list.end
  }
  return true
}

interface List {
  readonly signatureSize: number
  readonly entriesAt: number
  readonly end: number
}

/** The EFI_SIGNATURE_LIST at `at`, where it is one and fits. */
function listAt(data: Buffer, at: number): List | undefined {
  if (data.byteLength - at < LIST_HEADER) return undefined
  const listSize = data.readUInt32LE(at + 16)
  const headerSize = data.readUInt32LE(at + 20)
  const signatureSize = data.readUInt32LE(at + 24)
  const body = listSize - LIST_HEADER - headerSize
  if (listSize > data.byteLength - at || body < 0 || signatureSize < OWNER || body % signatureSize !== 0) {
    return undefined
  }
  return { signatureSize, entriesAt: at + LIST_HEADER + headerSize, end: at + listSize }
}

/** One EFI_SIGNATURE_DATA, as authority events carry it: an owner, then a certificate or a hash. */
export function decodeSignatureData(data: Buffer): SignatureEntry | undefined {
  if (data.byteLength <= OWNER) return undefined
  return { kind: looksLikeCertificate(data.subarray(OWNER)) ? 'x509' : 'hash', bytes: data }
}

/** Whether bytes begin as a DER certificate does: a SEQUENCE with a two-byte length that fills them. */
export function looksLikeCertificate(der: Buffer): boolean {
  return der.byteLength > 4 && der[0] === 0x30 && der[1] === 0x82 && der.readUInt16BE(2) + 4 <= der.byteLength
}
