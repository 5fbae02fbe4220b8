import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError } from '../../../src/core/index.ts'
import { bootClaims } from '../../../src/eventlog/claims/derive.ts'
import { parseEventLog } from '../../../src/eventlog/parse.ts'
import {
  agileLog,
  CALLING,
  digestOf,
  EXITED,
  GLOBAL,
  guid,
  regularBoot,
  secureBootConfiguration,
  SECURITY_DATABASE,
  SEPARATOR,
  SHIM,
  signatureList,
  TYPE,
  u16,
  variable,
  type EventSpec,
} from '../build-log.ts'
import { claimsOfEvents, everyClaim, valueOf } from './every-claim.ts'

const X509_SHA256 = '3bd2a492-96c0-4079-b420-fcf98ef103ed'
const OPAQUE = { data: 'x', measured: 'y' }
const action = (pcr: number, data: string): EventSpec => ({ pcr, type: TYPE.efiAction, data })
const end = (pcr: number): EventSpec => ({ pcr, type: TYPE.separator, data: SEPARATOR })
const image = (measured: string): EventSpec => ({ pcr: 4, type: TYPE.application, data: Buffer.alloc(32), measured })
const grub = (text: string): EventSpec => ({ pcr: 8, type: TYPE.ipl, data: `grub_cmd: ${text}\0`, measured: text })
const file = (label: string, measured: string): EventSpec => ({ pcr: 9, type: TYPE.ipl, data: `${label}\0`, measured })
const hex = (text: string): string => digestOf('sha256', text).toString('hex')

test('throws where the log does not have the bank', () => {
  assert.throws(
    () => bootClaims(parseEventLog(agileLog([])), 'sha384'),
    (error) => isTouchstoneError(error, 'eventlog.bank_missing'),
  )
})

test('of a log that measures nothing, nothing is known but that nothing is unread', () => {
  const known = everyClaim(claimsOfEvents([])).filter(([, { state }]) => state === 'known')
  assert.deepEqual(
    known.map(([name]) => name),
    ['log.unread'],
  )
})

for (const [name, specs, claim] of [
  ['DMA protection', [action(7, 'DMA Protection Disabled')], 'dmaProtection'],
  ['the debugger', [action(7, 'UEFI Debug Mode')], 'debugger'],
  ['the setup screen', [action(1, 'Entering ROM Based Setup')], 'setupEntered'],
] as const) {
  test(`${name}: known where the firmware says so, and unknown where it does not`, () => {
    const said = claimsOfEvents([...regularBoot(), ...specs]).platform[claim]
    assert.equal(valueOf(said), claim !== 'dmaProtection')
    assert.deepEqual(said.events, [regularBoot().length + 1])
    assert.equal(claimsOfEvents(regularBoot()).platform[claim].state, 'unknown')
  })
}

test('SecureBoot that was not measured is unknown, not off, and the reason says so', () => {
  const { enabled, setupMode, dbt } = claimsOfEvents([...secureBootConfiguration().slice(1), end(7)]).secureBoot
  assert.ok(enabled.state === 'unknown')
  assert.equal(enabled.reason, 'SecureBoot was not measured')
  assert.equal(valueOf(setupMode), false)
  assert.equal(dbt.state, 'unknown')
})

test('SecureBoot off is known by one event, on by the databases too', () => {
  const off = secureBootConfiguration({ SecureBoot: Buffer.from([0]) })
  assert.deepEqual(claimsOfEvents(off).secureBoot.enabled, { state: 'known', value: false, bound: true, events: [1] })
  assert.deepEqual(claimsOfEvents(regularBoot()).secureBoot.enabled.events, [3, 4, 5, 6])
})

