import { createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto'
import { TouchstoneError } from '../../../core/index.ts'

/**
 * swtpm's state files (swtpm_nvstore.c, version 2 of its format): a header, then tagged values. Reading one here instead of
 * in a swtpm process makes a guest's start twice as fast; what is not known here is left to swtpm.
 */

const HEADER = { bytes: 10, version: 2 } as const
/** BLOB_FLAG_ENCRYPTED, BLOB_FLAG_ENCRYPTED_256BIT_KEY. */
const ENCRYPTED_AES_256 = 0x0009
/** BLOB_FLAG_MIGRATION_DATA, which is set in what CMD_GET_STATEBLOB answers. */
const MIGRATION_DATA = 0x0004
const TAG = { data: 1, encryptedData: 2, hmac: 3, migrationData: 4, initialVector: 6 } as const
const IV_BYTES = 16
/** It pads to the size of the key, and not of the block, which OpenSSL's own padding takes for damage. */
const LARGEST_PADDING = 32

/**
 * The state in a file that swtpm encrypted, as CMD_GET_STATEBLOB would answer it. Undefined where the file is not of the
 * form that is known; `guest.state_damaged` where it is, and was not written under `key`.
 */
export function openStateFile(file: Buffer, key: Buffer): Buffer | undefined {
  const values = readValues(file)
  const encrypted = values?.get(TAG.encryptedData)
  const hmac = values?.get(TAG.hmac)
  const vector = values?.get(TAG.initialVector)
  if (values?.size !== 3 || encrypted === undefined || hmac === undefined || vector === undefined) return undefined
  // Encrypt, then MAC, under one key. The vector's field is longer than a block; all of it is covered.
  const expected = createHmac('sha256', key).update(encrypted).update(vector).digest()
  if (hmac.byteLength !== expected.byteLength || vector.byteLength < IV_BYTES) return undefined
  if (encrypted.byteLength % IV_BYTES !== 0) return undefined
  if (!timingSafeEqual(hmac, expected)) throw new TouchstoneError('guest.state_damaged')
  const decipher = createDecipheriv('aes-256-cbc', key, vector.subarray(0, IV_BYTES)).setAutoPadding(false)
  const padded = Buffer.concat([decipher.update(encrypted), decipher.final()])
  const padding = padded.at(-1) ?? 0
  if (padding === 0 || padding > LARGEST_PADDING) return undefined
  const plain = padded.subarray(0, -padding)
  const blob = Buffer.concat([
    header(MIGRATION_DATA, HEADER.bytes + 2 * VALUE_HEADER + plain.byteLength),
    valueHeader(TAG.migrationData, VALUE_HEADER + plain.byteLength),
    valueHeader(TAG.data, plain.byteLength),
    plain,
  ])
  padded.fill(0)
  return blob
}

const VALUE_HEADER = 6

function readValues(file: Buffer): ReadonlyMap<number, Buffer> | undefined {
  if (
    file.byteLength < HEADER.bytes ||
    !file.subarray(0, HEADER.bytes).equals(header(ENCRYPTED_AES_256, file.byteLength))
  ) {
    return undefined
  }
  const values = new Map<number, Buffer>()
  for (let at: number = HEADER.bytes; at < file.byteLength;) {
    const from = at + VALUE_HEADER
    if (from > file.byteLength) return undefined
    const [tag, end] = [file.readUInt16BE(at), from + file.readUInt32BE(at + 2)]
    if (end > file.byteLength || values.has(tag)) return undefined
    values.set(tag, file.subarray(from, end))
    at = end
  }
  return values
}

/** Version, least version that can read it, size of this header, flags, size of all. */
function header(flags: number, total: number): Buffer {
  const bytes = Buffer.alloc(HEADER.bytes)
  bytes.writeUInt8(HEADER.version, 0)
  bytes.writeUInt8(1, 1)
  bytes.writeUInt16BE(HEADER.bytes, 2)
  bytes.writeUInt16BE(flags, 4)
  bytes.writeUInt32BE(total, 6)
  return bytes
}

function valueHeader(tag: number, size: number): Buffer {
  const bytes = Buffer.alloc(VALUE_HEADER)
  bytes.writeUInt16BE(tag, 0)
  bytes.writeUInt32BE(size, 2)
  return bytes
}
