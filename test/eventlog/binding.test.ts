import assert from 'node:assert/strict'
import test from 'node:test'
import { annotate, bindingOf, type Binding } from '../../src/eventlog/annotate.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { agileLog, digestOf, GLOBAL, SEPARATOR, SHIM, TYPE, variable, type EventSpec } from './build-log.ts'

const utf16 = (text: string) => Buffer.from(text, 'utf16le')
const order = variable(GLOBAL, 'BootOrder', Buffer.from([2, 0]))
const rootfs = 'ab'.repeat(32)
/** As old shims left it: six bytes behind the structure, the last of them not measured. */
const shimCertificate = Buffer.concat([variable(SHIM, 'Shim', Buffer.from('3082')), Buffer.alloc(6, 1)])

const cases: readonly (readonly [name: string, spec: EventSpec, binding: Binding])[] = [
  ['EV_NO_ACTION', { pcr: 0, type: TYPE.noAction, data: 'x' }, 'none'],
  ['a separator', { pcr: 0, type: TYPE.separator, data: SEPARATOR }, 'bound'],
  ['a separator with another digest', { pcr: 0, type: TYPE.separator, data: SEPARATOR, measured: 'x' }, 'mismatch'],
  ['an action', { pcr: 4, type: TYPE.efiAction, data: 'x' }, 'bound'],
  ['an action with another digest', { pcr: 4, type: TYPE.efiAction, data: 'x', measured: 'y' }, 'mismatch'],
  ['a version', { pcr: 0, type: TYPE.crtmVersion, data: 'v' }, 'bound'],
  ['a configuration variable', { pcr: 7, type: TYPE.driverConfig, data: order }, 'bound'],
  [
    'a configuration variable, measured by value',
    { pcr: 7, type: TYPE.driverConfig, data: order, measured: Buffer.from([2, 0]) },
    'mismatch',
  ],
  [
    'a boot variable, measured by value',
    { pcr: 1, type: TYPE.variableBoot, data: order, measured: Buffer.from([2, 0]) },
    'bound',
  ],
  ['a boot variable, measured whole', { pcr: 1, type: TYPE.variableBoot, data: order }, 'bound'],
  ['a boot variable with another digest', { pcr: 1, type: TYPE.variableBoot, data: order, measured: 'x' }, 'mismatch'],
  [
    'a second-version boot variable, measured by value',
    { pcr: 1, type: TYPE.variableBoot2, data: order, measured: Buffer.from([2, 0]) },
    'mismatch',
  ],
  [
    'the certificate of an old shim',
    { pcr: 7, type: TYPE.authority, data: shimCertificate, measured: shimCertificate.subarray(0, -1) },
    'bound',
  ],
  [
    'a variable of another vendor without its last byte',
    { pcr: 7, type: TYPE.authority, data: order, measured: order.subarray(0, -1) },
    'mismatch',
  ],
  ['an image', { pcr: 4, type: TYPE.application, data: 'path', measured: 'image' }, 'unbound'],
  ['a firmware blob', { pcr: 0, type: TYPE.firmwareBlob, data: 'where', measured: 'blob' }, 'unbound'],
  ['a POST code', { pcr: 0, type: TYPE.postCode, data: 'ACPI DATA', measured: 'code' }, 'unbound'],
  ['a type that nobody knows', { pcr: 0, type: 0x40e, data: 'x', measured: 'y' }, 'unbound'],
  ['a GRUB command', { pcr: 8, type: TYPE.ipl, data: 'grub_cmd: boot\0', measured: 'boot' }, 'bound'],
  [
    'a GRUB command in the old spelling, hashed with its NUL',
    { pcr: 8, type: TYPE.ipl, data: 'grub_cmd boot\0', measured: 'boot\0' },
    'bound',
  ],
  ['an edited GRUB command', { pcr: 8, type: TYPE.ipl, data: 'grub_cmd: evil\0', measured: 'boot' }, 'mismatch'],
  [
    'a kernel command line',
    { pcr: 8, type: TYPE.ipl, data: 'kernel_cmdline: /k quiet\0', measured: '/k quiet' },
    'bound',
  ],
  [
    'an edited kernel command line',
    { pcr: 8, type: TYPE.ipl, data: 'kernel_cmdline: /k init=/bin/sh\0', measured: '/k quiet' },
    'mismatch',
  ],
  [
    'a GRUB command behind a changed prefix',
    { pcr: 8, type: TYPE.ipl, data: 'grub_cmx: boot\0', measured: 'boot' },
    'mismatch',
  ],
  [
    'a GRUB command behind a changed prefix, of a guest whose registers are RTMRs',
    { pcr: 3, type: TYPE.ipl, data: 'grub_cmx: boot\0', measured: 'boot' },
    'mismatch',
  ],
  ['a file that GRUB read', { pcr: 9, type: TYPE.ipl, data: '/boot/vmlinuz\0', measured: 'kernel' }, 'unbound'],
  ['a list of shim', { pcr: 14, type: TYPE.ipl, data: 'MokList\0', measured: 'list' }, 'unbound'],
  ['a text whose digest is its own', { pcr: 14, type: TYPE.ipl, data: 'file:/config/x' }, 'bound'],
  ['options that systemd-boot passes', { pcr: 12, type: TYPE.ipl, data: utf16('quiet\0') }, 'bound'],
  [
    'options whose terminator an old systemd-boot cut short',
    { pcr: 8, type: TYPE.ipl, data: Buffer.concat([utf16('quiet'), Buffer.alloc(1)]), measured: utf16('quiet\0') },
    'bound',
  ],
  [
    'edited options of systemd-boot',
    { pcr: 12, type: TYPE.ipl, data: utf16('debug\0'), measured: utf16('quiet\0') },
    'mismatch',
  ],
  [
    'an archive that systemd packs',
    { pcr: 12, type: TYPE.ipl, data: utf16('Credentials initrd\0'), measured: 'cpio' },
    'unbound',
  ],
  [
    'an archive of credentials that systemd up to 253 measures into PCR 8 too',
    { pcr: 8, type: TYPE.ipl, data: utf16('Global credentials initrd\0'), measured: 'cpio' },
    'unbound',
  ],
  [
    'another archive in PCR 8, where systemd measures none',
    { pcr: 8, type: TYPE.ipl, data: utf16('System extension initrd\0'), measured: 'cpio' },
    'mismatch',
  ],
  [
    'the name of a section of a unified kernel image',
    { pcr: 11, type: TYPE.ipl, data: utf16('.linux\0'), measured: '.linux\0' },
    'bound',
  ],
  ['the content of such a section', { pcr: 11, type: TYPE.ipl, data: utf16('.linux\0'), measured: 'ELF' }, 'unbound'],
  [
    'the root file system of EVE',
    { pcr: 13, type: TYPE.ipl, data: `squash4 ${rootfs}\0`, measured: Buffer.from(rootfs, 'hex') },
    'bound',
  ],
  [
    'another root file system behind the digest of EVE',
    { pcr: 13, type: TYPE.ipl, data: `squash4 ${'cd'.repeat(32)}\0`, measured: Buffer.from(rootfs, 'hex') },
    'mismatch',
  ],
  ['an initrd that Linux loads', { pcr: 9, type: TYPE.eventTag, data: 'tag', measured: 'initrd' }, 'unbound'],
  ['a tagged event of Windows', { pcr: 12, type: TYPE.eventTag, data: 'tag' }, 'bound'],
]

