import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError } from '../../src/core/index.ts'
import type { BootFacts } from '../../src/eventlog/facts/boot-facts.ts'
import { bootFacts } from '../../src/eventlog/facts/derive.ts'
import { preferredBank } from '../../src/eventlog/log.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import {
  agileLog,
  CALLING,
  digestOf,
  GLOBAL,
  guid,
  regularBoot,
  secureBootConfiguration,
  SECURITY_DATABASE,
  SEPARATOR,
  SHIM,
  signatureList,
  TYPE,
  variable,
  X509,
  type EventSpec,
} from './build-log.ts'
import type { BOOTS } from './logs.ts'
import { bootFile, realLog } from './logs.ts'

const factsOf = (events: readonly EventSpec[]): BootFacts => bootFacts(parseEventLog(agileLog(events)), 'sha256')
const recorded = (boot: (typeof BOOTS)[number]) => bootFacts(parseEventLog(bootFile(boot, 'eventlog.bin')), 'sha256')
const CERTIFICATE = Buffer.from('3082000401020304', 'hex')
const dbEntry = (owner: string, content: Buffer): EventSpec => ({
  pcr: 7,
  type: TYPE.authority,
  data: variable(SECURITY_DATABASE, 'db', Buffer.concat([guid(owner), content])),
})

function realFacts(name: string): BootFacts {
  const log = parseEventLog(realLog(name))
  return bootFacts(log, preferredBank(log) ?? 'sha1')
}

test('throws where the log does not have the bank', () => {
  assert.throws(
    () => bootFacts(parseEventLog(agileLog([])), 'sha384'),
    (error) => isTouchstoneError(error, 'eventlog.bank_missing'),
  )
})

test('facts are JSON: they survive it unchanged', () => {
  const facts = recorded('honest')
  assert.deepEqual(JSON.parse(JSON.stringify(facts)), facts)
})

test('Secure Boot is enabled where the variable is 1, PK, KEK and db are there, and each authority is in db', () => {
  const { secureBoot } = factsOf(regularBoot([dbEntry(GLOBAL, CERTIFICATE)]))
  assert.equal(secureBoot.enabled, true)
  assert.deepEqual(secureBoot.doubts, [])
  assert.equal(secureBoot.setupMode, false)
  assert.deepEqual(
    secureBoot.authorities.map(({ name, inDb }) => [name, inDb]),
    [['db', true]],
  )
})

test('Secure Boot is off where the variable is 0', () => {
  const { secureBoot } = factsOf(secureBootConfiguration({ SecureBoot: Buffer.from([0]) }))
  assert.equal(secureBoot.enabled, false)
  assert.deepEqual(secureBoot.doubts, [])
})

const doubtful: readonly (readonly [string, readonly EventSpec[]])[] = [
  ['the variable is not set', secureBootConfiguration({ SecureBoot: Buffer.alloc(0) })],
  ['the variable is 2', secureBootConfiguration({ SecureBoot: Buffer.from([2]) })],
  ['the variable was not measured', secureBootConfiguration().slice(1)],
  ['PK is empty', secureBootConfiguration({ PK: Buffer.alloc(0) })],
  ['KEK is empty', secureBootConfiguration({ KEK: Buffer.alloc(0) })],
  ['db is empty', secureBootConfiguration({ db: Buffer.alloc(0) })],
  [
    'an authority is not in db',
    [...secureBootConfiguration(), dbEntry(GLOBAL, Buffer.from('3082000499999999', 'hex'))],
  ],
  ['an authority is in db under another owner', [...secureBootConfiguration(), dbEntry(SHIM, CERTIFICATE)]],
  [
    'the variables were measured after the separator',
    [{ pcr: 7, type: TYPE.separator, data: SEPARATOR }, ...secureBootConfiguration()],
  ],
  ['the variables are of another register', secureBootConfiguration().map((spec) => ({ ...spec, pcr: 1 }))],
  ['the digests are of something else', secureBootConfiguration().map((spec) => ({ ...spec, measured: 'x' }))],
]

