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

const grubText = (data: string, measured: string): EventSpec => ({ pcr: 8, type: TYPE.ipl, data, measured })

test('a text of GRUB whose digest is of another one is unread, and the kernel command line unknown with it', () => {
  const facts = factsOf([
    grubText('grub_cmd: linux /k quiet\0', 'linux /k quiet'),
    grubText('kernel_cmdline: /k quiet\0', '/k quiet'),
    grubText('kernel_cmdline: /k quiet\0', '/k evil'),
  ])
  assert.deepEqual(facts.unread, [
    { digest: digestOf('sha256', '/k evil').toString('hex'), event: { index: 3, pcr: 8 } },
  ])
  assert.deepEqual(
    facts.kernel.commandLines.map(({ text }) => text),
    ['/k quiet'],
  )
  assert.equal(facts.kernel.commandLine, undefined)
})

test('what repeats the arguments of a loading command is a command line, whatever the labels say', () => {
  for (const label of ['kernel_cmdline: ', 'module_cmdline: ', 'grub_cmd: ', 'grub_cmd ', 'grub_kernel_cmdline ']) {
    const facts = factsOf([
      grubText(`${label}set root=hd0\0`, 'set root=hd0'),
      grubText(`${label}linuxefi /k "a=b c"\0`, 'linuxefi /k "a=b c"'),
      grubText(`${label}/k a="b c"\0`, '/k a="b c"'),
    ])
    assert.deepEqual(
      facts.grub.commands.map(({ text }) => text),
      ['set root=hd0', 'linuxefi /k "a=b c"'],
    )
    assert.equal(facts.kernel.commandLines.at(-1)?.text, '/k a="b c"')
    assert.deepEqual(facts.unread, [])
  }
})

for (const [name, texts, lines] of [
  ['a command that loads a kernel, and no text that repeats it', ['linux /k quiet'], ['/k quiet']],
  ['a text that begins with a path', ['/k quiet'], ['/k quiet']],
  ['a text that begins with a device', ['(hd0,gpt1)/k quiet'], ['(hd0,gpt1)/k quiet']],
  ['modules of Xen', ['xen_hypervisor /xen', '/xen', 'xen_module /k quiet', '/k quiet'], ['/xen', '/k quiet']],
  ['a command loaded twice', ['linux /k a', '/k a', 'linux /k b', '/k b'], ['/k a', '/k b']],
  ['assignments and other commands', ['kernel=/boot/k', 'set a=/k', 'initrd /i', 'chainloader /e.efi'], []],
] as const) {
  test(`as commands, these leave ${lines.length} kernel command lines: ${name}`, () => {
    const facts = factsOf(texts.map((text) => grubText(`grub_cmd: ${text}\0`, text)))
    assert.deepEqual(
      facts.kernel.commandLines.map(({ text }) => text),
      lines,
    )
  })
}

test('reads a command behind as many words of a script as a log can hold', () => {
  const text = `${'if '.repeat(5_500_000)}linux /k quiet`
  const { kernel } = factsOf([grubText(`grub_cmd: ${text}\0`, text)])
  assert.deepEqual(
    kernel.commandLines.map((line) => line.text),
    ['/k quiet'],
  )
})

test('a text cannot pass for an event that nothing reads', () => {
  const facts = factsOf([grubText('grub_cmd: unknown:00\0', 'unknown:00')])
  assert.deepEqual(facts.grub.commands, [])
  assert.equal(facts.unread.length, 1)
})

test('an archive of credentials in PCR 8 is unread, and the kernel command line unknown with it', () => {
  const label = Buffer.from('Credentials initrd\0', 'utf16le')
  const options = Buffer.from('quiet\0', 'utf16le')
  const archive = { pcr: 8, type: TYPE.ipl, data: label, measured: 'cpio' }
  const { kernel, unread } = factsOf([{ pcr: 8, type: TYPE.ipl, data: options }, archive])
  assert.equal(kernel.commandLine, undefined)
  assert.deepEqual([unread.length, unread[0]?.event.pcr], [1, 8])
})

test('the hash of a root file system is one in its own register, and in that of GRUB it is unread', () => {
  const raw = digestOf('sha256', 'a text of 32 bytes is 32 bytes..')
  const facts = factsOf(
    [8, 13].map((pcr) => ({ ...grubText(`squash4 ${raw.toString('hex')}\0`, ''), pcr, measured: raw })),
  )
  assert.deepEqual(
    facts.unread.map(({ event }) => event.pcr),
    [8],
  )
  assert.equal(facts.eve.rootfs.length, 1)
})

