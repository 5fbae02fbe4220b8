import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import fc from 'fast-check'
import { isTouchstoneError, toHex, type ErrorCode } from '../../src/core/index.ts'
import { describeEventLog } from '../../src/eventlog/describe.ts'
import { parseEventLog, readAnyLog } from '../../src/eventlog/parse.ts'
import { registerValue, replayEventLog } from '../../src/eventlog/replay.ts'
import { digestOf, TYPE, u16, u32, type EventSpec } from './build-log.ts'

const MLE_HASH = 0x404
const BANKS = [
  ['sha1', 1, 20],
  ['sha256', 2, 32],
  ['sha384', 3, 48],
  ['sha512', 4, 64],
] as const
type Bank = (typeof BANKS)[number][0]

const LAUNCH: readonly EventSpec[] = [
  { pcr: 17, type: 0x402, data: Buffer.alloc(36), measured: 'the loader' },
  { pcr: 17, type: MLE_HASH, data: '', measured: 'mle' },
  { pcr: 18, type: 0x40a, data: 'policy', measured: 'policy' },
]

function events(bank: Bank): Buffer {
  return Buffer.concat(
    LAUNCH.flatMap(({ pcr, type, data, measured }) => {
      const payload = Buffer.from(data ?? '')
      return [u32(pcr), u32(type), digestOf(bank, measured ?? ''), u32(payload.byteLength), payload]
    }),
  )
}

interface Header {
  readonly register?: number
  readonly digest?: Buffer
  readonly size?: number
  readonly revision?: number
  readonly algorithm?: number
  readonly digestSize?: number
}

/** TCG_LOG_DESCRIPTOR as Intel's guide has it, in an event of TCG 1.2. */
function header(bank: Bank, change: Header = {}): Buffer {
  const [, algorithm = 0, digestSize = 0] = BANKS.find(([name]) => name === bank) ?? []
  return Buffer.concat([
    u32(change.register ?? 0),
    u32(TYPE.noAction),
    change.digest ?? Buffer.alloc(20),
    u32(change.size ?? 28),
    Buffer.from('FRMT ID EVENT00\0', 'latin1'),
    u32(change.revision ?? 1),
    u32(change.algorithm ?? algorithm),
    u32(change.digestSize ?? digestSize),
  ])
}

const log = (bank: Bank, change?: Header) => Buffer.concat([header(bank, change), events(bank)])

/** TXT_HEAP_EVENT_LOG_DESCR, and the memory that it describes. */
function described(memory: Buffer, change: { first?: number; next?: number } = {}): Buffer {
  const offsets = [memory.byteLength + 64, change.first ?? 0, change.next ?? memory.byteLength]
  const descriptor = [u16(0x0b), u16(0), Buffer.alloc(8, 0x7f), ...offsets.map((offset) => u32(offset))]
  return Buffer.concat([...descriptor, memory, Buffer.alloc(64)])
}

function valueOf(bank: Bank): string {
  const size = BANKS.find(([name]) => name === bank)?.[2] ?? 0
  const value = ['the loader', 'mle'].reduce(
    (state, text) => createHash(bank).update(state).update(digestOf(bank, text)).digest(),
    Buffer.alloc(size),
  )
  return toHex(value)
}

function refuses(bytes: Buffer, code: ErrorCode): void {
  assert.throws(
    () => readAnyLog(bytes),
    (error) => isTouchstoneError(error, code),
  )
}

test('reads the log of one bank, and replays it', () => {
  for (const [bank] of BANKS) {
    const read = readAnyLog(log(bank))
    assert.deepEqual([read.format, read.banks, read.events.length, read.findings], ['txt-tpm2', [bank], 4, []])
    assert.equal(toHex(registerValue(replayEventLog(read, bank), 17)), valueOf(bank))
  }
})

test('reads it behind the descriptor of the heap, to the event that this counts last', () => {
  const memory = Buffer.concat([Buffer.alloc(16, 0xa5), log('sha256')])
  const read = readAnyLog(described(memory, { first: 16 }))
  assert.deepEqual([read.events.length, read.events[0]?.offset], [4, 24 + 16])
  assert.deepEqual(
    read.findings.map(({ code }) => code),
    ['eventlog.padding'],
  )
  assert.equal(toHex(registerValue(replayEventLog(read, 'sha256'), 17)), valueOf('sha256'))
})

test('shows the events by the names of the launch, and no bank that is not there', () => {
  const { events: shown, banks, pcrs } = describeEventLog(log('sha384'))
  assert.deepEqual([banks, Object.keys(pcrs)], [['sha384'], ['sha384']])
  assert.deepEqual(shown.map(({ pcr, type, binding }) => [pcr, type, binding]).slice(0, 2), [
    [0, 'EV_NO_ACTION', 'none'],
    [17, 'EVTYPE_HASH_START', 'unbound'],
  ])
})

test('memory that the launch did not use is padding', () => {
  const read = readAnyLog(Buffer.concat([log('sha256'), Buffer.alloc(512)]))
  assert.deepEqual([read.events.length, read.findings.map(({ code }) => code)], [4, ['eventlog.padding']])
})

test('a header that is measured, or for another register, is an error', () => {
  const codes = (change: Header) => readAnyLog(log('sha256', change)).findings.map(({ code }) => code)
  assert.deepEqual(codes({ digest: Buffer.alloc(20, 1) }), ['eventlog.header_digest'])
  assert.deepEqual(codes({ register: 17 }), ['eventlog.header_register'])
})

test('refuses a header of another size or revision', () => {
  refuses(log('sha256', { size: 29 }), 'decode.value')
  refuses(log('sha256', { revision: 2 }), 'decode.value')
})

test('refuses an algorithm that there is not, or whose digests have another size', () => {
  refuses(log('sha256', { algorithm: 9 }), 'eventlog.digests')
  refuses(log('sha256', { digestSize: 0xffffffff }), 'eventlog.digests')
})

test('refuses a descriptor whose events end before they begin, or behind the file', () => {
  refuses(described(log('sha256'), { next: 4 }), 'decode.value')
  refuses(described(log('sha256'), { next: 0xffffffff }), 'decode.truncated')
})

test('refuses a log that is cut within an event', () => {
  const bytes = log('sha512')
  refuses(bytes.subarray(0, bytes.byteLength - 1), 'decode.truncated')
  refuses(bytes.subarray(0, 60 + 40), 'decode.truncated')
})

test('a verdict does not rest on it, because it has the launch alone', () => {
  assert.throws(
    () => parseEventLog(log('sha256')),
    (error) => isTouchstoneError(error, 'eventlog.format'),
  )
})

test('a log with any few bytes changed is read or refused with a code', () => {
  const bytes = described(log('sha256'))
  const change = fc.tuple(fc.nat({ max: bytes.byteLength - 1 }), fc.integer({ min: 0, max: 255 }))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const changed = Buffer.from(bytes)
      for (const [at, value] of changes) changed[at] = value
      try {
        JSON.stringify(describeEventLog(changed))
      } catch (error) {
        if (!isTouchstoneError(error)) throw error
      }
    }),
    { numRuns: 300 },
  )
})