for (const [name, events] of doubtful) {
  test(`whether Secure Boot is enabled is unknown where ${name}, and the facts say why`, () => {
    const { secureBoot } = factsOf(events)
    assert.equal(secureBoot.enabled, undefined)
    assert.ok(secureBoot.doubts.length > 0)
  })
}

test('a variable counts by vendor and name, and the first one counts', () => {
  const other = { pcr: 7, type: TYPE.driverConfig, data: variable(SHIM, 'SecureBoot', Buffer.from([0])) }
  const second = { pcr: 7, type: TYPE.driverConfig, data: variable(GLOBAL, 'SecureBoot', Buffer.from([0])) }
  assert.equal(factsOf([other, ...secureBootConfiguration(), second]).secureBoot.enabled, true)
})

test('without a platform key the machine is in setup mode; without a measured one that is unknown', () => {
  assert.equal(factsOf(secureBootConfiguration({ PK: Buffer.alloc(0) })).secureBoot.setupMode, true)
  assert.equal(factsOf([]).secureBoot.setupMode, undefined)
})

test('databases come with their digest, certificates and hashes', () => {
  const { secureBoot } = recorded('honest')
  const { pk, db, dbx } = secureBoot
  assert.ok(pk && db && dbx)
  assert.equal(pk.empty, false)
  assert.match(pk.certificates?.[0]?.subject ?? '', /Debian UEFI Secure Boot/)
  assert.equal(db.certificates?.length, 2)
  assert.ok((dbx.hashes?.length ?? 0) > 0)
  assert.equal(db.event.type, 'EV_EFI_VARIABLE_DRIVER_CONFIG')
  assert.equal(
    db.digest,
    parseEventLog(bootFile('honest', 'eventlog.bin')).events[db.event.index]?.digests.get('sha256')?.toString('hex'),
  )
})

test('a database that is no list of signatures has a digest and a size, and nothing else', () => {
  const { db } = factsOf(secureBootConfiguration({ db: Buffer.from('garbage') })).secureBoot
  assert.equal(db?.size, 7)
  assert.equal(db.certificates, undefined)
})

test('a certificate that does not parse keeps its fingerprint', () => {
  const list = signatureList(X509, GLOBAL, Buffer.from('30820004ffffffff', 'hex'))
  const certificates = factsOf(secureBootConfiguration({ db: list })).secureBoot.db?.certificates
  assert.equal(certificates?.length, 1)
  assert.equal(certificates[0]?.subject, undefined)
  assert.equal(certificates[0]?.owner, GLOBAL)
})

test('images are known by digest, place and boot attempt; their type and payload are not asked', () => {
  const image = (type: number, data: string): EventSpec => ({ pcr: 4, type, data, measured: 'image' })
  const attempt: EventSpec = { pcr: 4, type: TYPE.efiAction, data: CALLING }
  const facts = factsOf([image(TYPE.application, 'a'), attempt, attempt, image(TYPE.ipl, 'b')])
  const digest = digestOf('sha256', 'image').toString('hex')
  assert.deepEqual(facts.bootApplications, [
    { digest, attempt: 0, event: { index: 1, pcr: 4 } },
    { digest, attempt: 2, event: { index: 4, pcr: 4 } },
  ])
  assert.equal(facts.bootAttempts.length, 2)
})

test('drivers and boot files have their own places', () => {
  const facts = factsOf([
    { pcr: 2, type: 0x80000004, data: 'path', measured: 'driver' },
    { pcr: 9, type: TYPE.ipl, data: '/boot/vmlinuz\0', measured: 'kernel' },
  ])
  assert.deepEqual(
    facts.drivers.map(({ event }) => event.pcr),
    [2],
  )
  assert.deepEqual(facts.bootFiles, [
    { digest: digestOf('sha256', 'kernel').toString('hex'), event: { index: 2, pcr: 9 } },
  ])
})