const commandLineOf = (pcr: number, text: string): EventSpec => ({
  pcr,
  type: TYPE.ipl,
  data: Buffer.from(`${text}\0`, 'utf16le'),
})

test('every text of PCR 12 is a command line, and what is no text there is unread, but for what Windows measures', () => {
  const tag = Buffer.concat([Buffer.from('0100014002000000', 'hex'), Buffer.from('ab')])
  const facts = factsOf([
    commandLineOf(12, 'quiet'),
    commandLineOf(12, '.quiet'),
    { pcr: 12, type: TYPE.eventTag, data: tag },
    { pcr: 12, type: TYPE.eventTag, data: tag, measured: 'another' },
  ])
  assert.deepEqual(
    facts.kernel.commandLines.map(({ text }) => text),
    ['quiet', '.quiet'],
  )
  assert.deepEqual(
    facts.unread.map(({ event }) => event.index),
    [4],
  )
})

test('whatever is neither separator nor action in PCR 2, 4 and 9 is in its list, bound or not, under any type', () => {
  const types = Object.values(TYPE).filter((type) => type !== TYPE.noAction)
  for (const [pcr, list] of [
    [2, 'drivers'],
    [4, 'bootApplications'],
    [9, 'bootFiles'],
  ] as const) {
    const facts = factsOf(
      types.flatMap((type) =>
        [undefined, 'x'].map((measured) => ({ pcr, type, data: 'y', measured: measured ?? 'y' })),
      ),
    )
    assert.equal(facts[list].length, 2 * types.length)
    assert.deepEqual(factsOf([{ pcr, type: TYPE.ipl, data: 'x', measured: SEPARATOR }])[list], [])
  }
})

test('a text of systemd-boot under a label of GRUB is no text of GRUB’s, though the digest covers its bytes', () => {
  const options = Buffer.from('quiet\0', 'utf16le')
  for (const pcr of [8, 12]) {
    const forged = {
      pcr,
      type: TYPE.ipl,
      data: Buffer.concat([Buffer.from('kernel_cmdline: '), options]),
      measured: options,
    }
    const facts = factsOf([forged])
    assert.deepEqual(facts.kernel.commandLines, [])
    assert.equal(facts.unread.length, 1)
  }
})

test('a command of GRUB in UTF-16 is no command line of systemd-boot’s, though some digests of GRUB’s would cover it', () => {
  const forged = { pcr: 8, type: TYPE.ipl, data: Buffer.from('boot\0', 'utf16le'), measured: 'boot\0' }
  assert.deepEqual(factsOf([forged]).kernel.commandLines, [])
})

test('Windows’ own events of PCR 13 and 14 are read; one that is as long as a hash is not', () => {
  const windows = (size: number): Buffer => {
    const tag = Buffer.alloc(size)
    tag.writeUInt32LE(0x40010001, 0)
    tag.writeUInt32LE(size - 8, 4)
    return tag
  }
  const events = [13, 14].flatMap((pcr) => [32, 40].map((size) => ({ pcr, type: TYPE.eventTag, data: windows(size) })))
  assert.deepEqual(
    factsOf(events).unread.map(({ event }) => event.index),
    [1, 3],
  )
})

test('a variable is configuration or an authority by its form: the type of its event does not say', () => {
  const [first, ...rest] = secureBootConfiguration()
  assert.ok(first)
  const { secureBoot } = factsOf([{ ...first, type: TYPE.authority }, ...rest])
  assert.equal(secureBoot.enabled, true)
  assert.deepEqual(secureBoot.authorities, [])
})

test('the version of the firmware is text, a GUID, or hex', () => {
  const version = (data: Buffer) => factsOf([{ pcr: 0, type: TYPE.crtmVersion, data }, end(0)]).firmware.version?.text
  assert.equal(version(Buffer.from('v1\0', 'utf16le')), 'v1')
  assert.equal(version(Buffer.alloc(2)), '0000')
  assert.equal(version(guid(GLOBAL)), GLOBAL)
  assert.equal(version(Buffer.alloc(40)), `${'00'.repeat(32)}… (40 bytes)`)
})

