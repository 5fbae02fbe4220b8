import { open, type FileHandle } from 'node:fs/promises'
import { isTouchstoneError, TouchstoneError } from '../core/index.ts'
import { LIMITS } from '../wire/index.ts'

const CHUNK = 1 << 16

/** The firmware event log as it is. Throws `agent.log`. */
export async function readEventLog(file: string): Promise<Buffer> {
  return await readLog(file, LIMITS.eventLog)
}

/** systemd's log of what it measured. */
export interface UserspaceLogFile {
  readonly bytes: Buffer
  /** systemd is between measuring and writing the record of it, or died there. */
  readonly isMarked: boolean
}

/** `undefined`: systemd measures nothing here, or has not yet. Throws `agent.log`. */
export async function readUserspaceLog(file: string): Promise<UserspaceLogFile | undefined> {
  try {
    return await reading(file, async (handle) => {
      const { mode } = await handle.stat()
      const bytes = await readWhole(handle, file, LIMITS.userspaceLog)
      return bytes.byteLength === 0 ? undefined : { bytes, isMarked: (mode & STICKY) !== 0 }
    })
  } catch (error) {
    if (isTouchstoneError(error, 'agent.log') && isMissing(error.cause)) return undefined
    throw error
  }
}

/** systemd `src/shared/measurement-log.c`: set before a register is extended, taken away behind the record. */
const STICKY = 0o1000

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
}

/** What of IMA's list lies behind a position. */
export interface ImaPiece {
  /** Where it begins: the position, or 0 where the list is shorter than that, and so of another boot. */
  readonly from: number
  readonly bytes: Buffer
  /** The list goes on: it is longer than one piece may be. */
  readonly more: boolean
}

/** At most `max` bytes of IMA's list from a position on; the kernel passes over what is before it. Throws `agent.log`. */
export async function readImaPiece(file: string, from: number, max: number): Promise<ImaPiece> {
  return await reading(file, async (handle) => {
    const before = await handle.read(Buffer.alloc(1), 0, 1, Math.max(0, from - 1))
    const start = from > 0 && before.bytesRead === 0 ? 0 : from
    const parts: Buffer[] = []
    let size = 0
    while (size <= max) {
      const part = Buffer.allocUnsafe(CHUNK)
      const { bytesRead } = await handle.read(part, 0, CHUNK, start + size)
      if (bytesRead === 0) break
      size += bytesRead
      parts.push(part.subarray(0, bytesRead))
    }
    return { from: start, bytes: Buffer.concat(parts).subarray(0, max), more: size > max }
  })
}

/** Files of securityfs say that they are empty, so the end is where a read gives nothing. */
async function readLog(file: string, max: number): Promise<Buffer> {
  return await reading(file, (handle) => readWhole(handle, file, max))
}

async function readWhole(handle: FileHandle, file: string, max: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let size = 0
  for (;;) {
    const part = Buffer.allocUnsafe(CHUNK)
    const { bytesRead } = await handle.read(part, 0, CHUNK, null)
    if (bytesRead === 0) return Buffer.concat(parts)
    size += bytesRead
    if (size > max) throw new TouchstoneError('agent.log', `${file} is larger than ${max} bytes`)
    parts.push(part.subarray(0, bytesRead))
  }
}

async function reading<T>(file: string, read: (handle: FileHandle) => Promise<T>): Promise<T> {
  try {
    const handle = await open(file, 'r')
    try {
      return await read(handle)
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if (cause instanceof TouchstoneError) throw cause
    throw new TouchstoneError('agent.log', `cannot read ${file}`, { cause })
  }
}
