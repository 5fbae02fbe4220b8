import { readCelCbor, looksLikeCelCbor } from './cel/cbor.ts'
import { readJsonLog } from './cel/json.ts'
import { readCelTlv, looksLikeCelTlv } from './cel/tlv.ts'
import { looksLikeCorebootTable, readCorebootTable } from './coreboot/tcpa-table.ts'
import { isAsciiImaLog, isBinaryImaLog, readAsciiImaLog, readBinaryImaLog } from './ima-log.ts'
import { beginsJson } from './json-records.ts'
import type { EventLog } from './log.ts'
import { hasSpecId } from './spec-id.ts'
import { isHeaderless, readAgileLog, readHeaderlessLog, readSha1Log } from './tcg-log.ts'
import { isTxtContainer, readTxtContainer } from './txt/container.ts'
import { isTxtLegacyLog, readTxtLegacyLog } from './txt/legacy-log.ts'

/** Far above any firmware log (Windows and option ROMs included), far below what would trouble a verifier. */
export const MAX_LOG_SIZE = 16 * 1024 * 1024
/** Months of a busy server's measurements. */
const MAX_IMA_LOG_SIZE = 64 * 1024 * 1024

interface LogFormatRow {
  /** For messages: what a file of the format is. */
  readonly name: string
  /** Whether the bytes begin as the format does: a few of the first bytes, whatever the size of the log. */
  readonly matches: (log: Buffer) => boolean
  readonly read: (log: Buffer) => EventLog
  readonly maxSize: number
  /** Whether the format can tell of a whole boot, so that a quote may be judged by it. */
  readonly isFirmwareLog: boolean
}

function row(
  name: string,
  matches: LogFormatRow['matches'],
  read: LogFormatRow['read'],
  isFirmwareLog: boolean,
  maxSize = MAX_LOG_SIZE,
): LogFormatRow {
  return { name, matches, read, maxSize, isFirmwareLog }
}

/**
 * Every format that this program knows, most telling first: the first row that matches is the format of the file. The
 * last one has no mark of its own.
 */
export const LOG_FORMATS: readonly LogFormatRow[] = [
  row('a crypto-agile TCG log', hasSpecId, readAgileLog, true),
  row('an event log of Intel TXT', isTxtContainer, readTxtContainer, false),
  row('an event log of Intel TXT for one bank', isTxtLegacyLog, readTxtLegacyLog, false),
  row('a binary IMA log', isBinaryImaLog, readBinaryImaLog, false, MAX_IMA_LOG_SIZE),
  row('an IMA log as text', isAsciiImaLog, readAsciiImaLog, false, MAX_IMA_LOG_SIZE),
  row('a log in JSON', beginsJson, readJsonLog, true),
  row('a canonical event log in CBOR', looksLikeCelCbor, readCelCbor, true),
  row('a canonical event log in TLV', looksLikeCelTlv, readCelTlv, true),
  row("coreboot's table", looksLikeCorebootTable, readCorebootTable, false),
  row('a crypto-agile TCG log without its header', isHeaderless, readHeaderlessLog, true),
  row('a TCG log of SHA-1', () => true, readSha1Log, true),
]
