import { setTimeout as pause } from 'node:timers/promises'
import { TouchstoneError } from '../core/index.ts'
import type { OnEvent } from './events.ts'
import { readUserspaceLog } from './measurement-logs.ts'

/** A boot measures a handful of things, seconds apart. */
const ATTEMPTS = 8
/** Extending takes some milliseconds, and the record is written behind it. */
const WAITS = 20
const WAIT_MS = 50

export interface UserspaceQuoting {
  /** systemd's log; absent: the node has none. */
  readonly file: string | undefined
  readonly onEvent: OnEvent
  /** Instead of a timer. */
  readonly wait?: (milliseconds: number) => Promise<unknown>
}

/**
 * Quotes over the log of systemd as it is: what `quote` makes covers the very bytes that it is given. Where systemd
 * measured something meanwhile, the quote is ahead of the log that it is bound to, and is made again. Throws `agent.log`.
 */
export async function quoteWithUserspace<T>(
  quoting: UserspaceQuoting,
  quote: (log: Buffer | undefined) => Promise<T>,
): Promise<{ readonly quoted: T; readonly userspaceLog: Buffer | undefined }> {
  const { file } = quoting
  if (file === undefined) return { quoted: await quote(undefined), userspaceLog: undefined }
  let userspaceLog = await settledLog(file, quoting)
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const quoted = await quote(userspaceLog)
    const now = await settledLog(file, quoting)
    if ((now?.byteLength ?? 0) === (userspaceLog?.byteLength ?? 0)) return { quoted, userspaceLog }
    userspaceLog = now
  }
  throw new TouchstoneError('agent.log', `${file} grew during each of several quotes`)
}

/** The log between two measurements; one that systemd never finishes is sent as it is, and said. */
async function settledLog(file: string, { onEvent, wait = pause }: UserspaceQuoting): Promise<Buffer | undefined> {
  for (let waited = 0; ; waited += 1) {
    const log = await readUserspaceLog(file)
    if (log?.isMarked !== true) return log?.bytes
    if (waited === WAITS) {
      onEvent({ type: 'log-incomplete', file })
      return log.bytes
    }
    await wait(WAIT_MS)
  }
}
