import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError } from '../../../src/core/index.ts'
import { commonBank, diffLogs } from '../../../src/eventlog/diff/diff-logs.ts'
import type { EventChange, LogDiff } from '../../../src/eventlog/diff/log-diff.ts'
import { parseEventLog } from '../../../src/eventlog/parse.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../../fixtures/shared-data.ts'
import {
  agileLog,
  GLOBAL,
  guid,
  regularBoot,
  SECURITY_DATABASE,
  SHA256,
  sha1Log,
  signatureList,
  TYPE,
  u16,
  u32,
  u64,
  variable,
  type EventSpec,
} from '../build-log.ts'
import { bootFile, realLog, realLogs } from '../logs.ts'
import { readFileSync } from 'node:fs'

function diff(before: readonly EventSpec[], after: readonly EventSpec[]): LogDiff {
  return diffLogs(parseEventLog(agileLog(before)), parseEventLog(agileLog(after)), 'sha256')
}

function changesOf(difference: LogDiff): EventChange[] {
  return difference.pcrs.flatMap(({ changes }) => changes)
}

/** The one change there is. */
function onlyChange(difference: LogDiff): EventChange {
  const [change, ...more] = changesOf(difference)
  assert.ok(change !== undefined && more.length === 0, JSON.stringify(difference.pcrs, null, 1))
  return change
}

const bootOption = (name: string, description: string, attributes = 1): EventSpec => {
  const path = Buffer.from('7fff0400', 'hex')
  const text = Buffer.from(`${description}\0`, 'utf16le')
  const value = Buffer.concat([u32(attributes), u16(path.byteLength), text, path])
  return { pcr: 1, type: TYPE.variableBoot, data: variable(GLOBAL, name, value), measured: value }
}
const bootOrder = (...numbers: number[]): EventSpec => {
  const value = Buffer.concat(numbers.map(u16))
  return { pcr: 1, type: TYPE.variableBoot, data: variable(GLOBAL, 'BootOrder', value), measured: value }
}

test('a log is the same as itself', () => {
  const difference = diff(regularBoot(), regularBoot())
  assert.equal(difference.same, true)
  assert.deepEqual(changesOf(difference), [])
  assert.deepEqual(difference.unmeasured, [])
})

test('a changed boot order names the options that changed places', () => {
  const options = [bootOption('Boot0000', 'Disk'), bootOption('Boot0001', 'Network')]
  const change = onlyChange(diff([bootOrder(1, 0), ...options], [bootOrder(0, 1), ...options]))
  assert.deepEqual(
    [change.kind, change.subject, change.change, change.bound],
    ['boot-order', 'BootOrder', 'changed', true],
  )
  assert.deepEqual(change.fields, [{ name: 'order', before: '0001,0000', after: '0000,0001' }])
})

test('an option that left the boot order is named', () => {
  const before = [bootOrder(1, 0), bootOption('Boot0001', 'Network'), bootOption('Boot0000', 'Disk')]
  const changes = changesOf(diff(before, [bootOrder(0), bootOption('Boot0000', 'Disk')]))
  assert.deepEqual(
    changes.map(({ change, subject, removed }) => [change, subject, removed]),
    [
      ['changed', 'BootOrder', ['0001 Network']],
      ['removed', 'Boot0001', []],
    ],
  )
})

test('an option that is measured later than before has moved, and is not another one', () => {
  const [disk, network] = [bootOption('Boot0000', 'Disk'), bootOption('Boot0001', 'Network')]
  const change = onlyChange(diff([disk, network], [network, disk]))
  assert.equal(change.change, 'moved')
})

test('a changed boot option says which of its fields changed', () => {
  const change = onlyChange(diff([bootOption('Boot0000', 'Disk')], [bootOption('Boot0000', 'Stick', 0)]))
  assert.deepEqual(change.fields, [
    { name: 'description', before: 'Disk', after: 'Stick' },
    { name: 'active', before: 'yes', after: 'no' },
  ])
})

