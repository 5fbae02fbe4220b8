import { TouchstoneError, view } from '../../core/index.ts'
import { imaReader, type ImaCursor, type ImaEntry } from './ima-reader.ts'
import type { Endian } from './templates.ts'

/** What is held in memory as a whole, to be shown; what is judged is read as a stream. */
export const MAX_IMA_LOG_SIZE = 64 * 1024 * 1024
const MAX_SHOWN_ENTRIES = 200_000

export interface ImaLog {
  readonly endian: Endian
  readonly entries: readonly ImaEntry[]
}

/**
 * A log as a list of its entries, for looking at it; whoever judges one uses `imaReader`. An empty log is one without
 * entries. Throws `decode.*`. O(n) in time and memory; data shares the memory of `bytes`.
 */
export function parseImaLog(bytes: Uint8Array): ImaLog {
  const log = view(bytes)
  if (log.byteLength > MAX_IMA_LOG_SIZE) throw tooLarge(`${log.byteLength} bytes`, `${MAX_IMA_LOG_SIZE}`)
  const entries: ImaEntry[] = []
  const reader = imaReader((cursor) => {
    if (entries.length === MAX_SHOWN_ENTRIES) throw tooLarge('more entries', `${MAX_SHOWN_ENTRIES}`)
    entries.push(entryOf(cursor))
  })
  reader.push(log)
  reader.end()
  return { endian: reader.position().endian, entries }
}

function entryOf({
  bytes,
  digestAt,
  dataAt,
  dataEnd,
  templateName,
  index,
  pcr,
  violation,
  offset,
}: ImaCursor): ImaEntry {
  return {
    index,
    pcr,
    template: templateName,
    templateDigest: bytes.subarray(digestAt, digestAt + 20),
    templateData: bytes.subarray(dataAt, dataEnd),
    violation,
    offset,
  }
}

function tooLarge(what: string, limit: string): TouchstoneError {
  return new TouchstoneError('decode.too_large', `the log has ${what}, the limit is ${limit}`)
}