test('an event of PCR 7 that is no variable makes its claims unknown or incomplete, and is named', () => {
  const authority: EventSpec = {
    pcr: 7,
    type: TYPE.authority,
    data: variable(SECURITY_DATABASE, 'db', Buffer.concat([guid(GLOBAL), Buffer.from('3082000401020304', 'hex')])),
  }
  const whole = claimsOfEvents([...secureBootConfiguration(), end(7), authority]).secureBoot
  assert.equal(valueOf(whole.enabled), true)
  assert.ok(whole.authorities.state === 'known' && whole.authorities.complete)
  const { secureBoot } = claimsOfEvents([
    ...secureBootConfiguration(),
    end(7),
    authority,
    { pcr: 7, type: TYPE.eventTag, ...OPAQUE },
  ])
  assert.equal(secureBoot.db.state, 'unknown')
  assert.ok(secureBoot.enabled.state === 'unknown')
  assert.ok(secureBoot.enabled.events.includes(8))
  assert.equal(secureBoot.authoritiesInDb.state, 'unknown')
  assert.ok(secureBoot.authorities.state === 'known' && !secureBoot.authorities.complete)
  assert.deepEqual(secureBoot.authorities.unread, [8])
})

test('an authority is no configuration, and configuration no authority, whatever the types of their events say', () => {
  const [first, ...rest] = secureBootConfiguration()
  assert.ok(first)
  const retyped = claimsOfEvents([{ ...first, type: TYPE.authority }, ...rest, end(7)]).secureBoot
  assert.equal(valueOf(retyped.enabled), true)
  assert.deepEqual(valueOf(retyped.authorities), [])
})

test('what shim verified, and its settings, are not the firmware’s authorities', () => {
  const shimVariable = (name: string, value: Buffer, vendor = SHIM): EventSpec => ({
    pcr: 7,
    type: TYPE.authority,
    data: variable(vendor, name, value),
  })
  const certificate = Buffer.concat([guid(SHIM), Buffer.from('3082000401020304', 'hex')])
  const { secureBoot, shim } = claimsOfEvents([
    ...secureBootConfiguration(),
    end(7),
    shimVariable('SbatLevel', Buffer.from('sbat,1,2022052400\n')),
    shimVariable('MokListRT', certificate),
    shimVariable('vendor_db', certificate, SECURITY_DATABASE),
    shimVariable('MokSBState', Buffer.from([1])),
  ])
  assert.deepEqual(valueOf(secureBoot.authorities), [])
  assert.deepEqual(
    valueOf(shim.authorities).map(({ name }) => name),
    ['MokListRT', 'vendor_db'],
  )
  assert.equal(valueOf(shim.sbatLevel), 'sbat,1,2022052400\n')
  assert.equal(valueOf(shim.validation), false)
  assert.ok(secureBoot.enabled.state === 'unknown')
  assert.match(secureBoot.enabled.reason, /MokSBState/)
})

test('dbt, dbr, audit and deployed mode are claims where they are measured', () => {
  const flag = (name: string, value: number): EventSpec => ({
    pcr: 7,
    type: TYPE.driverConfig,
    data: variable(GLOBAL, name, Buffer.from([value])),
  })
  const list = signatureList('c1c41626-504c-4092-aca9-41f936934328', GLOBAL, Buffer.alloc(32, 5))
  const database = (name: string): EventSpec => ({
    pcr: 7,
    type: TYPE.driverConfig,
    data: variable(SECURITY_DATABASE, name, list),
  })
  const { secureBoot } = claimsOfEvents([
    flag('AuditMode', 1),
    flag('DeployedMode', 0),
    database('dbt'),
    database('dbr'),
    end(7),
  ])
  assert.equal(valueOf(secureBoot.auditMode), true)
  assert.equal(valueOf(secureBoot.deployedMode), false)
  assert.deepEqual(valueOf(secureBoot.dbt).hashes, ['05'.repeat(32)])
  assert.equal(valueOf(secureBoot.dbr).hashCount, 1)
})

test('dbx is as new as the newest time in it; a dbx of images’ hashes has no time', () => {
  const time = (year: number): Buffer => Buffer.concat([u16(year), Buffer.from([5, 9, 12, 30, 1]), Buffer.alloc(9)])
  const entry = (year: number): Buffer =>
    signatureList(X509_SHA256, GLOBAL, Buffer.concat([Buffer.alloc(32, year % 256), time(year)]))
  const dbx = Buffer.concat([entry(2019), entry(2023), entry(2021)])
  const claim = (value: Buffer) =>
    claimsOfEvents(secureBootConfiguration({ dbx: value })).secureBoot.dbxNewestRevocation
  assert.equal(valueOf(claim(dbx)), '2023-05-09T12:30:01')
  assert.equal(claim(signatureList(X509_SHA256, GLOBAL, Buffer.alloc(48))).state, 'unknown')
  assert.equal(claimsOfEvents(regularBoot()).secureBoot.dbxNewestRevocation.state, 'unknown')
})

