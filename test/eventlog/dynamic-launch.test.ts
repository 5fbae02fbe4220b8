import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { execa } from 'execa'
import { isTouchstoneError, toHex, type ErrorCode } from '../../src/core/index.ts'
import { describeEventLog } from '../../src/eventlog/describe.ts'
import { parseEventLog, readAnyLog } from '../../src/eventlog/parse.ts'
import { registerValue, replayEventLog } from '../../src/eventlog/replay.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import { agileLog, digestOf, regularBoot, sha1Log, TYPE, u32, type EventSpec } from './build-log.ts'

const HASH_START = 0x402
const MLE_HASH = 0x404
const SLAUNCH = 0x502

/** As Intel's module writes it: register 255, a digest of garbage. */
const MAPPING: EventSpec = { pcr: 255, type: 0x401, data: Buffer.from([1, 0, 0, 0]), measured: 'garbage' }
const START: EventSpec = { pcr: 17, type: HASH_START, data: Buffer.alloc(36), measured: 'the loader' }

function extended(first: number, ...measured: string[]): string {
  return toHex(
    measured.reduce(
      (value, text) => createHash('sha256').update(value).update(digestOf('sha256', text)).digest(),
      Buffer.alloc(32, first),
    ),
  )
}

function valueOf(events: readonly EventSpec[], pcr: number): string {
  return toHex(registerValue(replayEventLog(parseEventLog(agileLog(events)), 'sha256'), pcr))
}

test('a launch begins PCR 17 to 22 with zeros, whether they are extended or not', () => {
  const events = [MAPPING, START, { pcr: 18, type: MLE_HASH, data: '', measured: 'the kernel' }]
  assert.equal(valueOf(events, 17), extended(0, 'the loader'))
  assert.equal(valueOf(events, 18), extended(0, 'the kernel'))
  assert.equal(valueOf(events, 22), '00'.repeat(32))
  assert.equal(valueOf(events, 16), '00'.repeat(32))
})

test('registers after a launch are those of a TPM on which one happened', async (t) => {
  const tpm = await freshTpm()
  t.after(() => tpm.close())
  const control = `${/path=([^,]+)/.exec(tpm.tcti)?.[1] ?? ''}.ctrl`
  // The hash sequence at locality 4: what SENTER and SKINIT do.
  await execa('swtpm_ioctl', ['--unix', control, '-h', 'the loader'])
  const listing = await tpm.run('tpm2_pcrread', 'sha256:0,16,17,18,19,20,21,22,23')
  const values = [...listing.matchAll(/^ +(\d+) *: 0x([0-9A-F]+)$/gm)]
  assert.equal(values.length, 9)
  for (const [, pcr, value] of values) assert.equal(valueOf([START], Number(pcr)), value?.toLowerCase(), `PCR ${pcr}`)
})

test('a second launch begins them again', () => {
  const events = [START, { ...START, measured: 'another' }]
  assert.equal(valueOf(events, 17), extended(0, 'another'))
})

test('events of the firmware before a launch are not part of its registers, and keep their own', () => {
  const events = [{ pcr: 0, type: TYPE.crtmVersion, data: 'v' }, START]
  assert.equal(valueOf(events, 0), extended(0, 'v'))
  assert.equal(valueOf(events, 17), extended(0, 'the loader'))
})

for (const [name, type] of [
  ['Linux Secure Launch', SLAUNCH],
  ["AMD's loader", 0x8001],
  ['Arm', 0x9002],
] as const) {
  test(`a log of ${name} without the hash sequence shows a launch too`, () => {
    const events = [
      { pcr: 17, type, data: 'SKINIT', measured: 'a' },
      { pcr: 17, type, data: 'kernel', measured: 'b' },
    ]
    assert.equal(valueOf(events, 17), extended(0, 'a', 'b'))
  })
}

test('events of other kinds in PCR 17 show no launch', () => {
  assert.equal(valueOf([{ pcr: 17, type: TYPE.ipl, data: 'a' }], 17), extended(0xff, 'a'))
  assert.equal(valueOf(regularBoot(), 17), 'ff'.repeat(32))
})

test('marks of the launch extend nothing', () => {
  const mark = (type: number) => ({ pcr: 17, type, data: '', digests: { sha256: Buffer.alloc(32) } })
  const events = [START, mark(0x503), { pcr: 17, type: SLAUNCH, data: 'x', measured: 'x' }, mark(0x504)]
  assert.equal(valueOf(events, 17), extended(0, 'the loader', 'x'))
  assert.deepEqual(
    describeEventLog(agileLog([MAPPING, ...events])).events.map(({ type, binding }) => [type, binding]),
    [
      ['EV_NO_ACTION', 'none'],
      ['EVTYPE_PCR_MAPPING', 'none'],
      ['EVTYPE_HASH_START', 'unbound'],
      ['EV_SLAUNCH_START', 'none'],
      ['EV_SLAUNCH', 'bound'],
      ['EV_SLAUNCH_END', 'none'],
    ],
  )
})

