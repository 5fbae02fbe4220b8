import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { isTouchstoneError, type ErrorCode } from '../../src/core/index.ts'
import { bootClaims } from '../../src/eventlog/claims/derive.ts'
import { bootFacts } from '../../src/eventlog/facts/derive.ts'
import { structuralFindings } from '../../src/eventlog/findings/structural-findings.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { replayEventLog } from '../../src/eventlog/replay.ts'
import { joinUserspaceLog, parseUserspaceLog } from '../../src/eventlog/systemd/userspace-log.ts'
import { agileLog, digestOf, regularBoot, TYPE } from './build-log.ts'
import { BOOT_ID, machineId, PHASES, phases, userspaceLog } from './userspace-records.ts'
import type { Entry } from './userspace-records.ts'

const firmware = parseEventLog(
  agileLog([...regularBoot(), { pcr: 11, type: TYPE.ipl, data: Buffer.from('.linux\0'), measured: 'kernel' }], {
    banks: ['sha1', 'sha256'],
  }),
)

function joined(bytes: Buffer, records = Number.MAX_SAFE_INTEGER) {
  return joinUserspaceLog(firmware, parseUserspaceLog(bytes), { records, bank: 'sha256' })
}

function refusedWith(bytes: Buffer, code: ErrorCode): void {
  assert.throws(
    () => parseUserspaceLog(bytes),
    (error) => isTouchstoneError(error, code),
  )
}

function errorsOf(bytes: Buffer): string[] {
  return structuralFindings(joined(bytes), 'sha256')
    .filter(({ severity }) => severity === 'error')
    .map(({ code }) => code)
}

test('each register goes on from where the firmware left it, in every bank', () => {
  const log = joined(userspaceLog(...phases, machineId))
  for (const bank of ['sha1', 'sha256'] as const) {
    const before = replayEventLog(firmware, bank).values
    const after = replayEventLog(log, bank).values
    const eleven = PHASES.reduce(
      (state, phase) => digestOf(bank, Buffer.concat([state, digestOf(bank, phase)])),
      before.get(11) ?? Buffer.alloc(0),
    )
    assert.deepEqual(after.get(11), eleven)
    assert.notDeepEqual(after.get(15), undefined)
    assert.deepEqual(after.get(4), before.get(4))
  }
})

test('what systemd measured is a claim of the boot, behind what the firmware measured', () => {
  const { userspace } = bootClaims(joined(userspaceLog(...phases, machineId)), 'sha256')
  assert.deepEqual(userspace.machineId.state === 'known' && userspace.machineId.value, BOOT_ID)
  assert.deepEqual(userspace.phases.state === 'known' && userspace.phases.value, PHASES)
})

test('records behind those that count are no part of the log', () => {
  const { events } = joined(userspaceLog(...phases, machineId), 3)
  assert.deepEqual(
    events.slice(firmware.events.length).map(({ index, data }) => [index, data.toString()]),
    PHASES.slice(0, 3).map((phase, at) => [firmware.events.length + at, phase]),
  )
  assert.equal(joined(userspaceLog(...phases), 0), firmware)
})

test('records of NV indices, and of other banks alone, extend nothing in the judged bank', () => {
  const bytes = userspaceLog(
    { nvIndex: 0x1d10200, eventType: 'product-id', string: 'product-id:missing' },
    { pcr: 11, eventType: 'phase', string: 'sysinit', banks: ['sha384'] },
  )
  assert.equal(joined(bytes), firmware)
  assert.deepEqual(parseUserspaceLog(bytes).events.length, 2)
})

test('a log that lacks the judged bank, or has RTMRs, is not made right by systemd’s', () => {
  const old = parseEventLog(agileLog(regularBoot(), { banks: ['sha1'] }))
  const userspace = parseUserspaceLog(userspaceLog(...phases))
  assert.equal(joinUserspaceLog(old, userspace, { records: 4, bank: 'sha256' }), old)
  const guest = { ...firmware, registers: 'rtmr' } as const
  assert.equal(joinUserspaceLog(guest, userspace, { records: 4, bank: 'sha256' }), guest)
})

