import assert from 'node:assert/strict'
import fc from 'fast-check'
import test from 'node:test'
import { isTouchstoneError } from '../../src/core/index.ts'
import { describeEventLog } from '../../src/eventlog/describe.ts'
import { imaFindings } from '../../src/eventlog/ima/ima-findings.ts'
import { parseImaLog } from '../../src/eventlog/ima/parse-ima-log.ts'
import { replayImaLog } from '../../src/eventlog/ima/replay-ima-log.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { agileLog, event, specId, TYPE, u32, u64, type EventSpec } from '../eventlog/build-log.ts'
import { bootFile, realLog, realLogs } from '../eventlog/logs.ts'

/** Reads a log as far as `touchstone log show` does. Only coded errors may come out. */
function survives(bytes: Buffer): void {
  try {
    JSON.stringify(describeEventLog(bytes))
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
  }
}

test('any bytes are read or refused with a code', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => survives(Buffer.from(bytes))))
})

const types = fc.oneof(fc.constantFrom(...Object.values(TYPE), 9, 10, 11, 15, 0x8000000a, 0x8000000b), fc.nat())

const event$ = fc.record({
  pcr: fc.oneof(fc.integer({ min: 0, max: 25 }), fc.constant(0xffffffff)),
  type: types,
  data: fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes)),
})

test('any events with any payloads, bound or not, are read', () => {
  fc.assert(
    fc.property(fc.array(event$, { maxLength: 12 }), fc.boolean(), (events, bound) => {
      const specs: EventSpec[] = bound ? events : events.map((each) => ({ ...each, measured: 'x' }))
      const description = describeEventLog(agileLog(specs))
      assert.equal(description.events.length, events.length + 1)
      assert.doesNotThrow(() => JSON.stringify(description))
    }),
  )
})

test('a recorded log with any few bytes changed is read or refused with a code', () => {
  const log = bootFile('honest', 'eventlog.bin')
  const change = fc.tuple(fc.nat({ max: log.byteLength - 1 }), fc.integer({ min: 0, max: 255 }))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
      const bytes = Buffer.from(log)
      for (const [at, value] of changes) bytes[at] = value
      survives(bytes)
    }),
    { numRuns: 300 },
  )
})

for (const value of [0, 1, 0x7fffffff, 0xffffffff]) {
  test(`a recorded log is read or refused with a code when any size or count in it is ${value}`, () => {
    const log = bootFile('honest', 'eventlog.bin')
    const { events } = parseEventLog(log)
    for (const each of events) {
      const dataAt = each.data.byteOffset - log.byteOffset
      for (const at of [each.offset, each.offset + 4, each.offset + 8, dataAt - 4, dataAt, dataAt + 16, dataAt + 24]) {
        if (at + 4 > log.byteLength) continue
        const bytes = Buffer.from(log)
        bytes.writeUInt32LE(value, at)
        survives(bytes)
      }
    }
  })
}

test('a recorded log cut at any byte is read or refused with a code', () => {
  const log = bootFile('honest', 'eventlog.bin')
  for (let size = 0; size < log.byteLength; size += 3) survives(log.subarray(0, size))
})

test(
  'logs of real machines with every payload shortened to any length are read',
  { skip: SKIP_WITHOUT_SHARED_DATA },
  () => {
    for (const name of realLogs()) {
      for (const each of parseEventLog(realLog(name)).events) {
        for (const size of [1, 15, 16, 31, 32, 33, each.data.byteLength - 1]) {
          if (size < 0 || size >= each.data.byteLength) continue
          describeEventLog(agileLog([{ pcr: 1, type: each.type, data: each.data.subarray(0, size) }]))
        }
      }
    }
  },
)

/** Nested as Windows nests, deeper than a stack would bear. */
function nestedTags(depth: number): Buffer {
  const headers = Buffer.alloc(8 * depth)
  for (let i = 0; i < depth; i++) {
    headers.writeUInt32LE(0x40010001, 8 * i)
    headers.writeUInt32LE(8 * (depth - i - 1), 8 * i + 4)
  }
  return headers
}

/** A path whose nodes have no length: the one that a careless reader never leaves. */
const endlessPath = Buffer.concat([Buffer.alloc(24), u64(8), Buffer.from('0404000004040000', 'hex')])

for (const [name, spec] of [
  ['tagged events nested 50,000 deep', { pcr: 12, type: TYPE.eventTag, data: nestedTags(50_000) }],
  [
    'tagged events that contain themselves',
    { pcr: 12, type: TYPE.eventTag, data: Buffer.concat([u32(1), u32(0xffffffff)]) },
  ],
  ['a device path of nodes without length', { pcr: 4, type: TYPE.application, data: endlessPath }],
  [
    'a device path of 100,000 nodes',
    {
      pcr: 4,
      type: TYPE.application,
      data: Buffer.concat([Buffer.alloc(24), u64(400_000), Buffer.alloc(400_000, Buffer.from('7f010400', 'hex'))]),
    },
  ],
  ['odd UTF-16', { pcr: 12, type: TYPE.ipl, data: Buffer.from('610062006300ff', 'hex') }],
  ['a variable with a name of 2^63 characters', { pcr: 7, type: TYPE.driverConfig, data: Buffer.alloc(64, 0xff) }],
] as const) {
  test(`${name}: read at once`, () => {
    const description = describeEventLog(agileLog([spec]))
    assert.ok((description.events[1]?.summary.length ?? 0) < 600)
  })
}

test('the work grows with the log and not with its square', () => {
  // As many of the smallest events there are as a log may have, in a bank of no bytes: a quadratic reader would take hours.
  const one = event({ pcr: 8, type: TYPE.ipl }, [])
  const log = Buffer.concat([specId({ algorithms: [[0x7777, 0]] }), ...Array.from({ length: 131_071 }, () => one)])
  assert.equal(parseEventLog(log).events.length, 131_072)
  assert.throws(
    () => parseEventLog(Buffer.concat([log, one])),
    (error) => isTouchstoneError(error, 'decode.too_large'),
  )
})

test('any bytes are an IMA log or refused with a code', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        parseImaLog(bytes)
        imaFindings(bytes, 'sha256')
        replayImaLog(bytes, 'sha256')
      } catch (error) {
        if (!isTouchstoneError(error)) throw error
      }
    }),
  )
})

test('a recorded IMA log with any few bytes changed is read or refused with a code', () => {
  const ima = bootFile('honest', 'ima.bin')
  const change = fc.tuple(fc.nat({ max: ima.byteLength - 1 }), fc.integer({ min: 0, max: 255 }))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const bytes = Buffer.from(ima)
      for (const [at, value] of changes) bytes[at] = value
      try {
        imaFindings(bytes, 'sha1')
      } catch (error) {
        if (!isTouchstoneError(error)) throw error
      }
    }),
  )
})