test('ExitBootServices is there only if the log has its success', () => {
  assert.notEqual(factsOf(regularBoot()).exitBootServices, undefined)
  assert.equal(factsOf(regularBoot().slice(0, -1)).exitBootServices, undefined)
  const failed = { pcr: 5, type: TYPE.efiAction, data: 'Exit Boot Services Returned with Failure' }
  assert.equal(factsOf([...regularBoot().slice(0, -1), failed]).exitBootServices, undefined)
})

test('debug mode and missing DMA protection are notable', () => {
  const facts = factsOf(
    ['UEFI Debug Mode', 'DMA Protection Disabled'].map((data) => ({ pcr: 7, type: TYPE.efiAction, data })),
  )
  assert.deepEqual(
    facts.actions.map(({ text }) => text),
    ['UEFI Debug Mode', 'DMA Protection Disabled'],
  )
})

test('GRUB commands and the kernel command line are facts where their digests agree, and nowhere else', () => {
  const boot = (data: string, measured: string): EventSpec => ({ pcr: 8, type: TYPE.ipl, data, measured })
  const facts = factsOf([
    boot('grub_cmd: linux /k quiet\0', 'linux /k quiet'),
    boot('grub_cmd: linux /k evil\0', 'linux /k quiet'),
    boot('kernel_cmdline: /k quiet\0', '/k quiet'),
    boot('kernel_cmdline: /k evil\0', '/k quiet'),
  ])
  assert.deepEqual(
    facts.grub.commands.map(({ text }) => text),
    ['linux /k quiet'],
  )
  assert.equal(facts.kernel.commandLine?.text, '/k quiet')
  assert.deepEqual(facts.kernel.commandLine.event, {
    index: 3,
    pcr: 8,
    type: 'EV_IPL',
    summary: 'kernel_cmdline: /k quiet',
  })
})

test('two kernel command lines that differ are no command line', () => {
  const line = (text: string): EventSpec => ({
    pcr: 8,
    type: TYPE.ipl,
    data: `kernel_cmdline: ${text}\0`,
    measured: text,
  })
  const facts = factsOf([line('/a'), line('/b')])
  assert.equal(facts.kernel.commandLine, undefined)
  assert.deepEqual(
    facts.kernel.commandLines.map(({ text }) => text),
    ['/a', '/b'],
  )
})

test('a command line in another register than the boot loader has is none', () => {
  const facts = factsOf([{ pcr: 14, type: TYPE.ipl, data: 'kernel_cmdline: /k\0', measured: '/k' }])
  assert.deepEqual(facts.kernel.commandLines, [])
})

test('boot options are known by their content, the order by its numbers', () => {
  const value = Buffer.concat([
    Buffer.from('010000000400', 'hex'),
    Buffer.from('Disk\0', 'utf16le'),
    Buffer.from('7fff0400', 'hex'),
  ])
  const facts = factsOf([
    { pcr: 1, type: TYPE.variableBoot, data: variable(GLOBAL, 'BootOrder', Buffer.from([7, 0, 1, 0])) },
    { pcr: 1, type: TYPE.variableBoot, data: variable(GLOBAL, 'Boot0007', value), measured: value },
  ])
  assert.deepEqual(facts.bootOptions.order?.numbers, [7, 1])
  assert.deepEqual(
    facts.bootOptions.options.map(({ description, path }) => [description, path]),
    [['Disk', '']],
  )
  assert.equal(facts.bootOptions.options[0]?.event.summary.includes('0007'), false)
})

