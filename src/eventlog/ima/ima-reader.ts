import { TouchstoneError, view } from '../../core/index.ts'
import { imaTemplate, type Endian, type ImaTemplate } from './templates.ts'

/**
 * One measurement of the kernel's Integrity Measurement Architecture, as the log states it. The template data is
 * authenticated once the log matches a quoted PCR; the template's name never is.
 */
export interface ImaEntry {
  /** Position in the log, from 0. */
  readonly index: number
  readonly pcr: number
  readonly template: string
  /** The SHA-1 of the template data that the kernel recorded; all zero for a violation. */
  readonly templateDigest: Buffer
  readonly templateData: Buffer
  /** The file was open for writing while it was measured: the kernel extends ones and vouches for nothing. */
  readonly violation: boolean
  /** Of its first byte in the log. */
  readonly offset: number
}

/** The same where it lies in memory. It is one object for all entries of a reader: valid until the visit is over. */
export interface ImaCursor {
  readonly index: number
  readonly offset: number
  readonly pcr: number
  readonly templateName: string
  /** `undefined`: no kernel writes a template of that name. */
  readonly template: ImaTemplate | undefined
  readonly violation: boolean
  readonly endian: Endian
  /** What the positions below count in. */
  readonly bytes: Buffer
  /** The recorded SHA-1, 20 bytes. */
  readonly digestAt: number
  readonly dataAt: number
  readonly dataEnd: number
}

/** Where a log that was read before goes on. */
export interface ImaPosition {
  readonly entries: number
  readonly bytes: number
  readonly endian: Endian
}

export interface ImaReader {
  /** Takes the next bytes of the log and visits each entry that they complete. Throws `decode.*`. */
  push(chunk: Uint8Array): void
  /** Behind the last complete entry. */
  position(): ImaPosition
  /** Throws `decode.truncated` where the log ends inside an entry. */
  end(): void
}

export const DIGEST_SIZE = 20
const PCR_SIZE = 4
/** PCR, digest, length of the template's name. */
const HEADER_SIZE = PCR_SIZE + DIGEST_SIZE + 4
const MAX_TEMPLATE_NAME = 255

/** The largest things that a kernel measures by value are keys, of up to 1 MiB. */
export const MAX_IMA_ENTRY = 2 << 20

interface MutableCursor {
  index: number
  offset: number
  pcr: number
  templateName: string
  template: ImaTemplate | undefined
  violation: boolean
  endian: Endian
  bytes: Buffer
  digestAt: number
  dataAt: number
  dataEnd: number
}

/**
 * Reads `binary_runtime_measurements`, or a part of it that begins at an entry, from chunks of any size. O(n) in time;
 * what is kept between two chunks is at most one entry, so memory does not grow with the log.
 *
 * Source: Linux `security/integrity/ima/ima_fs.c`, `ima_measurements_show`.
 */
