import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { annotate, annotateEvent } from '../../../src/eventlog/annotate.ts'
import { diffLogs } from '../../../src/eventlog/diff/diff-logs.ts'
import { parseEventLog } from '../../../src/eventlog/parse.ts'
import { summaryOf } from '../../../src/eventlog/summary.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../../fixtures/shared-data.ts'
import { agileLog, TYPE, type EventSpec } from '../build-log.ts'
import { bootFile, realLog, realLogs } from '../logs.ts'
import { existsSync } from 'node:fs'

const TYPES = [
  ...Object.values(TYPE),
  0x1,
  0x9,
  0xa,
  0xb,
  0xe,
  0xf,
  0x10,
  0x12,
  0x13,
  0x80000004,
  0x80000009,
  0x8000000a,
  0x8000000b,
  0x8000000d,
  0x800000e1,
  0x800000e2,
  0x800000e3,
  0x12345678,
]

/** Payloads of logs of real machines, each once a length: what mutations begin with. */
function seeds(): Buffer[] {
  const logs = existsSync(sharedData('eventlogs')) ? realLogs().map(realLog) : [bootFile('honest', 'eventlog.bin')]
  const byShape = new Map<string, Buffer>()
  for (const log of logs) {
    for (const { type, data } of parseEventLog(log).events) {
      if (data.byteLength <= 4096) byShape.set(`${type} ${data.byteLength}`, data)
    }
  }
  return [...byShape.values()]
}

const payloads = seeds()
const extremes = [0, 1, 3, 4, 0x7f, 0x80, 0xff]

const mutated = fc
  .tuple(
    fc.constantFrom(...payloads),
    fc.array(fc.tuple(fc.nat(), fc.constantFrom(...extremes)), { maxLength: 8 }),
    fc.nat(),
    fc.constantFrom(...TYPES),
  )
  .map(([seed, changes, size, type]) => {
    const data: Buffer = Buffer.from(seed)
    for (const [at, byte] of changes) data[at % data.byteLength] = byte
    return { data: data.subarray(0, size % 3 === 0 ? size % (data.byteLength + 1) : data.byteLength), type }
  })

test('whatever a payload holds, an event has one line of summary', () => {
  fc.assert(
    fc.property(mutated, fc.boolean(), fc.nat({ max: 23 }), ({ data, type }, measured, pcr) => {
      const spec: EventSpec = { pcr, type, data, ...(measured ? {} : { measured: 'something else' }) }
      const [, event] = parseEventLog(agileLog([spec])).events
      assert.ok(event)
      const summary = summaryOf(annotateEvent(event, 'sha256'))
      assert.ok(summary.length <= 600 && !/[\u0000-\u001f\u007f\u202e]/.test(summary), JSON.stringify(summary))
    }),
    { numRuns: 3000 },
  )
})

test('whatever two logs hold, what differs is told', () => {
  const events = fc.array(mutated, { minLength: 1, maxLength: 6 })
  const build = (specs: readonly { readonly data: Buffer; readonly type: number }[]) =>
    parseEventLog(agileLog(specs.map(({ data, type }, at) => ({ pcr: at % 3, type, data }))))
  fc.assert(
    fc.property(events, events, (before, after) => {
      const difference = diffLogs(build(before), build(after), 'sha256')
      for (const { equal, changes } of difference.pcrs) assert.equal(equal, changes.length === 0)
      JSON.stringify(difference)
    }),
    { numRuns: 500 },
  )
})

test(
  'every event of every real log has a summary, and not one says nothing',
  { skip: SKIP_WITHOUT_SHARED_DATA },
  () => {
    const silent: string[] = []
    for (const name of realLogs()) {
      const log = parseEventLog(realLog(name))
      for (const annotated of annotate(
        log,
        log.banks.includes('sha256') ? 'sha256' : log.banks.includes('sha384') ? 'sha384' : 'sha1',
      )) {
        assert.notEqual(annotated.binding, 'mismatch', `${name} ${annotated.event.index}`)
        if (summaryOf(annotated) === '') silent.push(`${name} ${annotated.event.index}`)
      }
    }
    // The event has no payload.
    assert.deepEqual(silent, ['debian-vm 15'])
  },
)
