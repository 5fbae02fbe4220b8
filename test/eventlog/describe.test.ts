import assert from 'node:assert/strict'
import test from 'node:test'
import { ERRORS, isTouchstoneError } from '../../src/core/index.ts'
import { describeEventLog } from '../../src/eventlog/describe.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { agileLog, event, regularBoot, specId, TYPE, u16, u32 } from './build-log.ts'
import { BOOTS, bootFile, bootPcrs, realLog, realLogs } from './logs.ts'
import { phases, userspaceLog } from './userspace-records.ts'

test('describes a log in the shape of the contract', () => {
  const log = agileLog([{ pcr: 8, type: TYPE.ipl, data: 'grub_cmd: boot\0', measured: 'boot' }], {
    banks: ['sha1', 'sha256'],
  })
  const description = describeEventLog(log)
  assert.deepEqual(Object.keys(description), ['format', 'registers', 'banks', 'events', 'pcrs', 'boot', 'findings'])
  assert.equal(description.format, 'tcg2')
  assert.equal(description.registers, 'pcr')
  assert.deepEqual(description.banks, ['sha1', 'sha256'])
  const [header, grub] = description.events
  assert.deepEqual(header, {
    index: 0,
    pcr: 0,
    type: 'EV_NO_ACTION',
    digests: { sha1: '00'.repeat(20) },
    binding: 'none',
    summary: 'Spec ID Event03: version 2.0, errata 0, platform client',
  })
  assert.deepEqual(Object.keys(grub?.digests ?? {}), ['sha1', 'sha256'])
  assert.equal(grub?.binding, 'bound')
  assert.equal(grub.summary, 'grub_cmd: boot')
  assert.deepEqual(Object.keys(description.pcrs), ['sha1', 'sha256'])
  assert.deepEqual(Object.keys(description.pcrs['sha256'] ?? {}), ['8'])
  assert.equal(description.boot?.bank, 'sha256')
})

test('is JSON that survives a round trip', () => {
  const description = describeEventLog(bootFile('honest', 'eventlog.bin'))
  assert.deepEqual(JSON.parse(JSON.stringify(description)), description)
})

for (const boot of BOOTS) {
  test(`describes the registers of the recorded boot ${boot} as its TPM had them`, () => {
    const description = describeEventLog(bootFile(boot, 'eventlog.bin'))
    for (const [bank, values] of Object.entries(description.pcrs)) {
      for (const [pcr, value] of Object.entries(values)) assert.equal(value, bootPcrs(boot)[bank]?.[pcr])
    }
    assert.deepEqual(Object.keys(description.pcrs), ['sha1', 'sha256', 'sha384'])
  })
}

test('prefers SHA-256, then 384, 512 and 1', () => {
  const bank = (...banks: ('sha1' | 'sha256' | 'sha384' | 'sha512')[]) =>
    describeEventLog(agileLog([], { banks })).boot?.bank
  assert.equal(bank('sha1', 'sha512', 'sha384', 'sha256'), 'sha256')
  assert.equal(bank('sha1', 'sha512', 'sha384'), 'sha384')
  assert.equal(bank('sha1', 'sha512'), 'sha512')
  assert.equal(bank('sha1'), 'sha1')
})

test('a log without a bank that can be computed has events, and neither registers nor facts', () => {
  const digests = Buffer.concat([u32(1), u16(0x12), Buffer.alloc(32)])
  const log = Buffer.concat([specId({ banks: ['sm3_256'] }), u32(0), u32(TYPE.separator), digests, u32(4), u32(0)])
  const description = describeEventLog(log)
  assert.deepEqual(description.banks, ['sm3_256'])
  assert.deepEqual(description.pcrs, {})
  assert.equal(description.boot, null)
  assert.equal(description.events[1]?.binding, 'unbound')
})

test('an unknown type is shown by number', () => {
  assert.equal(describeEventLog(agileLog([{ pcr: 0, type: 0x40e }])).events[1]?.type, '0x40e')
})