test('a new dbx shows the hashes that came and went', () => {
  const dbx = (...hashes: number[]): EventSpec => {
    const lists = hashes.map((byte) => signatureList(SHA256, GLOBAL, Buffer.alloc(32, byte)))
    return { pcr: 7, type: TYPE.driverConfig, data: variable(SECURITY_DATABASE, 'dbx', Buffer.concat(lists)) }
  }
  const change = onlyChange(diff([dbx(1, 2, 2)], [dbx(2, 3)]))
  assert.deepEqual([change.kind, change.subject], ['keys', 'dbx'])
  assert.deepEqual(change.added, ['03'.repeat(32)])
  assert.deepEqual(change.removed.toSorted(), ['01'.repeat(32), '02'.repeat(32)])
})

const partition = (name: string, id: number, attributes: bigint): Buffer => {
  const entry = Buffer.alloc(128)
  guid('0fc63daf-8483-4772-8e79-3d69d8477de4').copy(entry)
  entry.fill(id, 16, 32)
  entry.writeBigUInt64LE(attributes, 48)
  entry.write(name, 56, 'utf16le')
  return entry
}
const gpt = (...partitions: Buffer[]): EventSpec => {
  const header = Buffer.alloc(92, 9)
  header.write('EFI PART', 0, 'latin1')
  header.writeUInt32LE(128, 84)
  return { pcr: 5, type: TYPE.gpt, data: Buffer.concat([header, u64(partitions.length), ...partitions]) }
}

test('an update from A to B shows the attributes that flipped, and the other root file system', () => {
  const [first, second] = [1n << 56n, 2n << 48n]
  const rootfs = (byte: string): EventSpec => ({
    pcr: 13,
    type: TYPE.ipl,
    data: `squash4 ${byte.repeat(32)}\0`,
    measured: Buffer.from(byte.repeat(32), 'hex'),
  })
  const changes = changesOf(
    diff(
      [gpt(partition('IMGA', 1, first), partition('IMGB', 2, 0n)), rootfs('aa')],
      [gpt(partition('IMGA', 1, 0n), partition('IMGB', 2, second)), rootfs('bb')],
    ),
  )
  assert.deepEqual(
    changes.map(({ kind, subject }) => [kind, subject]),
    [
      ['partitions', 'GPT'],
      ['other', 'root file system'],
    ],
  )
  assert.deepEqual(changes[0]?.fields, [
    { name: 'IMGA attributes', before: '0100000000000000', after: '0000000000000000' },
    { name: 'IMGB attributes', before: '0000000000000000', after: '0002000000000000' },
  ])
  assert.equal(changes[1]?.fields[0]?.after, `root file system ${'bb'.repeat(32)}`)
})

test('a partition that was added is not taken for those behind it', () => {
  const [a, b, c] = [partition('A', 1, 0n), partition('B', 2, 0n), partition('C', 3, 0n)]
  const change = onlyChange(diff([gpt(a, c)], [gpt(a, b, c)]))
  assert.deepEqual([change.added, change.removed, change.fields], [['B'], [], []])
})

test('another kernel is the file of another version, by digests alone vouched for', () => {
  const file = (path: string): EventSpec => ({ pcr: 9, type: TYPE.ipl, data: `${path}\0`, measured: path.repeat(2) })
  const change = onlyChange(diff([file('/boot/vmlinuz-6.2')], [file('/boot/vmlinuz-6.1')]))
  assert.equal(change.change, 'changed')
  assert.equal(change.bound, false)
  assert.deepEqual(change.fields[1], { name: 'label', before: '/boot/vmlinuz-6.2', after: '/boot/vmlinuz-6.1' })
})