test('a separator that says error is a failed register; a BootOrder of options 1 and 0 is not, though its digest is', () => {
  const failed = (specs: readonly EventSpec[]) => valueOf(claimsOfEvents(specs).firmware.failedRegisters)
  const error = Buffer.from([1, 0, 0, 0])
  assert.deepEqual(failed([{ pcr: 0, type: TYPE.separator, data: error }, end(2)]), [0])
  assert.deepEqual(failed([{ pcr: 1, type: TYPE.separator, data: error }]), [1])
  const order: EventSpec = {
    pcr: 1,
    type: TYPE.variableBoot,
    data: variable(GLOBAL, 'BootOrder', error),
    measured: error,
  }
  assert.deepEqual(failed([order, end(1)]), [])
  assert.deepEqual(failed([{ ...order, type: TYPE.separator, data: error }, end(1)]), [])
})

test('images of the last attempt were booted where ExitBootServices was reached', () => {
  const attempt = action(4, CALLING)
  const boot = [attempt, image('first'), attempt, image('second'), image('third')]
  const { boot: left } = claimsOfEvents(boot)
  assert.equal(left.bootedImages.state, 'unknown')
  const { boot: taken } = claimsOfEvents([...boot, action(5, EXITED)])
  assert.deepEqual(
    valueOf(taken.bootedImages).map(({ digest }) => digest),
    [hex('second'), hex('third')],
  )
  assert.equal(valueOf(taken.attempts), 2)
  assert.equal(valueOf(taken.images).length, 3)
  assert.equal(claimsOfEvents([image('only')]).boot.attempts.state, 'unknown')
})

test('attempts that another register announces do not say which images were booted, but of a single one', () => {
  const announced = action(5, CALLING)
  const two = claimsOfEvents([announced, image('a'), announced, image('b'), action(5, EXITED)]).boot
  assert.equal(two.bootedImages.state, 'unknown')
  assert.deepEqual(
    valueOf(two.images).map(({ attempt, untrustedAttempt }) => [attempt, untrustedAttempt]),
    [
      [undefined, 1],
      [undefined, 2],
    ],
  )
  const one = claimsOfEvents([announced, image('a'), action(5, EXITED)]).boot
  assert.equal(valueOf(one.bootedImages).length, 1)
})

test('the kernel’s path is bound by the command line, and which digest is the kernel’s is only said', () => {
  const line = '(hd0,gpt1)/vmlinuz root=/dev/sda1 "a=b c" roothash=' + 'AB'.repeat(32) + ' -- root=/dev/init'
  const { kernel, rootfs, loader } = claimsOfEvents([
    grub('set root=hd0,gpt1'),
    grub(`linux ${line}`),
    file('/vmlinuz', 'kernel'),
    { ...grub(line), data: `kernel_cmdline: ${line}\0` },
    grub('initrd /ucode.img /initrd.img'),
    file('/ucode.img', 'ucode'),
    file('/initrd.img', 'initrd'),
  ])
  assert.equal(valueOf(loader.name), 'grub')
  assert.equal(valueOf(kernel.commandLine), line)
  assert.equal(valueOf(kernel.path), '(hd0,gpt1)/vmlinuz')
  assert.deepEqual(valueOf(kernel.initrdPaths), ['/ucode.img', '/initrd.img'])
  assert.equal(valueOf(rootfs.root), '/dev/sda1')
  assert.equal(valueOf(rootfs.verityRootHash), 'ab'.repeat(32))
  assert.equal(kernel.untrustedKernel.bound, false)
  assert.deepEqual(
    valueOf(kernel.untrustedInitrds).map(({ digest }) => digest),
    [hex('ucode'), hex('initrd')],
  )
  assert.equal(valueOf(loader.files).length, 3)
})

