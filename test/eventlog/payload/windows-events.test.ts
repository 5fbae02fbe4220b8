import assert from 'node:assert/strict'
import test from 'node:test'
import { parseEventLog } from '../../../src/eventlog/parse.ts'
import { isWindowsLog, readWindowsEvents, type WindowsEvent } from '../../../src/eventlog/payload/windows-events.ts'
import { windowsText } from '../../../src/eventlog/payload/windows-text.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../../fixtures/shared-data.ts'
import { u16, u32, u64 } from '../build-log.ts'
import { realLog } from '../logs.ts'

const tagged = (id: number, ...content: Buffer[]): Buffer => {
  const data = Buffer.concat(content)
  return Buffer.concat([u32(id), u32(data.byteLength), data])
}
const utf16 = (text: string): Buffer => Buffer.from(`${text}\0`, 'utf16le')
const boundary = (...events: Buffer[]): Buffer => tagged(0x40010001, ...events)

/** The events inside the trust boundary. */
function inside(data: Buffer): readonly WindowsEvent[] {
  const [event] = readWindowsEvents(data) ?? []
  assert.ok(event?.value.kind === 'events')
  return event.value.value
}

const VALUES: readonly (readonly [string, Buffer, string])[] = [
  ['a flag of one byte', tagged(0x40001, Buffer.from([1])), 'boot debugging on'],
  ['a flag of four bytes', tagged(0x60001, u32(0)), 'no authority off'],
  ['a number', tagged(0x20002, u64(321)), 'boot counter 321'],
  ['a text', tagged(0x50009, utf16('\\Windows')), 'system root \\Windows'],
  ['how BitLocker was opened', tagged(0x20005, u32(0x14)), 'BitLocker unlocked by TPM and PIN'],
  ['a device', tagged(0x50008, u32(0x10004)), 'system on partition'],
  ['a hash', tagged(0x70004, Buffer.alloc(32, 0xab)), `Authenticode hash ${'ab'.repeat(32)}`],
  ['an event that is not known', tagged(0x50fff, u16(1)), 'event 0x50fff 0100'],
  [
    'a revocation list',
    tagged(0x40002, Buffer.from('80a19aad7073d301', 'hex'), u32(2), u16(0x0b), u16(0x1234)),
    'boot revocation list created 2017-12-12T17:43:11.000Z algorithm sha256 digest 3412',
  ],
  [
    'a policy',
    tagged(0x5000f, u16(4), u16(3), u16(2), u16(1), u16(4), u16(0x0b), u32(1), utf16('P'), Buffer.from([9])),
    'code integrity policy name P version 1.2.3.4 algorithm sha256 digest 09',
  ],
  [
    'a module',
    tagged(0x40010003, tagged(0x70001, utf16('\\a.efi')), tagged(0x70008, utf16('Microsoft'))),
    'module \\a.efi (Microsoft)',
  ],
  ['a module without a path', tagged(0x40010003, tagged(0x70004, Buffer.alloc(2, 7))), 'module 0707'],
  ['a driver', tagged(0x40010002, tagged(0x90001, utf16('Av'))), 'early launch anti-malware (driver Av)'],
]

for (const [name, event, text] of VALUES) {
  test(`reads ${name} of Windows' log`, () => {
    assert.equal(windowsText(readWindowsEvents(boundary(event)) ?? []), text)
  })
}

test('a value that does not have the size of its type is left as bytes', () => {
  for (const size of [0, 9]) {
    const [event] = inside(boundary(tagged(0x40001, Buffer.alloc(size))))
    assert.equal(event?.value.kind, 'bytes')
  }
  for (const id of [0x40002, 0x5000f, 0x50020]) {
    for (const content of [Buffer.alloc(3), Buffer.alloc(16, 0xff), Buffer.alloc(40, 0xff)]) {
      const [event] = inside(boundary(tagged(id, content)))
      assert.equal(event?.value.kind, 'bytes')
    }
  }
})

test("tagged events of others are not Windows'", () => {
  for (const data of [Buffer.alloc(0), tagged(0x8f3b22ec, Buffer.from('Linux initrd')), Buffer.alloc(40, 0xff)]) {
    assert.equal(isWindowsLog(data), false)
    assert.equal(readWindowsEvents(data), undefined)
  }
})

test('events that do not fill their container are left as bytes', () => {
  const [event] = readWindowsEvents(tagged(0x40010001, tagged(0x40001, Buffer.from([1])), Buffer.from([1, 2]))) ?? []
  assert.equal(event?.value.kind, 'bytes')
})

test('containers are opened to a depth that no real log has, and no deeper', () => {
  let data = tagged(0x40001, Buffer.from([1]))
  for (let depth = 0; depth < 20_000; depth++) data = Buffer.concat([u32(0x40010001), u32(data.byteLength), data])
  let [event] = readWindowsEvents(data) ?? []
  let depth = 0
  for (; event?.value.kind === 'events'; depth++) [event] = event.value.value
  assert.equal(depth, 6)
  assert.ok(windowsText(readWindowsEvents(data) ?? []).length < 1000)
})

test('a payload of empty events costs one object each', () => {
  const events = readWindowsEvents(Buffer.concat(Array<Buffer>(50_000).fill(tagged(0x20001)))) ?? []
  assert.equal(events.length, 50_000)
  assert.ok(windowsText(events).length < 4000)
})

test("reads real machines' logs of Windows", { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const flags = new Map<string, unknown>()
  const modules: string[] = []
  for (const { data, type } of parseEventLog(realLog('dell-laptop')).events) {
    if (type !== 6) continue
    const events = readWindowsEvents(data)
    assert.notEqual(events, undefined)
    for (const event of events?.flatMap(({ value }) => (value.kind === 'events' ? value.value : [])) ?? []) {
      if (event.value.kind === 'flag') flags.set(event.name ?? '', event.value.value)
      const path = event.value.kind === 'events' ? event.value.value.find(({ name }) => name === 'FILEPATH') : undefined
      if (path?.value.kind === 'text') modules.push(path.value.value)
    }
  }
  assert.deepEqual(
    ['BOOTDEBUGGING', 'OSKERNELDEBUG', 'TESTSIGNING', 'CODEINTEGRITY'].map((name) => flags.get(name)),
    [false, false, false, true],
  )
  assert.ok(modules.includes('\\Windows\\system32\\winload.efi'))
  assert.ok(modules.length > 50)
})

test('every event of real logs of Windows has a name', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const unnamed = new Set<string>()
  const visit = ({ id, name, value }: WindowsEvent): void => {
    if (name === undefined) unnamed.add(id.toString(16))
    if (value.kind === 'events') value.value.forEach(visit)
  }
  for (const name of ['dell-laptop', 'thinkpad-p51-windows', 'windows-option-rom-sha1']) {
    for (const { data } of parseEventLog(realLog(name)).events) readWindowsEvents(data)?.forEach(visit)
  }
  assert.deepEqual([...unnamed], [])
})