export function imaReader(visit: (entry: ImaCursor) => void, from?: ImaPosition): ImaReader {
  const cursor: MutableCursor = {
    index: from?.entries ?? 0,
    offset: from?.bytes ?? 0,
    pcr: 0,
    templateName: '',
    template: undefined,
    violation: false,
    endian: from?.endian ?? 'little',
    bytes: Buffer.alloc(0),
    digestAt: 0,
    dataAt: 0,
    dataEnd: 0,
  }
  // In a whole log the first entry shows it.
  let isEndianKnown = (from?.entries ?? 0) > 0
  let carry = Buffer.alloc(0)
  let carried = 0

  const number = (bytes: Buffer, at: number) =>
    cursor.endian === 'little' ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at)

  /** The size of the entry at `start`, or how many bytes are needed to say more. Leaves its places in the cursor. */
  const measure = (bytes: Buffer, start: number, end: number): number => {
    const available = end - start
    if (available < HEADER_SIZE) return HEADER_SIZE
    const nameLengthAt = start + PCR_SIZE + DIGEST_SIZE
    if (!isEndianKnown) {
      cursor.endian = endianOf(bytes, nameLengthAt)
      isEndianKnown = true
    }
    const nameLength = number(bytes, nameLengthAt)
    if (nameLength === 0 || nameLength > MAX_TEMPLATE_NAME) {
      throw tooLarge(cursor, 'templateName', nameLengthAt - start, nameLength, MAX_TEMPLATE_NAME)
    }
    const bodyAt = HEADER_SIZE + nameLength
    // The oldest template has no length of its own: a bare SHA-1 digest, then the name with its length.
    const isOldest = nameLength === 3 && bytes.toString('latin1', start + HEADER_SIZE, start + bodyAt) === 'ima'
    const lengthAt = isOldest ? bodyAt + DIGEST_SIZE : bodyAt
    if (available < lengthAt + 4) return lengthAt + 4
    const length = number(bytes, start + lengthAt)
    if (length > MAX_IMA_ENTRY) throw tooLarge(cursor, 'templateData', lengthAt, length, MAX_IMA_ENTRY)
    cursor.dataAt = start + (isOldest ? bodyAt : bodyAt + 4)
    cursor.dataEnd = start + lengthAt + 4 + length
    return lengthAt + 4 + length
  }

  const take = (bytes: Buffer, start: number): void => {
    const size = cursor.dataEnd - start
    cursor.bytes = bytes
    cursor.pcr = number(bytes, start)
    cursor.digestAt = start + PCR_SIZE
    cursor.violation = isZero(bytes, cursor.digestAt)
    readTemplate(cursor, bytes, start + HEADER_SIZE, number(bytes, start + PCR_SIZE + DIGEST_SIZE))
    visit(cursor)
    cursor.index += 1
    cursor.offset += size
  }

  /** Fills what is carried up to `size` bytes; how many bytes of the chunk that took. */
  const carryOn = (chunk: Buffer, at: number, size: number): number => {
    if (carry.byteLength < size) {
      const larger = Buffer.alloc(Math.max(size, Math.min(2 * carry.byteLength, MAX_IMA_ENTRY)))
      carry.copy(larger, 0, 0, carried)
      carry = larger
    }
    const taken = Math.min(size - carried, chunk.byteLength - at)
    chunk.copy(carry, carried, at, at + taken)
    carried += taken
    return taken
  }

  return {
    push(bytes) {
      const chunk = view(bytes)
      let at = 0
      while (carried > 0) {
        const size = measure(carry, 0, carried)
        if (carried < size) {
          at += carryOn(chunk, at, size)
          if (carried < size) return
          continue
        }
        take(carry, 0)
        carried = 0
      }
      while (at < chunk.byteLength) {
        const size = measure(chunk, at, chunk.byteLength)
        if (size > chunk.byteLength - at) {
          carryOn(chunk, at, chunk.byteLength - at)
          return
        }
        take(chunk, at)
        at += size
      }
    },
    position: () => ({ entries: cursor.index, bytes: cursor.offset, endian: cursor.endian }),
    end() {
      if (carried === 0) return
      const size = measure(carry, 0, carried)
      const path = `ima[${cursor.index}]`
      const message = `${path} at byte ${cursor.offset}: needs ${size} bytes, ${carried} are left`
      throw new TouchstoneError('decode.truncated', message, { details: { path, offset: cursor.offset } })
    },
  }
}

/** The length of the first template's name is a small number in one byte order and a huge one in the other. */
function endianOf(bytes: Buffer, nameLengthAt: number): Endian {
  return bytes.readUInt32LE(nameLengthAt) > 0xffff && bytes.readUInt32BE(nameLengthAt) <= 0xffff ? 'big' : 'little'
}

function isZero(bytes: Buffer, at: number): boolean {
  for (let i = at; i < at + DIGEST_SIZE; i++) if (bytes[i] !== 0) return false
  return true
}

/** Most entries have the template of the one before them, whose name is compared instead of being read anew. */
function readTemplate(cursor: MutableCursor, bytes: Buffer, at: number, length: number): void {
  if (isText(bytes, at, length, cursor.templateName)) return
  cursor.templateName = bytes.toString('latin1', at, at + length)
  cursor.template = imaTemplate(cursor.templateName)
}

function isText(bytes: Buffer, at: number, length: number, text: string): boolean {
  if (length !== text.length) return false
  for (let i = 0; i < length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false
  return true
}

function tooLarge(cursor: MutableCursor, field: string, at: number, size: number, limit: number): TouchstoneError {
  const path = `ima[${cursor.index}].${field}`
  const offset = cursor.offset + at
  const message = `${path} at byte ${offset}: ${size} bytes, the limit is ${limit}`
  return new TouchstoneError('decode.too_large', message, { details: { path, offset } })
}