test('an event of PCR 7 that is no variable leaves nothing known of Secure Boot but that it is off', () => {
  const hidden: EventSpec = { pcr: 7, type: TYPE.eventTag, data: 'x', measured: 'y' }
  const on = factsOf([...regularBoot(), hidden])
  assert.deepEqual(Object.keys(on.secureBoot), ['doubts', 'authorities'])
  assert.deepEqual(on.shim, {})
  assert.match(on.secureBoot.doubts[0] ?? '', /neither variables nor known actions/)
  const off = secureBootConfiguration({ SecureBoot: Buffer.from([0]) })
  assert.equal(factsOf([...off, hidden]).secureBoot.enabled, false)
})

test('the separator is known by its digest: what is behind it is no configuration, whatever its payload says', () => {
  const separator: EventSpec = { pcr: 7, type: TYPE.separator, data: 'x', measured: SEPARATOR }
  const value: EventSpec = { ...separator, type: TYPE.variableBoot, data: variable(GLOBAL, 'BootOrder', SEPARATOR) }
  for (const closing of [separator, value]) {
    assert.equal(factsOf([closing, ...secureBootConfiguration()]).secureBoot.db, undefined)
  }
})

test('an authority before the separator stays one when its type says configuration', () => {
  const authority = dbEntry(SHIM, CERTIFICATE)
  const facts = factsOf([...secureBootConfiguration(), { ...authority, type: TYPE.driverConfig }])
  assert.equal(facts.secureBoot.authorities.length, 1)
  assert.equal(facts.secureBoot.enabled, undefined)
})

const order = (numbers: string, pcr = 1): EventSpec => {
  const value = Buffer.from(numbers, 'hex')
  return { pcr, type: TYPE.variableBoot, data: variable(GLOBAL, 'BootOrder', value), measured: value }
}
const option: EventSpec = (() => {
  const value = Buffer.concat([
    Buffer.from('010000000400', 'hex'),
    Buffer.from('Disk\0', 'utf16le'),
    Buffer.from('7fff0400', 'hex'),
  ])
  return { pcr: 1, type: TYPE.variableBoot, data: variable(GLOBAL, 'Boot0001', value), measured: value }
})()
const end = (pcr: number): EventSpec => ({ pcr, type: TYPE.separator, data: SEPARATOR })
const opaque: EventSpec = { pcr: 1, type: TYPE.firmwareBlob, data: 'x', measured: 'y' }

for (const [name, events, numbers] of [
  ['before the separator, whatever is behind it', [order('0100'), end(1), order('0200')], [1]],
  ['behind the separator, if it comes first there', [end(1), order('0100'), option], [1]],
  ['behind the separator, with something unread before it', [end(1), opaque, order('0100')], undefined],
  ['behind the separator, with something unread behind it', [end(1), order('0100'), opaque], undefined],
  ['behind the separator, with options before that', [option, end(1), order('0100')], undefined],
  ['behind the separator, with something unread before that', [opaque, end(1), order('0100')], undefined],
  ['in PCR 5 before its separator', [end(1), order('0100', 5), end(5)], [1]],
  ['in PCR 5 behind its separator', [end(1), end(5), order('0100', 5)], undefined],
  ['in PCR 5, with boot options in PCR 1', [option, end(1), order('0100', 5), end(5)], undefined],
] as const) {
  test(`the boot order is ${numbers === undefined ? 'unknown' : 'known'} where it stands ${name}`, () => {
    assert.deepEqual(factsOf(events).bootOptions.order?.numbers, numbers)
  })
}

test('the version of the firmware is known where it stands before the separator of PCR 0', () => {
  const version: EventSpec = { pcr: 0, type: TYPE.crtmVersion, data: 'v1' }
  assert.equal(factsOf([version, end(0)]).firmware.version?.text, 'v1')
  assert.equal(factsOf([end(0), version]).firmware.version, undefined)
})

test('what PCR 1, 5 and 14 have beside boot variables, partition tables and files is unread', () => {
  const events = [opaque, { ...opaque, pcr: 5 }, { ...opaque, pcr: 14 }]
  assert.deepEqual(
    factsOf([...regularBoot(), ...events]).unread.map(({ event }) => event.pcr),
    [1, 5, 14],
  )
})

test('GRUB commands and the kernel command line are facts where their digests agree', () => {
  const facts = factsOf([
    grubText('grub_cmd: linux /k quiet\0', 'linux /k quiet'),
    { ...grubText('grub_cmd: linux /k quiet\0', 'linux /k quiet'), pcr: 14 },
    grubText('kernel_cmdline: /k quiet\0', '/k quiet'),
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
