import { open, type FileHandle } from 'node:fs/promises'
import { TouchstoneError } from '../core/index.ts'
import { LIMITS } from '../wire/index.ts'

const CHUNK = 1 << 16

/** The firmware event log as it is. Throws `agent.log`. */
export async function readEventLog(file: string): Promise<Buffer> {
  return await readLog(file, LIMITS.eventLog)
}

/** IMA's list as it is now, or `undefined` for a node without one. Throws `agent.log`. */
export async function readImaLog(file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined
  const log = await readLog(file, LIMITS.imaLog)
  return log.byteLength === 0 ? undefined : log
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
  return await reading(file, async (handle) => {
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
  })
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