test('a changed command line shows the words', () => {
  const command = (text: string): EventSpec => ({ pcr: 8, type: TYPE.ipl, data: `grub_cmd: ${text}\0`, measured: text })
  const change = onlyChange(diff([command('linux /k ro quiet')], [command('linux /k ro init=/bin/sh')]))
  assert.deepEqual(
    change.words.filter((run) => run.in !== 'both').map(({ text }) => text),
    ['quiet', 'init=/bin/sh'],
  )
})

test('a command for another variable is another command', () => {
  const command = (text: string): EventSpec => ({ pcr: 8, type: TYPE.ipl, data: `grub_cmd: ${text}\0`, measured: text })
  const changes = changesOf(diff([command('set a=1')], [command('set b=1')]))
  assert.deepEqual(
    changes.map(({ change }) => change),
    ['removed', 'added'],
  )
})

test('a configuration file of EVE is known by its path, and by its hashes', () => {
  const file = (digit: string): EventSpec => ({
    pcr: 14,
    type: TYPE.efiAction,
    data: `file:/config/server exist:true content-hash:${digit.repeat(64)}`,
  })
  const change = onlyChange(diff([file('1')], [file('2')]))
  assert.deepEqual([change.kind, change.subject], ['file', '/config/server'])
  assert.deepEqual(change.fields, [{ name: 'content-hash', before: '1'.repeat(64), after: '2'.repeat(64) }])
})

test("a vendor's variable of unknown layout says which bytes changed", () => {
  const setup = (byte: number): EventSpec => {
    const value = Buffer.alloc(20)
    value[17] = byte
    return { pcr: 1, type: TYPE.driverConfig, data: variable(GLOBAL, 'Setup', value) }
  }
  assert.deepEqual(onlyChange(diff([setup(0)], [setup(1)])).fields, [{ name: 'byte 17', before: '00', after: '01' }])
})

test('an event says in which stage of the boot it was measured', () => {
  const extra = (pcr: number): EventSpec => ({ pcr, type: TYPE.efiAction, data: 'extra' })
  const boot = regularBoot()
  const at = (place: number, spec: EventSpec) => [...boot.slice(0, place), spec, ...boot.slice(place)]
  const separator = boot.findIndex(({ pcr, type }) => pcr === 6 && type === TYPE.separator)
  const cases = [
    [1, 'firmware'],
    [separator + 1, 'boot-manager'],
    [separator + 2, 'boot-loader'],
    [boot.length, 'operating-system'],
  ] as const
  for (const [place, stage] of cases) assert.equal(onlyChange(diff(boot, at(place, extra(6)))).stage, stage)
})

test('a label that no digest covers differs, and what was measured does not', () => {
  const file = (path: string): EventSpec => ({ pcr: 9, type: TYPE.ipl, data: path, measured: 'content' })
  const difference = diff([file('/one')], [file('/two')])
  assert.equal(difference.same, true)
  assert.deepEqual(
    difference.unmeasured.map(({ change, before, after }) => [change, before?.summary, after?.summary]),
    [['relabelled', '/one', '/two']],
  )
})

test('another startup locality makes PCR 0 differ with the same events', () => {
  const locality = (value: number): EventSpec => ({
    pcr: 0,
    type: TYPE.noAction,
    data: Buffer.from(`StartupLocality\0${String.fromCharCode(value)}`, 'latin1'),
    digests: { sha256: Buffer.alloc(32) },
  })
  const difference = diff([locality(0), ...regularBoot()], [locality(3), ...regularBoot()])
  assert.equal(difference.same, false)
  assert.deepEqual(changesOf(difference), [])
  assert.deepEqual(difference.unmeasured[0]?.fields, [
    { name: 'content', before: 'StartupLocality: locality 0', after: 'StartupLocality: locality 3' },
  ])
})

test('a register that only one log extends is there', () => {
  const change = diff(regularBoot(), regularBoot([{ pcr: 12, type: TYPE.ipl, data: 'x' }]))
  const register = change.pcrs.find((each) => each.register === 12)
  assert.deepEqual([register?.before, register?.events], [null, { before: 0, after: 1 }])
  assert.equal(register?.equal, false)
})

