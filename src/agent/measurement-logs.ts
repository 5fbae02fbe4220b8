import { open } from 'node:fs/promises'
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

/** Files of securityfs say that they are empty, so the end is where a read gives nothing. */
async function readLog(file: string, max: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let size = 0
  try {
    const handle = await open(file, 'r')
    try {
      for (;;) {
        const part = Buffer.allocUnsafe(CHUNK)
        const { bytesRead } = await handle.read(part, 0, CHUNK, null)
        if (bytesRead === 0) break
        size += bytesRead
        if (size > max) throw new TouchstoneError('agent.log', `${file} is larger than ${max} bytes`)
        parts.push(part.subarray(0, bytesRead))
      }
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if (cause instanceof TouchstoneError) throw cause
    throw new TouchstoneError('agent.log', `cannot read ${file}`, { cause })
  }
  return Buffer.concat(parts)
}