for (const [name, spec, binding] of cases) {
  test(`${name} is ${binding}`, () => {
    const log = parseEventLog(agileLog([spec]))
    const event = log.events[1]
    assert.ok(event)
    assert.equal(bindingOf(event, 'sha256'), binding)
  })
}

test('a binding is that of one bank: another bank has its own', () => {
  const spec: EventSpec = {
    pcr: 4,
    type: TYPE.efiAction,
    data: 'x',
    digests: { sha1: digestOf('sha1', 'x'), sha256: digestOf('sha256', 'y') },
  }
  const log = parseEventLog(agileLog([spec], { banks: ['sha1', 'sha256'] }))
  assert.equal(annotate(log, 'sha1')[1]?.binding, 'bound')
  assert.equal(annotate(log, 'sha256')[1]?.binding, 'mismatch')
})

test('the value of a BootOrder may be that of a separator, and is still a BootOrder', () => {
  const value = Buffer.from([1, 0, 0, 0])
  const spec = { pcr: 1, type: TYPE.variableBoot, data: variable(GLOBAL, 'BootOrder', value), measured: value }
  const annotated = annotate(parseEventLog(agileLog([spec])), 'sha256')[1]
  assert.equal(annotated?.binding, 'bound')
  assert.equal(annotated.content?.kind, 'variable')
})

test('the digest of an empty file vouches for nothing', () => {
  const annotated = annotate(parseEventLog(agileLog([{ pcr: 9, type: 0x40e, measured: '' }])), 'sha256')[1]
  assert.equal(annotated?.binding, 'unbound')
  assert.equal(annotated.content, undefined)
})
