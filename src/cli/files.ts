import { open } from 'node:fs/promises'
import { TouchstoneError } from '../core/index.ts'

/** Above every real event log, and below what would make a terminal useless. */
export const MAX_LOG = 64 << 20

/**
 * Reads a file that somebody named, up to `max` bytes. The bound holds for files that lie about their size too: those
 * of securityfs say 0, and a device never ends.
 */
export async function readInput(path: string, max = 64 << 20): Promise<Buffer> {
  try {
    const file = await open(path, 'r')
    try {
      const parts: Buffer[] = []
      let size = 0
      for (;;) {
        const part = Buffer.allocUnsafe(1 << 16)
        const { bytesRead } = await file.read(part, 0, part.byteLength)
        if (bytesRead === 0) return Buffer.concat(parts)
        size += bytesRead
        if (size > max) throw new TouchstoneError('usage.file', `${path} is larger than ${max} bytes`)
        parts.push(part.subarray(0, bytesRead))
      }
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (cause instanceof TouchstoneError) throw cause
    throw new TouchstoneError('usage.file', `cannot read ${path}`, { cause })
  }
}

export async function readText(path: string, max = 4 << 20): Promise<string> {
  return (await readInput(path, max)).toString('utf8')
}