test('the kernel is found behind the device of its loader too', () => {
  const line = '/vmlinuz quiet'
  const { kernel } = claimsOfEvents([grub(`linux ${line}`), file('(hd0,gpt2)/vmlinuz', 'kernel')])
  assert.equal(valueOf(kernel.untrustedKernel).digest, hex('kernel'))
})

for (const [name, line] of [
  ['several roots that differ', '/k root=a root=b'],
  ['no root', '/k quiet'],
  ['a root behind --', '/k -- root=a'],
  ['another parameter that ends alike', '/k ourroot=a'],
] as const) {
  test(`a command line with ${name} leaves the root unknown`, () => {
    assert.equal(claimsOfEvents([grub(`linux ${line}`)]).rootfs.root.state, 'unknown')
  })
}

test('command lines that differ are a list, and no command line', () => {
  const { kernel } = claimsOfEvents([grub('linux /a x'), grub('linux /b y')])
  assert.deepEqual(valueOf(kernel.commandLines), ['/a x', '/b y'])
  assert.ok(kernel.commandLine.state === 'unknown')
  assert.match(kernel.commandLine.reason, /differ/)
})

test('an event of PCR 8 that the log does not have the text of leaves lists incomplete and loader and line unknown', () => {
  const { kernel, loader } = claimsOfEvents([grub('linux /a x'), { pcr: 8, type: TYPE.ipl, ...OPAQUE }])
  assert.ok(kernel.commandLine.state === 'unknown' && loader.name.state === 'unknown')
  assert.deepEqual(kernel.commandLine.events, [2])
  assert.match(kernel.commandLine.reason, /event 2 of PCR 8/)
  assert.ok(loader.commands.state === 'known' && !loader.commands.complete)
})

test('what nothing in the log explains is listed with its register', () => {
  const { log } = claimsOfEvents([...regularBoot(), { pcr: 1, type: TYPE.firmwareBlob, ...OPAQUE }])
  const event = regularBoot().length + 1
  assert.deepEqual(valueOf(log.unread), [{ digest: hex('y'), pcr: 1, event }])
})

test('what an SP800-155 event names is known and not bound', () => {
  const names = ['ACME', 'Edge 9', '2', 'ACME Firmware'].map((text) => {
    return Buffer.concat([Buffer.from([text.length + 1]), Buffer.from(`${text}\0`)])
  })
  const data = Buffer.concat([
    Buffer.from('SP800-155 Event2', 'latin1'),
    Buffer.from('39300000', 'hex'),
    guid(GLOBAL),
    ...names,
    Buffer.from('39300000', 'hex'),
    Buffer.from([4]),
    Buffer.from('1.7\0'),
  ])
  const { untrustedPlatform } = claimsOfEvents([{ pcr: 0, type: TYPE.noAction, data }]).firmware
  assert.equal(untrustedPlatform.bound, false)
  assert.deepEqual(Object.values(valueOf(untrustedPlatform)), [
    '12345',
    GLOBAL,
    'ACME',
    'Edge 9',
    '2',
    'ACME Firmware',
    '12345',
    '1.7',
  ])
})

test('measurements of PCR 17 and 18 show a dynamic launch; without them nothing is said of one', () => {
  const launch = (type: number, data: string): EventSpec => ({ pcr: 17, type, data })
  const { drtm } = claimsOfEvents([launch(0x402, 'start'), launch(0x404, 'mle'), { ...launch(0x502, 's'), pcr: 18 }])
  assert.equal(valueOf(drtm.launched), true)
  assert.deepEqual(
    valueOf(drtm.measurements).map(({ pcr, digest }) => [pcr, digest]),
    [
      [17, hex('start')],
      [17, hex('mle')],
      [18, hex('s')],
    ],
  )
  assert.equal(valueOf(drtm.untrustedMle).digest, hex('mle'))
  assert.equal(claimsOfEvents(regularBoot()).drtm.launched.state, 'unknown')
})