test('the mapping of registers is said of register 255, which is no error', () => {
  const { findings } = parseEventLog(agileLog([MAPPING, START]))
  assert.deepEqual(findings, [])
})

test('the numbers of these types mean nothing in registers of the firmware', () => {
  for (const type of [0x401, HASH_START, 0x503, 0x40e]) {
    const log = agileLog([{ pcr: 0, type, data: 'a', measured: 'b' }])
    assert.equal(describeEventLog(log).events[1]?.type, `0x${type.toString(16)}`)
    assert.equal(valueOf([{ pcr: 0, type, data: 'a', measured: 'b' }], 0), extended(0, 'b'))
  }
})

test('a launch of a confidential guest is none: RTMRs begin with zeros', () => {
  const log = parseEventLog(agileLog([{ pcr: 1, type: HASH_START, data: 'a' }], { banks: ['sha384'], register: 1 }))
  assert.equal(log.registers, 'rtmr')
  assert.equal(replayEventLog(log, 'sha384').dynamicLaunch, false)
})

/** Intel TXT Software Development Guide: the container of the events with a TPM 1.2. */
function container(
  events: Buffer,
  change: { size?: number; start?: number; end?: number; version?: number } = {},
): Buffer {
  const { size, start = 48, end = 48 + events.byteLength, version = 1 } = change
  const header = Buffer.concat([
    Buffer.from('TXT Event Container\0', 'latin1'),
    Buffer.alloc(12),
    Buffer.from([version, 0, 1, 0]),
    u32(size ?? 48 + events.byteLength),
    u32(start),
    u32(end),
  ])
  return Buffer.concat([header, events])
}

const EVENTS = sha1Log([MAPPING, START, { pcr: 17, type: MLE_HASH, data: '', measured: 'mle' }])

test("reads the container of Intel's events, and replays them", () => {
  const log = readAnyLog(container(EVENTS))
  assert.deepEqual([log.format, log.banks, log.events.length, log.findings], ['txt-tcg1.2', ['sha1'], 3, []])
  assert.equal(log.events[0]?.offset, 48)
  const value = ['the loader', 'mle'].reduce(
    (state, text) => createHash('sha1').update(state).update(digestOf('sha1', text)).digest(),
    Buffer.alloc(20),
  )
  assert.equal(toHex(registerValue(replayEventLog(log, 'sha1'), 17)), toHex(value))
})

test('does not read what is behind the last event of a container', () => {
  const log = readAnyLog(
    Buffer.concat([container(EVENTS, { size: 48 + EVENTS.byteLength + 99 }), Buffer.alloc(99, 0xa5)]),
  )
  assert.equal(log.events.length, 3)
  assert.deepEqual(
    log.findings.map(({ code }) => code),
    ['eventlog.padding'],
  )
})

test('finds a container of another size than its file', () => {
  assert.deepEqual(
    readAnyLog(container(EVENTS, { size: 4096 })).findings.map(({ code, severity }) => [code, severity]),
    [['eventlog.container_size', 'warning']],
  )
})

function refuses(bytes: Buffer, code: ErrorCode): void {
  assert.throws(
    () => readAnyLog(bytes),
    (error) => isTouchstoneError(error, code),
  )
}

test('refuses a container cut anywhere', () => {
  const bytes = container(EVENTS)
  for (let size = 20; size < bytes.byteLength; size++) refuses(bytes.subarray(0, size), 'decode.truncated')
})

test('refuses a container of another version', () => refuses(container(EVENTS, { version: 2 }), 'decode.value'))

test('refuses a container whose events begin in its header', () => {
  refuses(container(EVENTS, { start: 47 }), 'decode.value')
})

test('refuses a container whose events end before they begin', () =>
  refuses(container(EVENTS, { end: 4 }), 'decode.value'))

test('refuses a container whose events end behind the file', () => {
  refuses(container(EVENTS, { end: 0xffffffff }), 'decode.truncated')
})

test('a verdict does not rest on the log of a launch alone', () => {
  assert.throws(
    () => parseEventLog(container(EVENTS)),
    (error) => isTouchstoneError(error, 'eventlog.format'),
  )
})

test('events that a launch wiped out are an error: nothing vouches for them', () => {
  const codes = (...events: EventSpec[]) =>
    describeEventLog(agileLog(events)).findings.flatMap(({ code, event }) =>
      code === 'eventlog.launch_wiped' ? [event] : [],
    )
  const kernel = { pcr: 18, type: MLE_HASH, data: '', measured: 'the kernel' }
  assert.deepEqual(codes(START, kernel), [])
  assert.deepEqual(codes(kernel, START), [1])
  assert.deepEqual(codes({ pcr: 17, type: TYPE.ipl, data: 'a' }, kernel), [1])
})