test('an edited command line is a mismatch, shown as the log has it', () => {
  const log = bootFile('honest', 'eventlog.bin')
  const at = log.indexOf('kernel_cmdline: ') + 'kernel_cmdline: '.length
  log.write('/EVIL', at)
  const edited = describeEventLog(log).events.find(({ summary }) => summary.startsWith('kernel_cmdline: /EVIL'))
  assert.equal(edited?.binding, 'mismatch')
})

test('summaries have no control characters, and are short', () => {
  const nasty = 'file \u001b[31m\u202e'
  const description = describeEventLog(agileLog([{ pcr: 4, type: TYPE.efiAction, data: nasty.repeat(100) }]))
  const summary = description.events[1]?.summary ?? ''
  assert.equal(/[\u0000-\u001f\u202e]/.test(summary), false)
  assert.ok(summary.length < 600)
})

test(
  'every finding has a row in the error table, and points at an event that exists',
  { skip: SKIP_WITHOUT_SHARED_DATA },
  () => {
    for (const name of realLogs()) {
      const { findings, events } = describeEventLog(realLog(name))
      for (const { code, event: index } of findings) {
        assert.ok(Object.hasOwn(ERRORS, code), code)
        assert.ok(index === undefined || events[index] !== undefined)
      }
    }
  },
)

test('padding and unknown algorithms are findings, and the log is read to its end', () => {
  const digests = Buffer.concat([u32(1), u16(0x4242), Buffer.alloc(8)])
  const log = Buffer.concat([
    specId({ algorithms: [[0x4242, 8]] }),
    u32(0),
    u32(1),
    digests,
    u32(0),
    Buffer.alloc(99, 0xff),
  ])
  assert.deepEqual(
    describeEventLog(log).findings.map(({ code, severity }) => [code, severity]),
    [
      ['eventlog.algorithm_unknown', 'info'],
      ['eventlog.padding', 'info'],
    ],
  )
})

test('the summary of a separator, a variable and an image says what they are', () => {
  const summaries = describeEventLog(bootFile('honest', 'eventlog.bin')).events.map(({ summary }) => summary)
  assert.ok(summaries.includes('0x00000000'))
  assert.ok(summaries.includes('SecureBoot: on'))
  assert.ok(summaries.some((summary) => /^PciRoot\(0x0\)\/.*\/HD\(1,GPT,.*\)\\EFI\\BOOT\\BOOTX64.EFI$/.test(summary)))
  assert.ok(summaries.some((summary) => /^db: .*CN=Microsoft/.test(summary)))
})

test('throws what the reader throws', () => {
  assert.throws(
    () => describeEventLog(Buffer.concat([agileLog(regularBoot()), event({ pcr: 0, type: 1 }).subarray(0, 20)])),
    (error) => isTouchstoneError(error, 'decode.truncated'),
  )
})

test('both logs of a boot are described as one, in the banks of the firmware', () => {
  const firmware = agileLog(regularBoot(), { banks: ['sha256'] })
  const { format, banks, events, pcrs, boot, findings } = describeEventLog(firmware, userspaceLog(...phases))
  assert.deepEqual([format, banks, Object.keys(pcrs)], ['tcg2', ['sha256'], ['sha256']])
  assert.equal(events.at(-1)?.summary, 'ready')
  assert.ok(boot?.userspace.phases.state === 'known' && boot.userspace.phases.bound)
  assert.deepEqual(
    findings.filter(({ severity }) => severity === 'error'),
    [],
  )
  const cut = describeEventLog(firmware, userspaceLog(...phases).subarray(0, -9))
  assert.ok(cut.findings.some(({ code }) => code === 'eventlog.userspace_cut'))
  assert.equal(cut.events.at(-1)?.summary, 'sysinit')
})

test('two logs of systemd are not those of a boot', () => {
  const log = userspaceLog(...phases)
  assert.throws(
    () => describeEventLog(log, log),
    (error) => isTouchstoneError(error, 'eventlog.format'),
  )
})
