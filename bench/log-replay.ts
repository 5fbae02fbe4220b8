import { annotate, parseEventLog, preferredBank, replayEventLog } from '../src/eventlog/index.ts'
import { bareHashing } from './bare-hashing.ts'
import { microseconds } from './batch.ts'
import { compare, type Bench, type Row } from './framework.ts'
import { logsOver, realLog } from './real-logs.ts'

const ROUNDS = 21
const BATCH = 40
const OVER = 30_000
/** A verifier runs for months, so its code is compiled as well as it will ever be. */
const WARM_UP = 400

/** Everything that makes a log's registers and bindings known, each time from its bytes. */
export const logReplay: Bench = async () => {
  const logs = logsOver(OVER).map((name) => {
    const bytes = realLog(name)
    const log = parseEventLog(bytes)
    const bank = preferredBank(log)
    if (bank === undefined) throw new Error(`${name} has no bank that can be replayed`)
    const ours = (): void => {
      const read = parseEventLog(bytes)
      replayEventLog(read, bank)
      annotate(read, bank)
    }
    return { ours, bare: bareHashing(log, bank), events: log.events.length }
  })
  for (let run = 0; run < WARM_UP; run += 1) {
    for (const { ours, bare } of logs) {
      ours()
      bare.plain()
      bare.tight()
    }
  }
  const events = logs.reduce((sum, log) => sum + log.events, 0)
  const perEvent = (count: number, work: () => void) => {
    const sample = microseconds(BATCH, work)
    return async () => (await sample()) / count
  }
  const all = perEvent(events, () => logs.forEach(({ ours }) => ours()))
  const rows: Row[] = [
    await compare(
      'log-replay',
      ROUNDS,
      all,
      perEvent(events, () => logs.forEach(({ bare }) => bare.plain())),
    ),
    await compare(
      'log-replay-tight',
      ROUNDS,
      all,
      perEvent(events, () => logs.forEach(({ bare }) => bare.tight())),
    ),
  ]
  const each: Row[] = []
  for (const { ours, bare, events: count } of logs) {
    each.push(await compare('log-replay-worst', ROUNDS, perEvent(count, ours), perEvent(count, bare.plain)))
  }
  const [worst] = each.toSorted((one, other) => other.ratio - one.ratio)
  return worst === undefined ? rows : [...rows, worst]
}
