import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import test from 'node:test'
import fc from 'fast-check'
import { isTouchstoneError } from '../../src/core/index.ts'
import { describeEventLog } from '../../src/eventlog/describe.ts'
import { parseEventLog, readAnyLog } from '../../src/eventlog/parse.ts'
import { BOOT_ID, PHASES, phases, userspaceLog as log } from './userspace-records.ts'

test('reads the sequence of records that systemd keeps, and replays its registers from zeros', () => {
  const description = describeEventLog(
    log(...phases, { pcr: 15, eventType: 'machine-id', string: `machine-id:${BOOT_ID}` }),
  )
  assert.equal(description.format, 'systemd-json')
  assert.deepEqual(description.banks, ['sha1', 'sha256'])
  assert.deepEqual(
    description.events.map(({ pcr, type, binding, summary }) => [pcr, type, binding, summary]),
    [...PHASES.map((phase) => [11, 'systemd', 'bound', phase]), [15, 'systemd', 'bound', `machine-id:${BOOT_ID}`]],
  )
  for (const bank of ['sha1', 'sha256']) {
    const size = bank === 'sha1' ? 20 : 32
    const value = PHASES.reduce(
      (state, phase) => createHash(bank).update(state).update(createHash(bank).update(phase).digest()).digest(),
      Buffer.alloc(size),
    )
    assert.equal(description.pcrs[bank]?.['11'], value.toString('hex'))
  }
  assert.deepEqual(
    description.findings.map(({ code, severity }) => [code, severity]),
    [['eventlog.userspace_log', 'info']],
  )
})

test('keeps what a record says beside the text apart from it', () => {
  const [event] = readAnyLog(log({ pcr: 11, eventType: 'phase', string: 'ready' })).events
  assert.deepEqual(event?.attributes, { eventType: 'phase', bootId: BOOT_ID, timestamp: 4061113 })
  assert.equal(event.data.toString(), 'ready')
})

test('reads records that a tool has put into lines or a list', () => {
  const lines = log(...phases)
    .toString()
    .replaceAll('\x1e', '')
  const list = `[${lines.trim().split('\n').join(',')}]`
  for (const text of [lines, list]) {
    const description = describeEventLog(Buffer.from(text))
    assert.deepEqual([description.format, description.events.length], ['systemd-json', 4])
  }
})

test('a phase whose text was changed is a mismatch', () => {
  const [event] = describeEventLog(log({ pcr: 11, eventType: 'phase', string: 'ready', measured: 'final' })).events
  assert.equal(event?.binding, 'mismatch')
})

test('the key of a volume is measured under a secret: its text is bound to nothing, and no contradiction', () => {
  const string = 'cryptsetup:root:1e023a55-60f9-4b6b-9b80-67438dc5f065'
  const digest = createHmac('sha256', 'volume key').update(string).digest()
  const { events, findings } = describeEventLog(log({ pcr: 15, eventType: 'volume-key', string, digest }))
  assert.deepEqual([events[0]?.binding, events[0]?.summary], ['unbound', string])
  assert.ok(!findings.some(({ severity }) => severity === 'error'))
})

test('a kind of measurement that is not known is unbound, unless its digest is that of the text', () => {
  const bindingOf = (measured?: string) =>
    describeEventLog(
      log({ pcr: 11, eventType: 'of-tomorrow', string: 'text', ...(measured === undefined ? {} : { measured }) }),
    ).events[0]?.binding
  assert.equal(bindingOf(), 'bound')
  assert.equal(bindingOf('something else'), 'unbound')
})

test('takes the escapes out of a text where the digest is of the plain one', () => {
  const measured = 'login:lennart:{"userName":"lennart","realName":"Zoë\t\'"}'
  const string = 'login:lennart:{\\"userName\\":\\"lennart\\",\\"realName\\":\\"Zo\\303\\253\\t\\\'\\"}'
  const [event] = readAnyLog(log({ nvIndex: 0x1d10203, eventType: 'login', string, measured })).events
  assert.equal(event?.data.toString(), measured)
  assert.equal(describeEventLog(log({ pcr: 9, eventType: 'login', string, measured })).events[0]?.binding, 'bound')
})

test('leaves escapes where the digest is of the text with them', () => {
  const string = 'file-system:ext4:\\x2d'
  const [event] = describeEventLog(log({ pcr: 15, eventType: 'filesystem', string })).events
  assert.deepEqual([event?.binding, event?.summary], ['bound', string])
})

test('a text that was cut is unbound', () => {
  const measured = `login:${'x'.repeat(3000)}`
  const string = `${measured.slice(0, 1024)}...`
  assert.equal(describeEventLog(log({ pcr: 9, eventType: 'login', string, measured })).events[0]?.binding, 'unbound')
})

test('extensions of NV indices are shown, and no register has them', () => {
  const string = 'product-id:4691595be6a345f1833cc75fab63e475'
  const entry = { nvIndex: 0x1d10200, eventType: 'product-id', string, extra: { nvIndexName: 'hardware' } }
  const description = describeEventLog(log(entry))
  assert.deepEqual([description.events[0]?.pcr, description.events[0]?.binding], [0x1d10200, 'bound'])
  assert.deepEqual(description.pcrs['sha256'], {})
  assert.deepEqual(
    description.findings.map(({ code }) => code),
    ['eventlog.userspace_log', 'eventlog.nv_index'],
  )
  assert.equal(readAnyLog(log(entry)).events[0]?.attributes?.['nvIndexName'], 'hardware')
})

test('the text with which systemd closes the registers of the firmware is no hidden event', () => {
  const separator = { pcr: 7, eventType: 'os-separator', string: 'os-separator' }
  assert.ok(!describeEventLog(log(separator)).findings.some(({ severity }) => severity === 'error'))
  const other = { pcr: 7, eventType: 'phase', string: 'sysinit' }
  assert.ok(describeEventLog(log(other)).findings.some(({ code }) => code === 'eventlog.event_unread'))
})

test('a record of an RTMR counts from 1, as in a log of a confidential guest', () => {
  const digest = createHash('sha384').update('ready').digest('hex')
  const record = {
    rtmr: 2,
    mapped_pcr: 11,
    digests: [{ hashAlg: 'sha384', digest }],
    content_type: 'systemd',
    content: { string: 'ready', bootId: BOOT_ID, timestamp: 1, eventType: 'phase' },
  }
  const { registers, events } = readAnyLog(Buffer.from(`\x1e${JSON.stringify(record)}\n`))
  assert.deepEqual([registers, events[0]?.pcr, events[0]?.attributes?.['mappedPcr']], ['rtmr', 3, 11])
})

test('a verdict does not rest on the userspace log alone', () => {
  assert.throws(
    () => parseEventLog(log(...phases)),
    (error) => isTouchstoneError(error, 'eventlog.format'),
  )
})

test('refuses a record that was cut off', () => {
  const bytes = log(...phases)
  assert.throws(
    () => readAnyLog(bytes.subarray(0, bytes.byteLength - 3)),
    (error) => isTouchstoneError(error, 'decode.truncated'),
  )
})

test('a log with any few bytes changed is read or refused with a code', () => {
  const bytes = log(...phases)
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
    { numRuns: 400 },
  )
})
