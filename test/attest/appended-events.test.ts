import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bootFacts, parseEventLog } from '../../src/eventlog/index.ts'
import { agileLog, SHIM, TYPE, variable, type EventSpec } from '../eventlog/build-log.ts'
import { recordedBoot } from './case.ts'

// What an intruder with the machine does so that a good value stands beside a bad one: here the bad one must still show.

const BANKS = ['sha256'] as const

function factsOf(more: readonly EventSpec[], without: (spec: EventSpec) => boolean = () => false) {
  const recorded = parseEventLog(recordedBoot('honest').eventLog)
    .events.slice(1)
    .map(({ pcr, type, data, digests }) => ({ pcr, type, data, digests: { sha256: digests.get('sha256') ?? data } }))
    .filter((spec) => !without(spec))
  return bootFacts(parseEventLog(agileLog([...recorded, ...more], { banks: BANKS })), 'sha256')
}

const grub = (text: string): EventSpec => ({
  pcr: 8,
  type: TYPE.ipl,
  data: Buffer.from(`grub_cmd: ${text}\0`),
  measured: Buffer.from(text),
})
const isGrub = ({ pcr }: EventSpec) => pcr === 8

const LOADERS = [
  'chainloader /boot/vmlinuz init=/bin/sh',
  '! linux 0+16384 init=/bin/sh',
  'if linux vmlinuz init=/bin/sh',
  'legacy_kernel vmlinuz init=/bin/sh',
  'kfreebsd vmlinuz init=/bin/sh',
] as const
for (const command of LOADERS) {
  test(`the arguments of "${command.split(' ').slice(0, 2).join(' ')}" are a command line, whatever stands beside them`, () => {
    const { kernel } = factsOf([grub(command)], isGrub)
    assert.ok(kernel.commandLines.some(({ text }) => text.includes('init=/bin/sh')))
    const beside = factsOf([grub(command), grub('/boot/vmlinuz root=/dev/ram0')], isGrub).kernel
    assert.equal(beside.commandLine, undefined, 'one of two was taken for the one')
  })
}

test('a chain loader without arguments gives no kernel anything', () => {
  assert.deepEqual(factsOf([grub('chainloader /EFI/Microsoft/bootmgfw.efi')], isGrub).kernel.commandLines, [])
})

test('a UTF-16 text in PCR 12 that has the form of a tagged event is not passed over', () => {
  const size = 65_568
  const data = Buffer.alloc(8 + size, Buffer.from('x\0', 'latin1'))
  data.write('ab', 0, 'utf16le')
  data.writeUInt32LE(size, 4)
  data.writeUInt16LE(1, 6)
  data.writeUInt16LE(0, data.byteLength - 2)
  const { unread } = factsOf([{ pcr: 12, type: TYPE.eventTag, data }])
  assert.ok(unread.some(({ event }) => event.pcr === 12))
})

const authority = (name: string, value: Buffer): EventSpec => ({
  pcr: 7,
  type: TYPE.authority,
  data: variable(SHIM, name, value),
})

test("Secure Boot is not proven when shim's validation is switched off", () => {
  assert.equal(factsOf([]).secureBoot.enabled, true)
  assert.equal(factsOf([authority('MokSBState', Buffer.of(0))]).secureBoot.enabled, true)
  const { secureBoot } = factsOf([authority('MokSBState', Buffer.of(1))])
  assert.equal(secureBoot.enabled, undefined)
  assert.ok(secureBoot.doubts.some((doubt) => doubt.includes('MokSBState')))
})

test('a bare hash that verified an image is an authority', () => {
  const before = factsOf([]).secureBoot.authorities.length
  const { authorities } = factsOf([authority('MokList', Buffer.alloc(32, 7))]).secureBoot
  assert.equal(authorities.length, before + 1)
  assert.equal(authorities.at(-1)?.name, 'MokList')
})

test('a second separator in PCR 1 may be a boot order of options that do not exist: then no order is known', () => {
  assert.ok(factsOf([]).bootOptions.order)
  const { bootOptions } = factsOf([{ pcr: 1, type: TYPE.separator, data: Buffer.alloc(4, 0xff) }])
  assert.equal(bootOptions.order, undefined)
})