test('a bank that a log does not have is refused', () => {
  const log = parseEventLog(agileLog(regularBoot()))
  assert.throws(
    () => diffLogs(log, log, 'sha384'),
    (error) => isTouchstoneError(error, 'eventlog.bank_missing'),
  )
})

test('logs without a common bank are not compared', () => {
  const [first, second] = [parseEventLog(agileLog(regularBoot())), parseEventLog(sha1Log(regularBoot()))]
  assert.throws(
    () => commonBank(first, second),
    (error) => isTouchstoneError(error, 'eventlog.not_comparable'),
  )
  const both = parseEventLog(agileLog(regularBoot(), { banks: ['sha1', 'sha256'] }))
  assert.equal(commonBank(both, both), 'sha256')
  assert.equal(commonBank(both, second), 'sha1')
})

test('a log of PCRs and a log of RTMRs are not compared', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const [pcrs, rtmrs] = ['eve-arm64', 'ccel-tdx-cos113'].map((name) => parseEventLog(realLog(name)))
  assert.ok(pcrs !== undefined && rtmrs !== undefined)
  assert.throws(
    () => diffLogs(pcrs, rtmrs, 'sha384'),
    (error) => isTouchstoneError(error, 'eventlog.not_comparable'),
  )
})

test("the two boots of EVE's machine differ in what somebody did to it", { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const [good, tampered] = ['eve-x64-good', 'eve-x64-tampered'].map((name) => parseEventLog(realLog(name)))
  assert.ok(good !== undefined && tampered !== undefined)
  const difference = diffLogs(good, tampered, 'sha256')
  const different = difference.pcrs.filter(({ equal }) => !equal)
  assert.deepEqual(
    different.map(({ register }) => register),
    [1, 8, 14],
  )
  const changes = changesOf(difference)
  assert.ok(changes.some(({ change, after }) => change === 'added' && after?.summary === 'Entering ROM Based Setup'))
  const files = changes.filter(({ kind }) => kind === 'file').map(({ subject }) => subject)
  assert.deepEqual(files, ['/config/authorized_keys', '/config/grub.cfg'])
  const added = changes.flatMap(({ words }) => words.filter((run) => run.in === 'after').map(({ text }) => text))
  assert.deepEqual(added, ['getty test', 'getty test'])
})

test('values after replay are those that two independent replays agree on', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const goldens = JSON.parse(readFileSync(sharedData('eventlogs/goldens.json'), 'utf8')) as Record<string, unknown>
  const text = JSON.stringify(goldens)
  for (const name of realLogs()) {
    const log = parseEventLog(realLog(name))
    const { pcrs } = diffLogs(log, log, commonBank(log, log))
    for (const { before, equal } of pcrs) assert.ok(equal && before !== null && text.includes(before), name)
  }
})

/** What is said of two logs, undone: each event of either log is aligned, added, removed or changed exactly once. */
test('every event of two unlike boots is accounted for', () => {
  const logs = [...['honest', 'cmdline', 'secureboot-off'].map((name) => bootFile(name as 'honest', 'eventlog.bin'))]
  for (const first of logs.map(parseEventLog)) {
    for (const second of logs.map(parseEventLog)) {
      for (const register of diffLogs(first, second, 'sha256').pcrs) {
        const sides = (side: 'before' | 'after') => register.changes.filter((change) => change[side] !== undefined)
        const aligned = register.events.before - sides('before').length
        assert.equal(register.events.after - sides('after').length, aligned)
        assert.equal(register.equal, register.changes.length === 0)
        for (const side of ['before', 'after'] as const) {
          const places = sides(side).map((change) => change[side]?.index)
          assert.equal(new Set(places).size, places.length)
        }
      }
    }
  }
})
