import assert from 'node:assert/strict'
import fc from 'fast-check'
import test from 'node:test'
import { toHex } from '../../../src/core/index.ts'
import { boundClaims, type BoundClaims } from '../../../src/eventlog/claims/bound-claims.ts'
import { bootClaims } from '../../../src/eventlog/claims/derive.ts'
import { preferredBank, type EventLog, type LogEvent, type ReplayBank } from '../../../src/eventlog/log.ts'
import { parseEventLog } from '../../../src/eventlog/parse.ts'
import { replayEventLog } from '../../../src/eventlog/replay.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../../fixtures/shared-data.ts'
import { TYPE } from '../build-log.ts'
import { BOOTS, bootFile, realLog, realLogs } from '../logs.ts'

/** What somebody may do to a log whose digests are quoted. */
type Forgery = (events: LogEvent[], at: number, other: number, byte: number) => void

const changePayload =
  (change: (data: Buffer, other: LogEvent, byte: number) => Buffer): Forgery =>
  (events, at, other, byte) => {
    const [event, donor] = [events[at], events[other]]
    if (event !== undefined && donor !== undefined) events[at] = { ...event, data: change(event.data, donor, byte) }
  }

const FORGERIES: Readonly<Record<string, Forgery>> = {
  'a payload of another event': changePayload((_, { data }) => data),
  'no payload': changePayload(() => Buffer.alloc(0)),
  'a payload with a changed byte': changePayload((data, _, byte) => {
    const changed = Buffer.from(data)
    const index = byte % Math.max(changed.byteLength, 1)
    if (changed.byteLength > 0) changed[index] = (changed[index] ?? 0) ^ (1 + (byte % 255))
    return changed
  }),
  'a payload cut short': changePayload((data, _, byte) => data.subarray(0, byte % (data.byteLength + 1))),
  'a payload under the label of a command': changePayload((data) => Buffer.concat([Buffer.from('grub_cmd: '), data])),
  'a payload under another label': changePayload((data, _, byte) => {
    const labels = ['grub_cmd: ', 'grub_cmd ', 'kernel_cmdline: ', 'grub_kernel_cmdline ', 'module_cmdline: ']
    const text = data.toString('latin1')
    const bare = text.slice(labels.find((label) => text.startsWith(label))?.length ?? 0)
    return Buffer.from(`${labels[byte % labels.length] ?? ''}${bare}`, 'latin1')
  }),
  'a payload in UTF-16': changePayload((data) => Buffer.from(data.toString('utf8'), 'utf16le')),
  'another type': (events, at, _, byte) => {
    const event = events[at]
    const types = Object.values(TYPE)
    const type = types[byte % types.length] ?? TYPE.ipl
    if (event !== undefined) events[at] = { ...event, type }
  },
  'another order between registers': (events, at) => {
    const [first, second] = [events[at], events[at + 1]]
    if (first !== undefined && second !== undefined && first.pcr !== second.pcr) events.splice(at, 2, second, first)
  },
  'an event that measures nothing': (events, at, _, byte) => {
    const data = Buffer.from(`SP800-155 Event\0${String.fromCharCode(byte)}`.padEnd(60, 'x'), 'latin1')
    events.splice(at, 0, { index: at, pcr: byte % 24, type: TYPE.noAction, digests: new Map(), data, offset: 0 })
  },
}

function forged(log: EventLog, forgery: Forgery, at: number, other: number, byte: number): EventLog {
  const events = [...log.events]
  forgery(events, at % events.length, other % events.length, byte)
  return { ...log, events: events.map((event, index) => ({ ...event, index })) }
}

function registersOf(log: EventLog, bank: ReplayBank): string {
  return [...replayEventLog(log, bank).values].map(([pcr, value]) => `${pcr}=${toHex(value)}`).join()
}

/** Bound claims of a forged log are those of the true one, or missing. */
function assertNothingForged(truth: BoundClaims, claims: BoundClaims): void {
  for (const [group, leaves] of Object.entries(claims)) {
    for (const [name, value] of Object.entries(leaves)) {
      // What nobody can read grows with what somebody made unreadable.
      if (group === 'log') continue
      assert.deepEqual(value, truth[group]?.[name], `${group}.${name}`)
    }
  }
}

const forgery$ = fc.record({
  kind: fc.constantFrom(...Object.keys(FORGERIES)),
  at: fc.nat(),
  other: fc.nat(),
  byte: fc.nat({ max: 1 << 16 }),
})

function holds(bytes: Buffer, runs: number): void {
  const log = parseEventLog(bytes)
  const bank = preferredBank(log)
  assert.ok(bank)
  const registers = registersOf(log, bank)
  const truth = boundClaims(bootClaims(log, bank))
  fc.assert(
    fc.property(fc.array(forgery$, { minLength: 1, maxLength: 3 }), (forgeries) => {
      const changed = forgeries.reduce((each, { kind, at, other, byte }) => {
        const forgery = FORGERIES[kind]
        return forgery === undefined ? each : forged(each, forgery, at, other, byte)
      }, log)
      if (registersOf(changed, bank) !== registers) return
      assertNothingForged(truth, boundClaims(bootClaims(changed, bank)))
    }),
    { numRuns: runs },
  )
}

for (const boot of BOOTS) {
  test(`whatever is written around the digests of the boot ${boot}, no bound claim says another thing`, () => {
    holds(bootFile(boot, 'eventlog.bin'), 400)
  })
}

test(
  'whatever is written around the digests of real logs, no bound claim says another thing',
  { skip: SKIP_WITHOUT_SHARED_DATA },
  () => {
    for (const name of realLogs()) holds(realLog(name), 60)
  },
)
