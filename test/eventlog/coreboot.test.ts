import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import fc from 'fast-check'
import { isTouchstoneError, toHex, type ErrorCode } from '../../src/core/index.ts'
import { describeEventLog } from '../../src/eventlog/describe.ts'
import { parseEventLog, readAnyLog } from '../../src/eventlog/parse.ts'
import { registerValue, replayEventLog } from '../../src/eventlog/replay.ts'
import { digestOf, event, sha1Log, TYPE, u16, u32 } from './build-log.ts'

interface Entry {
  readonly pcr: number
  readonly algorithm: string
  readonly digest: Buffer
  readonly name: string
}

function fixed(text: string | Buffer, size: number): Buffer {
  const field = Buffer.alloc(size)
  Buffer.from(text).copy(field)
  return field
}

function entry({ pcr, algorithm, digest, name }: Entry): Buffer {
  return Buffer.concat([u32(pcr), fixed(algorithm, 10), fixed(digest, 64), u32(digest.byteLength), fixed(name, 50)])
}

/** `struct tcpa_table` as coreboot lays it out, with room for more entries than it has. */
function table(entries: readonly Entry[], max = entries.length + 2): Buffer {
  const unused = Buffer.alloc((max - entries.length) * 132)
  return Buffer.concat([u16(max), u16(entries.length), ...entries.map(entry), unused])
}

function sha256(pcr: number, name: string): Entry {
  return { pcr, algorithm: 'SHA256', digest: digestOf('sha256', `content of ${name}`), name }
}

/** The log of measured_boot.md: flags of SHA-1 among files of SHA-256. */
const FLAGS: Entry = {
  pcr: 0,
  algorithm: 'SHA1',
  digest: Buffer.from('62571891215b4efc1ceab744ce59dd0b66ea6f73', 'hex'),
  name: 'GBB flags',
}
const ENTRIES: readonly Entry[] = [
  sha256(2, 'FMAP: COREBOOT CBFS: bootblock'),
  sha256(2, 'FMAP: COREBOOT CBFS: fallback/verstage'),
  FLAGS,
  sha256(1, 'GBB HWID'),
  sha256(3, 'FMAP: RW_NVRAM'),
]

function extend(bank: string, state: Buffer, digest: Buffer): Buffer {
  return createHash(bank).update(state).update(digest).digest()
}

test("reads coreboot's own table and replays its one bank", () => {
  const log = readAnyLog(table(ENTRIES))
  assert.deepEqual([log.format, log.writer, log.banks, log.events.length], ['coreboot-tcpa', 'coreboot', ['sha256'], 5])
  const replayed = replayEventLog(log, 'sha256')
  const two = [0, 1].reduce<Buffer>(
    (state, index) => extend('sha256', state, ENTRIES[index]?.digest ?? Buffer.alloc(0)),
    Buffer.alloc(32),
  )
  assert.equal(toHex(registerValue(replayed, 2)), toHex(two))
  // 20 bytes and 12 zeros
  const zero = extend('sha256', Buffer.alloc(32), Buffer.concat([FLAGS.digest, Buffer.alloc(12)]))
  assert.equal(toHex(registerValue(replayed, 0)), toHex(zero))
})

test('shows names as what they are, and says what the registers mean', () => {
  const { events, findings } = describeEventLog(table(ENTRIES))
  assert.deepEqual(
    events.slice(1, 3).map(({ pcr, type, binding, summary }) => [pcr, type, binding, summary]),
    [
      [2, 'EV_ACTION', 'unbound', 'FMAP: COREBOOT CBFS: fallback/verstage'],
      [0, 'EV_ACTION', 'unbound', 'GBB flags'],
    ],
  )
  assert.deepEqual(
    findings.map(({ code, severity }) => [code, severity]),
    [
      ['eventlog.coreboot', 'info'],
      ['eventlog.digest_length', 'warning'],
      ['eventlog.padding', 'info'],
    ],
  )
})

test('cuts a digest that is longer than those of the bank, as the firmware does', () => {
  const sha1 = (name: string): Entry => ({ pcr: 2, algorithm: 'SHA1', digest: digestOf('sha1', name), name })
  const log = readAnyLog(table([sha1('a'), sha1('b'), sha256(1, 'GBB HWID')]))
  assert.deepEqual(log.banks, ['sha1'])
  const one = extend('sha1', Buffer.alloc(20), digestOf('sha256', 'content of GBB HWID').subarray(0, 20))
  assert.equal(toHex(registerValue(replayEventLog(log, 'sha1'), 1)), toHex(one))
})