test('the recorded boots differ where their README says they do', () => {
  const [honest, cmdline, off] = [recorded('honest'), recorded('cmdline'), recorded('secureboot-off')]
  assert.equal(honest.secureBoot.enabled, true)
  assert.equal(cmdline.secureBoot.enabled, true)
  assert.equal(off.secureBoot.enabled, false)
  for (const [boot, facts] of [
    ['honest', honest],
    ['cmdline', cmdline],
    ['secureboot-off', off],
  ] as const) {
    const running = bootFile(boot, 'cmdline').toString().trim()
    assert.equal(`BOOT_IMAGE=${facts.kernel.commandLine?.text ?? ''}`, running)
  }
  assert.notEqual(honest.kernel.commandLine?.text, cmdline.kernel.commandLine?.text)
  assert.deepEqual(honest.bootApplications, cmdline.bootApplications)
  assert.equal(honest.shim.sbatLevel?.text.startsWith('sbat,1,'), true)
  assert.equal(honest.partitionTables.length, 1)
  assert.notEqual(honest.exitBootServices, undefined)
})

const real = { skip: SKIP_WITHOUT_SHARED_DATA }

test('Secure Boot of real machines', real, () => {
  const enabled = (name: string) => realFacts(name).secureBoot.enabled
  for (const name of [
    'dell-laptop',
    'keylime-secureboot',
    'gce-rhel8',
    'debian-vm',
    'gce-cos101',
    'supermicro-server',
  ]) {
    assert.equal(enabled(name), true, name)
  }
  for (const name of ['ubuntu-vm', 'hcrtm-sm3', 'ccel-small', 'eve-x64-good', 'gce-coreos36']) {
    assert.equal(enabled(name), false, name)
  }
  // Their firmware measures an unset variable.
  for (const name of ['arch-workstation', 'systemd-boot-fedora37', 'nuc-uefi-sha1']) {
    assert.equal(enabled(name), undefined, name)
  }
})

test('EVE: the machine whose configuration somebody changed', real, () => {
  const config = (name: string) =>
    new Map(realFacts(name).eve.config.map(({ path, exists, contentHash }) => [path, `${exists} ${contentHash ?? ''}`]))
  const [good, tampered] = [config('eve-x64-good'), config('eve-x64-tampered')]
  const changed = [...good].filter(([path, state]) => tampered.get(path) !== state).map(([path]) => path)
  assert.deepEqual(changed, ['/config/authorized_keys', '/config/grub.cfg'])
  const rootfs = (name: string) => realFacts(name).eve.rootfs.map(({ hash }) => hash)
  assert.equal(rootfs('eve-x64-good').length, 1)
  assert.deepEqual(rootfs('eve-x64-good'), rootfs('eve-x64-tampered'))
  assert.match(realFacts('eve-x64-good').kernel.commandLine?.text ?? '', /^\/boot\/kernel console=tty0 /)
})

test('kernel command lines of other boot loaders', real, () => {
  assert.equal(realFacts('systemd-boot-fedora37').kernel.commandLine?.text, ' console=ttyS0 console=tty0 efi=debug ')
  assert.match(realFacts('arch-workstation').kernel.commandLine?.text ?? '', /^initrd=\\intel-ucode.img /)
  assert.match(realFacts('ccel-tdx-cos113').kernel.commandLine?.text ?? '', /^\/syslinux\/vmlinuz.A /)
})

test('shim of real machines', real, () => {
  const { shim, secureBoot } = realFacts('shim-moklisttrusted')
  assert.equal(shim.mokListTrusted?.value, true)
  assert.equal(shim.sbatLevel?.text, 'sbat,1,2021030218\n')
  assert.deepEqual(
    secureBoot.authorities.map(({ name }) => name),
    ['db', 'Shim'],
  )
  assert.deepEqual(
    realFacts('supermicro-server').secureBoot.authorities.map(({ name }) => name),
    ['db', 'Shim', 'Shim'],
  )
})

test('a log of RTMRs has the same facts in other registers', real, () => {
  const facts = realFacts('ccel-tdx-cos113')
  assert.equal(facts.secureBoot.pk?.event.pcr, 1)
  assert.ok(facts.bootApplications.every(({ event }) => event.pcr === 2))
  assert.equal(
    facts.grub.commands.every(({ event }) => event.pcr === 3),
    true,
  )
  assert.deepEqual(facts.drivers, [])
})