test('systemd closes the registers of the firmware with its separator, and measures nothing else there', () => {
  const separators = [0, 1, 2, 3, 4, 5, 6, 7].map((pcr) => ({
    pcr,
    eventType: 'os-separator',
    string: 'os-separator',
  }))
  assert.deepEqual(errorsOf(userspaceLog(...separators, ...phases)), [])
  const hidden = { pcr: 4, eventType: 'phase', string: 'sysinit' }
  assert.deepEqual(errorsOf(userspaceLog(hidden)), ['eventlog.userspace_register'])
  const renamed = { pcr: 4, eventType: 'os-separator', string: 'os-separator', measured: 'another boot loader' }
  assert.ok(errorsOf(userspaceLog(renamed)).includes('eventlog.payload_mismatch'))
})

test('names of NvPCRs in PCR 9 are no files that a boot loader read, and anything else there may be one', () => {
  const name = 'nvpcr-init:hardware:0x1d10200:000bff27bc66b6eda11bccd3a0ca07664ae4c360bcc3d7ef019d0b19cb5fa4067541'
  const own: readonly Entry[] = [
    { pcr: 9, eventType: 'nvpcr-init', string: name },
    { pcr: 9, eventType: 'nvpcr-separator', string: 'nvpcr-separator' },
  ]
  const files = (...entries: readonly Entry[]) => {
    const log = joined(userspaceLog(...entries))
    return [bootFacts(log, 'sha256').bootFiles.length, bootClaims(log, 'sha256').loader.files.state]
  }
  assert.deepEqual(files(...own), [0, 'known'])
  assert.deepEqual(files(...own, { pcr: 9, eventType: 'nvpcr-init', string: name, measured: 'a kernel' }), [1, 'known'])
  assert.deepEqual(files(...own, { pcr: 9, eventType: 'phase', string: 'a file' }), [1, 'known'])
})

test('records of PCR 10 would hide entries of IMA', () => {
  assert.deepEqual(errorsOf(userspaceLog({ pcr: 10, eventType: 'phase', string: 'ready' })), ['eventlog.ima_register'])
})

test('a last record that was cut anywhere is left out, and where it began is said', () => {
  const whole = userspaceLog(...phases, machineId)
  const start = userspaceLog(...phases).byteLength
  for (let size = start + 1; size < whole.byteLength - 1; size += 1) {
    const log = parseUserspaceLog(whole.subarray(0, size))
    assert.deepEqual([log.events.length, log.cutAt], [4, start])
  }
  assert.equal(parseUserspaceLog(whole.subarray(0, whole.byteLength - 1)).cutAt, undefined)
  assert.deepEqual(parseUserspaceLog(whole.subarray(0, 20)), { events: [], banks: [], cutAt: 0 })
})

test('a file that systemd has made and not written yet has no records', () => {
  assert.deepEqual(parseUserspaceLog(Buffer.alloc(0)), { events: [], banks: [] })
})

test('refuses what is not systemd’s log, with a code', () => {
  refusedWith(agileLog(regularBoot()), 'eventlog.format')
  refusedWith(Buffer.from('{"recnum":0,"pcr":1,"digests":[],"content_type":"cel","content":[]}'), 'decode.value')
  const digest = digestOf('sha256', 'ready').toString('hex')
  const record = { digests: [{ hashAlg: 'sha256', digest }], content_type: 'systemd', content: { string: 'ready' } }
  refusedWith(Buffer.from(JSON.stringify({ ...record, rtmr: 2 })), 'eventlog.registers')
  refusedWith(Buffer.from(JSON.stringify({ ...record, recnum: 3, pcr: 11 })), 'eventlog.format')
})

test('refuses a log that is larger than any, before it is read, and one of more records', () => {
  refusedWith(Buffer.alloc((1 << 20) + 1, 0x1e), 'decode.too_large')
  const short = '\x1e{"pcr":11,"digests":[],"content_type":"systemd","content":{"string":""}}\n'
  refusedWith(Buffer.from(short.repeat(4097)), 'decode.too_large')
})

test('a log with any few bytes changed is read or refused with a code', () => {
  const bytes = userspaceLog(...phases, machineId)
  const change = fc.tuple(fc.nat({ max: bytes.byteLength - 1 }), fc.integer({ min: 0, max: 255 }))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const changed = Buffer.from(bytes)
      for (const [at, value] of changes) changed[at] = value
      try {
        structuralFindings(joined(changed), 'sha256')
      } catch (error) {
        if (!isTouchstoneError(error)) throw error
      }
    }),
    { numRuns: 300 },
  )
})
