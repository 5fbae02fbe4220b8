import { describeEventLog, imaFindings, parseImaLog, replayImaLog } from '../src/eventlog/index.ts'
import { microseconds } from './batch.ts'
import { compare, type Bench, type Row, type Sample } from './framework.ts'
import { hostileIma, hostileLog, HOSTILE_PAYLOADS, tinyEvents } from './hostile-logs.ts'

const ROUNDS = 9

/** Milliseconds of one run over these bytes. */
function milliseconds(work: (bytes: Buffer) => void, bytes: Buffer): Sample {
  const sample = microseconds(1, () => work(bytes))
  return async () => (await sample()) / 1_000
}

/** The time that `work` takes over an input of `2 size`, compared to that over an input of `size`. */
function doubling(
  name: string,
  work: (bytes: Buffer) => void,
  input: (size: number) => Buffer,
  size: number,
): Promise<Row> {
  return compare(name, ROUNDS, milliseconds(work, input(2 * size)), milliseconds(work, input(size)))
}

/** Everything that is said about a log to whoever asks: parsing, replay, bindings, facts, findings, summaries. */
function show(bytes: Buffer): void {
  JSON.stringify(describeEventLog(bytes))
}

function readIma(bytes: Buffer): void {
  parseImaLog(bytes)
  imaFindings(bytes, 'sha256')
  replayImaLog(bytes, 'sha256')
}

export const linear: Bench = async () => {
  const rows = [await doubling('linear', show, tinyEvents, 500_000)]
  for (const [name, payload] of Object.entries(HOSTILE_PAYLOADS)) {
    rows.push(await doubling(`linear-${name}`, show, (size) => hostileLog(payload(size)), 2_000_000))
  }
  rows.push(await doubling('linear-ima', readIma, hostileIma, 2_000_000))
  return rows
}
