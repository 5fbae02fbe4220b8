import assert from 'node:assert/strict'
import test from 'node:test'
import { digestOf, TYPE, type EventSpec } from '../build-log.ts'
import { claimsOfEvents, valueOf } from './every-claim.ts'

const utf16 = (text: string): Buffer => Buffer.from(`${text}\0`, 'utf16le')
const section = (name: string, content: string): EventSpec[] => [
  { pcr: 11, type: TYPE.ipl, data: utf16(name), measured: `${name}\0` },
  { pcr: 11, type: TYPE.ipl, data: utf16(name), measured: content },
]
const text = (pcr: number, data: string): EventSpec => ({ pcr, type: TYPE.ipl, data })
const dark = (pcr: number): EventSpec => ({ pcr, type: TYPE.ipl, data: 'a label', measured: 'a secret' })
const hex = (content: string): string => digestOf('sha256', content).toString('hex')

test('sections of a unified kernel image are pairs of a bound name and the digest behind it', () => {
  const { kernel, loader } = claimsOfEvents([
    ...section('.linux', 'kernel'),
    ...section('.cmdline', 'quiet'),
    ...section('.initrd', 'archive'),
    { pcr: 12, type: TYPE.ipl, data: utf16('quiet'), measured: utf16('quiet') },
    text(11, 'enter-initrd'),
  ])
  assert.ok(kernel.ukiSections.state === 'known' && kernel.ukiSections.complete)
  assert.deepEqual(
    kernel.ukiSections.value.map(({ name, digest }) => [name, digest]),
    [
      ['.linux', hex('kernel')],
      ['.cmdline', hex('quiet')],
      ['.initrd', hex('archive')],
    ],
  )
  assert.equal(valueOf(loader.name), 'systemd-stub')
  assert.equal(valueOf(kernel.untrustedKernel).digest, hex('kernel'))
  assert.equal(valueOf(kernel.commandLine), 'quiet')
})

test('a section whose name was made unreadable leaves the list incomplete', () => {
  const [name, content] = section('.cmdline', 'quiet')
  assert.ok(name && content)
  const { ukiSections } = claimsOfEvents([...section('.linux', 'kernel'), { ...name, data: 'x' }, content]).kernel
  assert.ok(ukiSections.state === 'known' && !ukiSections.complete)
  assert.deepEqual(ukiSections.unread, [3, 4])
})

test('a section that holds a text is one under whatever type or label its name stands', () => {
  const [name, content] = section('.cmdline', 'init=/bin/sh')
  assert.ok(name && content)
  for (const other of [
    { type: TYPE.efiAction, data: '.cmdline\0' },
    { data: '.cmdline\0' },
    { data: 'grub_cmd .cmdline\0' },
    { data: 'kernel_cmdline: .cmdline\0' },
    { type: 0x7fff0009, data: '.cmdline\0' },
  ]) {
    const events: EventSpec[] = [
      { ...name, ...other },
      { ...content, data: 'init=/bin/sh' },
    ]
    const { ukiSections } = claimsOfEvents([...section('.linux', 'kernel'), ...events]).kernel
    assert.ok(ukiSections.state === 'known' && ukiSections.complete, JSON.stringify(other))
    assert.deepEqual(
      ukiSections.value.map((each) => [each.name, each.digest]),
      [
        ['.linux', hex('kernel')],
        ['.cmdline', hex('init=/bin/sh')],
      ],
    )
  }
})

test('phases, machine id, file systems and other texts of systemd are read by their digests', () => {
  const id = '7b8e5a3e0a1c4e0f9c5a6a4d1f0b2c3d'
  const { userspace } = claimsOfEvents([
    text(11, 'enter-initrd'),
    text(11, 'leave-initrd'),
    text(15, `machine-id:${id}`),
    text(15, 'file-system:/:ext4'),
    dark(15),
    text(15, 'something else'),
  ])
  assert.deepEqual(valueOf(userspace.phases), ['enter-initrd', 'leave-initrd'])
  assert.equal(valueOf(userspace.machineId), id)
  assert.deepEqual(valueOf(userspace.fileSystems), ['file-system:/:ext4'])
  assert.deepEqual(valueOf(userspace.texts), ['something else'])
  assert.ok(userspace.phases.state === 'known' && userspace.phases.complete)
  assert.ok(userspace.fileSystems.state === 'known' && !userspace.fileSystems.complete)
  assert.equal(valueOf(userspace.untrustedSecrets).length, 1)
})

test('a machine id counts if it comes first and nothing unreadable stands before it', () => {
  const id = (digit: string): EventSpec => text(15, `machine-id:${digit.repeat(32)}`)
  assert.equal(valueOf(claimsOfEvents([id('a'), dark(15), id('b')]).userspace.machineId), 'a'.repeat(32))
  assert.equal(claimsOfEvents([dark(15), id('a')]).userspace.machineId.state, 'unknown')
})