test('reads a table of a machine that is big endian', () => {
  const bytes = table(ENTRIES, 5)
  for (const at of [0, 2]) bytes.subarray(at, at + 2).reverse()
  for (let index = 0; index < 5; index++) {
    for (const at of [0, 78]) bytes.subarray(4 + index * 132 + at, 8 + index * 132 + at).reverse()
  }
  assert.deepEqual(
    readAnyLog(bytes).events.map(({ pcr }) => pcr),
    [2, 2, 0, 1, 3],
  )
})

function refuses(bytes: Buffer, code: ErrorCode): void {
  assert.throws(
    () => readAnyLog(bytes),
    (error) => isTouchstoneError(error, code),
  )
}

test('refuses a table with more entries than bytes', () => {
  refuses(table(ENTRIES, 5).subarray(0, -1), 'decode.truncated')
})

test('refuses an entry of an algorithm that coreboot does not have', () => {
  refuses(table([...ENTRIES, { ...FLAGS, algorithm: 'MD5' }]), 'decode.value')
})

test('refuses a digest longer than its field', () => {
  const bytes = table(ENTRIES)
  bytes.writeUInt32LE(65, 4 + 132 + 78)
  refuses(bytes, 'decode.too_large')
})

test('finds a register that does not exist', () => {
  assert.ok(readAnyLog(table([sha256(24, 'a')])).findings.some(({ code }) => code === 'eventlog.register_range'))
})

test('a verdict does not rest on a file without a mark of its own', () => {
  assert.throws(
    () => parseEventLog(table(ENTRIES)),
    (error) => isTouchstoneError(error, 'eventlog.format'),
  )
})

test('a table with any few bytes changed is read or refused with a code', () => {
  const bytes = table(ENTRIES)
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

/** The vendor's part of the header: `struct tpm_1_vendor` and `struct tpm_2_vendor`. */
function vendor(magic: number, entries: number): Buffer {
  return Buffer.concat([Buffer.from([0, 1, 0]), u32(magic), u16(50), u16(entries), u32(86)])
}

function header(signature: string, body: Buffer, info: Buffer): Buffer {
  const payload = Buffer.concat([
    Buffer.from(`${signature}\0`, 'latin1'),
    u32(0),
    body,
    Buffer.from([info.byteLength]),
    info,
  ])
  return Buffer.concat([u32(0), u32(TYPE.noAction), Buffer.alloc(20), u32(payload.byteLength), payload])
}

const NAMES = ['FMAP: COREBOOT CBFS: bootblock', 'FMAP: COREBOOT CBFS: fallback/romstage']
const events = NAMES.map((name) => ({
  pcr: 2,
  type: TYPE.action,
  data: fixed(name, 50),
  measured: `content of ${name}`,
}))

test('names of files in a TCG log of coreboot are no mismatch', () => {
  const sizes = Buffer.concat([Buffer.from([0, 2, 0, 2]), u32(1), u16(0x0b), u16(32)])
  const bytes = Buffer.concat([
    header('Spec ID Event03', sizes, vendor(0x32544243, 2)),
    ...events.map((each) => event(each)),
  ])
  const log = parseEventLog(Buffer.concat([bytes, Buffer.alloc(1000)]))
  assert.deepEqual([log.format, log.writer, log.events.length], ['tcg2', 'coreboot', 3])
  const { events: shown, findings } = describeEventLog(bytes)
  assert.deepEqual(
    shown.slice(1).map(({ binding, summary }) => [binding, summary]),
    NAMES.map((name) => ['unbound', name]),
  )
  assert.deepEqual(
    findings.map(({ code, severity }) => [code, severity]),
    [['eventlog.coreboot', 'info']],
  )
})

test('a TCG log of SHA-1 by coreboot ends where its header says', () => {
  const bytes = Buffer.concat([
    header('Spec ID Event00', Buffer.from([2, 1, 1, 0]), vendor(0x31544243, 2)),
    sha1Log(events),
  ])
  const log = parseEventLog(Buffer.concat([bytes, Buffer.alloc(200, 0x5a)]))
  assert.deepEqual([log.format, log.writer, log.events.length], ['tcg1.2', 'coreboot', 3])
  assert.deepEqual(
    log.findings.map(({ code }) => code),
    ['eventlog.coreboot', 'eventlog.padding'],
  )
})

test('an action of any other firmware with another digest is a mismatch', () => {
  const log = sha1Log([{ pcr: 2, type: TYPE.action, data: 'text', measured: 'other' }])
  assert.equal(describeEventLog(log).events[0]?.binding, 'mismatch')
})
