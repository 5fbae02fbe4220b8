import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explainVerdict } from '../../../src/attest/causes/explain-verdict.ts'
import type { VerdictExplanation } from '../../../src/attest/causes/explain-verdict.ts'
import { PATTERNS } from '../../../src/attest/causes/patterns.ts'
import { parseReferences } from '../../../src/attest/policy.ts'
import type { ReferenceSet } from '../../../src/attest/policy.ts'
import type { Check } from '../../../src/core/index.ts'
import { parseEventLog } from '../../../src/eventlog/parse.ts'
import { replayEventLog } from '../../../src/eventlog/replay.ts'
import {
  agileLog,
  CALLING,
  digestOf,
  GLOBAL,
  guid,
  regularBoot,
  SECURITY_DATABASE,
  SEPARATOR,
  SHA256,
  SHIM,
  signatureList,
  TYPE,
  u16,
  u32,
  u64,
  variable,
  X509,
  type EventSpec,
} from '../../eventlog/build-log.ts'

// Each pattern of the table, on the smallest difference or failure that it is about.

const boot = regularBoot()

/** `firmware`: at its beginning; `later`: by boot loaders and system. */
function bootWith(firmware: readonly EventSpec[], later: readonly EventSpec[] = []): EventSpec[] {
  return [...boot.slice(0, 2), ...firmware, ...boot.slice(2, -1), ...later, ...boot.slice(-1)]
}

/** The same boot with another event in place of those that `is` picks; `undefined` takes them out. */
function changed(is: (spec: EventSpec) => boolean, by: ((spec: EventSpec) => EventSpec) | undefined): EventSpec[] {
  return boot.flatMap((spec) => (is(spec) ? (by === undefined ? [] : [by(spec)]) : [spec]))
}

function isVariable(name: string): (spec: EventSpec) => boolean {
  const text = Buffer.from(name, 'utf16le')
  return ({ data, type }) =>
    type === TYPE.driverConfig && Buffer.isBuffer(data) && data.subarray(32, 32 + text.byteLength).equals(text)
}

function driverConfig(name: string, value: Buffer, vendor = GLOBAL): EventSpec {
  return { pcr: 7, type: TYPE.driverConfig, data: variable(vendor, name, value) }
}

function authority(name: string, value: Buffer, vendor = SHIM): EventSpec {
  return { pcr: 7, type: TYPE.authority, data: variable(vendor, name, value) }
}

function action(text: string, pcr = 1): EventSpec {
  return { pcr, type: TYPE.efiAction, data: text }
}

function bootVariable(name: string, value: Buffer): EventSpec {
  return { pcr: 1, type: TYPE.variableBoot, data: variable(GLOBAL, name, value), measured: value }
}

function bootOrder(...numbers: number[]): EventSpec {
  return bootVariable('BootOrder', Buffer.concat(numbers.map(u16)))
}

function bootOption(name: string, description: string): EventSpec {
  const path = Buffer.from('7fff0400', 'hex')
  const text = Buffer.from(`${description}\0`, 'utf16le')
  return bootVariable(name, Buffer.concat([u32(1), u16(path.byteLength), text, path]))
}

const setup = action('Entering ROM Based Setup')

/** A device path of one node, and its end. */
function node(type: number, subtype: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, subtype]), u16(4 + data.byteLength), data, Buffer.from('7fff0400', 'hex')])
}

function image(measured: string, path: Buffer = Buffer.alloc(0), pcr = 4): EventSpec {
  const data = Buffer.concat([u64(0), u64(0), u64(0), u64(path.byteLength), path])
  return { pcr, type: pcr === 2 ? 0x80000004 : TYPE.application, data, measured }
}

const usb = node(3, 5, Buffer.from([0, 1]))
const network = node(3, 11, Buffer.alloc(33, 1))

function partition(name: string, id: number, attributes = 0n): Buffer {
  const entry = Buffer.alloc(128)
  guid('0fc63daf-8483-4772-8e79-3d69d8477de4').copy(entry)
  entry.fill(id, 16, 32)
  entry.writeBigUInt64LE(attributes, 48)
  entry.write(name, 56, 'utf16le')
  return entry
}

function gpt(disk: number, ...partitions: Buffer[]): EventSpec {
  const header = Buffer.alloc(92, 9)
  header.write('EFI PART', 0, 'latin1')
  header.fill(disk, 56, 72)
  header.writeUInt32LE(128, 84)
  return { pcr: 5, type: TYPE.gpt, data: Buffer.concat([header, u64(partitions.length), ...partitions]) }
}

function grub(text: string): EventSpec {
  return { pcr: 8, type: TYPE.ipl, data: `grub_cmd: ${text}\0`, measured: text }
}

function commandLine(text: string): EventSpec {
  return { pcr: 8, type: TYPE.ipl, data: `kernel_cmdline: ${text}\0`, measured: text }
}

/** What is measured is something else than the label. */
function file(label: string, content: string, pcr = 9): EventSpec {
  return { pcr, type: TYPE.ipl, data: `${label}\0`, measured: content }
}

function rootfs(byte: string): EventSpec {
  const hash = byte.repeat(32)
  return { pcr: 13, type: TYPE.ipl, data: `squash4 ${hash}\0`, measured: Buffer.from(hash, 'hex') }
}

function configFile(path: string, content: string): EventSpec {
  const text = `file:${path} exist:true content-hash:${content.repeat(32)}`
  return { pcr: 14, type: TYPE.efiAction, data: text }
}

function dbx(...hashes: number[]): EventSpec[] {
  const value = Buffer.concat(hashes.map((byte) => signatureList(SHA256, GLOBAL, Buffer.alloc(32, byte))))
  return changed(isVariable('dbx'), () => driverConfig('dbx', value, SECURITY_DATABASE))
}

const certificate = (byte: number) => signatureList(X509, GLOBAL, Buffer.alloc(12, byte))

function references(entries: readonly (readonly [value: string, label: string, state: string])[]): ReferenceSet[] {
  const lines = entries.map(([value, label, state]) => `    - { value: ${value}, label: ${label}, state: ${state} }`)
  return parseReferences(
    `apiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: releases }\nspec:\n  entries:\n${lines.join('\n')}\n`,
  )
}

interface Case {
  readonly before?: readonly EventSpec[]
  readonly now?: readonly EventSpec[]
  readonly checks?: readonly Check[]
  readonly references?: readonly ReferenceSet[]
  readonly says?: RegExp
  /** Causes in front of it, which the case cannot do without. */
  readonly behind?: readonly string[]
  /** The same for causes that come after it. */
  readonly ahead?: readonly string[]
}

const signed: Check = { check: 'quote.digest', outcome: 'pass' }

function explain({ before, now, checks = [], references: sets = [] }: Case): VerdictExplanation {
  return explainVerdict({
    checks: checks.some(({ check }) => check === 'quote.digest') ? checks : [signed, ...checks],
    ...(before === undefined ? {} : { before: { eventLog: agileLog(before) } }),
    ...(now === undefined ? {} : { now: { eventLog: agileLog(now) } }),
    bank: 'sha256',
    quoted: Array.from({ length: 24 }, (_, pcr) => pcr),
    references: sets,
  })
}

function failed(check: string, code: string, detail: Partial<Check> = {}): Check {
  return { check, outcome: 'fail', code, ...detail }
}

function rule(claim: string, code: string, detail: Partial<Check> = {}): Check {
  return failed('policy.rule', code, { rule: `test/${claim}`, claim, ...detail })
}

function imaFile(check: string, code: string, path: string): Check {
  return failed(check, code, { event: { index: 9, pcr: 10, type: 'ima-sig', summary: path } })
}

const valueOf = (specs: readonly EventSpec[], pcr: number): string =>
  replayEventLog(parseEventLog(agileLog(specs)), 'sha256')
    .values.get(pcr)
    ?.toString('hex') ?? ''

function disagreement(quoted: Readonly<Record<string, string>>, replayed: Readonly<Record<string, string>>): Check {
  const [expected, actual] = [quoted, replayed].map((pcrs) => ({ pcrs: { sha256: { ...pcrs } } }))
  return failed('quote.digest', 'quote.digest', { expected: expected ?? {}, actual: actual ?? {} })
}

function notReplayed(begins: string): Check {
  return failed('ima.replay', 'ima.not_replayed', { actual: { begins } })
}

const line = (text: string) => bootWith([], [commandLine(text)])
const zeros = '00'.repeat(32)
const kernel = (content: string) => bootWith([], [file('/boot/vmlinuz-6.1', content)])
const digest = (content: string) => digestOf('sha256', content).toString('hex')
const withSbat = (date: string) => bootWith([], [authority('SbatLevel', Buffer.from(`sbat,1,${date}\n`, 'latin1'))])
const disk = (id: number) => bootWith([], [gpt(id, partition('A', 1))])

const cases: Readonly<Record<string, Case>> = {
  'evidence.not-a-quote': {
    checks: [failed('quote.magic', 'quote.magic'), failed('quote.type', 'quote.type', { actual: '0x8017' })],
    says: /quote\.magic, quote\.type: an answer of TPM2_Certify/,
  },
  'evidence.signature': { checks: [failed('quote.signature', 'tpm.signature_invalid')] },
  'evidence.unsound-signature': { checks: [failed('quote.scheme', 'tpm.signature_hash')] },
  'evidence.weak-key': { checks: [failed('ak.attributes', 'ak.attributes')] },
  'evidence.unseen-key': { checks: [{ check: 'ak.attributes', outcome: 'warn', code: 'ak.attributes_unseen' }] },
  'evidence.revoked-key': { checks: [failed('ak.enrolled', 'ak.revoked')] },
  'evidence.other-tpm': { checks: [failed('ak.qualified-name', 'ak.qualified_name')] },
  'evidence.replayed': { checks: [failed('quote.nonce', 'quote.nonce')] },
  'evidence.other-selection': {
    checks: [
      failed('quote.selection', 'quote.selection'),
      { ...rule('pcr.8', 'pcr.unquoted'), outcome: 'indeterminate' },
    ],
  },
  'evidence.clock-back': { checks: [failed('quote.counters', 'quote.counters')] },
  'evidence.bank-without-events': {
    checks: [
      failed('quote.digest', 'quote.digest_not_localised', {
        actual: { banksWithoutEvents: ['sha384'], imaLog: 'none came' },
      }),
    ],
    says: /bank sha384/,
    ahead: ['evidence.not-localised'],
  },
  'evidence.ima-absent': {
    checks: [
      failed('quote.digest', 'quote.digest', {
        expected: { pcrs: { sha256: { 10: '11'.repeat(32) } } },
        actual: { pcrs: { sha256: { 10: '22'.repeat(32) } }, imaLog: 'none came' },
      }),
    ],
    says: /no IMA log came/,
  },
  'evidence.tpm-reset': {
    checks: [disagreement({ 0: zeros, 7: zeros }, { 0: '11'.repeat(32), 7: '22'.repeat(32) })],
    says: /PCR 0, 7/,
  },
  'evidence.log-of-last-good': {
    before: line('quiet'),
    checks: [disagreement({ 8: '11'.repeat(32) }, { 8: valueOf(line('quiet'), 8) })],
    says: /PCR 8/,
  },
  'evidence.log-damaged': {
    before: line('quiet'),
    checks: [disagreement({ 8: valueOf(line('quiet'), 8) }, { 8: '11'.repeat(32) })],
    says: /PCR 8/,
  },
  'evidence.ima-restarted': {
    checks: [disagreement({ 10: '11'.repeat(32) }, { 10: '22'.repeat(32) }), notReplayed('this-boot')],
  },
  'evidence.ima-beginning': {
    checks: [disagreement({ 10: '11'.repeat(32) }, { 10: '22'.repeat(32) }), notReplayed('missing')],
  },
  'evidence.ima-log': { checks: [disagreement({ 10: '11'.repeat(32) }, { 10: '22'.repeat(32) })] },
  'evidence.userspace-phase': {
    checks: [
      failed('log.userspace', 'userspace.phase_missing', { actual: { records: 3, registers: [11], missing: 'ready' } }),
      disagreement({ 11: '11'.repeat(32) }, { 11: '22'.repeat(32) }),
    ],
    says: /phase ready/,
  },
  'evidence.userspace-log': {
    checks: [
      failed('log.userspace', 'userspace.incomplete', { actual: { records: 3, registers: [15] } }),
      disagreement({ 15: '11'.repeat(32) }, { 15: '22'.repeat(32) }),
    ],
  },
  'evidence.no-userspace-log': {
    checks: [
      disagreement(
        {
          4: digestOf('sha256', Buffer.concat([Buffer.alloc(32, 7), digestOf('sha256', 'os-separator')])).toString(
            'hex',
          ),
          11: '11'.repeat(32),
          15: '11'.repeat(32),
        },
        { 4: '07'.repeat(32), 11: '22'.repeat(32), 15: zeros },
      ),
    ],
    says: /PCR 4, 11, 15/,
  },
  'evidence.userspace-bank': { checks: [{ check: 'log.userspace', outcome: 'warn', code: 'userspace.bank' }] },
  'evidence.unlogged': {
    before: line('quiet'),
    checks: [disagreement({ 8: '11'.repeat(32) }, { 8: '22'.repeat(32) })],
    says: /PCR 8/,
  },
  'evidence.not-localised': { checks: [failed('quote.digest', 'quote.digest_not_localised')] },
  'evidence.bank': { checks: [failed('quote.digest', 'bank.unsupported')] },
  'evidence.other-machine-kind': { checks: [failed('log.structure', 'log.registers')] },
  'evidence.log-unreadable': { checks: [failed('log.readable', 'attestation.log_unreadable')] },
  'evidence.log-structure': {
    checks: [failed('log.structure', 'log.structure', { actual: ['eventlog.type_disguised at event 3: a separator'] })],
    says: /type_disguised at event 3/,
  },
  'tpm.firmware-updated': {
    checks: [{ check: 'quote.firmware-version', outcome: 'warn', code: 'quote.firmware_version' }],
  },
  'tpm.bank-unmeasured': { checks: [failed('bank.unmeasured', 'bank.unmeasured')] },
  'tpm.bank-weak': { checks: [{ check: 'bank.strength', outcome: 'warn', code: 'bank.weak' }] },
  'firmware.unmeasured': { checks: [failed('pcr.zero', 'pcr.zero', { actual: { empty: [0, 2] } })], says: /PCR 0, 2/ },

  'firmware.debug-mode': { before: boot, now: bootWith([action('UEFI Debug Mode', 7)]) },
  'firmware.dma-protection-off': { before: boot, now: bootWith([action('DMA Protection Disabled', 7)]) },
  'firmware.failed': {
    before: boot,
    now: changed(
      ({ type, pcr }) => type === TYPE.separator && pcr === 3,
      (spec) => ({ ...spec, data: Buffer.from([1, 0, 0, 0]) }),
    ),
    says: /PCR 3/,
  },
  'machine.other': {
    before: disk(1),
    now: changed(
      (spec) => spec.type === TYPE.firmwareBlob || isVariable('PK')(spec),
      (spec) => (spec.type === TYPE.firmwareBlob ? { ...spec, measured: 'other' } : driverConfig('PK', certificate(8))),
    ).toSpliced(-1, 0, gpt(2, partition('A', 1))),
  },
  'firmware.updated': {
    before: boot,
    now: changed(
      ({ type }) => type === TYPE.crtmVersion || type === TYPE.firmwareBlob,
      (spec) =>
        spec.type === TYPE.crtmVersion
          ? { ...spec, data: Buffer.from('fw 2\0', 'utf16le') }
          : { ...spec, measured: 'firmware 2' },
    ),
    says: /fw 1 → fw 2/,
  },
  'firmware.code-changed': {
    before: boot,
    now: changed(
      ({ type }) => type === TYPE.firmwareBlob,
      (spec) => ({ ...spec, measured: 'implant' }),
    ),
    says: /1 measurement in PCR 0/,
  },
  'firmware.locality': {
    before: boot,
    now: [
      {
        pcr: 0,
        type: TYPE.noAction,
        data: Buffer.from('StartupLocality\0\u0003', 'latin1'),
        digests: { sha256: Buffer.alloc(32) },
      },
      ...boot,
    ],
  },
  'boot.setup-and-order': {
    before: bootWith([bootOrder(1, 0), bootOption('Boot0001', 'Disk'), bootOption('Boot0000', 'Stick')]),
    now: bootWith([setup, bootOrder(1), bootOption('Boot0001', 'Disk')]),
    says: /0001,0000 → 0001; no longer 0000 Stick/,
  },
  'boot.setup-entered': { before: boot, now: bootWith([setup]), says: /changed nothing that is measured/ },
  'firmware.microcode': {
    before: bootWith([{ pcr: 1, type: 9, data: 'CPU Microcode', measured: 'a' }]),
    now: bootWith([{ pcr: 1, type: 9, data: 'CPU Microcode', measured: 'b' }]),
  },
  'firmware.device-added': {
    before: boot,
    now: bootWith([image('rom', Buffer.alloc(0), 2)]),
    says: /1 measurement more/,
  },
  'firmware.device-removed': {
    before: bootWith([image('rom', Buffer.alloc(0), 2)]),
    now: boot,
    says: /1 measurement less/,
  },
  'firmware.device-changed': {
    before: bootWith([image('rom', Buffer.alloc(0), 2)]),
    now: bootWith([image('rom 2', Buffer.alloc(0), 2)]),
  },
  'firmware.device-settings': {
    before: boot,
    now: bootWith([{ ...driverConfig('Nic', Buffer.from('a')), pcr: 3 }]),
    says: /Nic/,
  },
  'firmware.vendor-measurements': {
    before: boot,
    now: bootWith([{ pcr: 6, type: TYPE.compactHash, data: 'Vendor 1' }]),
  },

  'secure-boot.keys-cleared': {
    before: boot,
    now: changed(isVariable('PK'), () => driverConfig('PK', Buffer.alloc(0))),
    says: /\(PK\)/,
  },
  'secure-boot.off': {
    before: boot,
    now: changed(isVariable('SecureBoot'), () => driverConfig('SecureBoot', Buffer.from([0]))),
  },
  'secure-boot.on': {
    before: changed(isVariable('SecureBoot'), () => driverConfig('SecureBoot', Buffer.from([0]))),
    now: boot,
  },
  'secure-boot.setup-mode': {
    before: bootWith([driverConfig('AuditMode', Buffer.from([0]))]),
    now: bootWith([driverConfig('AuditMode', Buffer.from([1]))]),
  },
  'secure-boot.dbx-shrunk': { before: dbx(1, 2, 3), now: dbx(1), says: /lost 2 hashes/ },
  'secure-boot.dbx-grown': { before: dbx(1), now: dbx(1, 2), says: /1 hash more/ },
  'secure-boot.platform-keys': {
    before: boot,
    now: changed(isVariable('KEK'), () => driverConfig('KEK', certificate(9))),
    says: /\(KEK\)/,
  },
  'secure-boot.db-shrunk': {
    before: changed(isVariable('db'), () =>
      driverConfig('db', Buffer.concat([certificate(1), certificate(2)]), SECURITY_DATABASE),
    ),
    now: changed(isVariable('db'), () => driverConfig('db', certificate(1), SECURITY_DATABASE)),
  },
  'secure-boot.db-grown': {
    before: changed(isVariable('db'), () => driverConfig('db', certificate(1), SECURITY_DATABASE)),
    now: changed(isVariable('db'), () =>
      driverConfig('db', Buffer.concat([certificate(1), certificate(2)]), SECURITY_DATABASE),
    ),
  },
  'secure-boot.databases': {
    before: boot,
    now: bootWith([driverConfig('dbt', certificate(1), SECURITY_DATABASE)]),
    says: /dbt/,
  },
  'shim.sbat-lowered': { before: withSbat('2025021800'), now: withSbat('2021030218'), says: /2025021800 → 2021030218/ },
  'shim.sbat-raised': { before: withSbat('2021030218'), now: withSbat('2025021800') },
  'shim.validation-off': {
    before: bootWith([], [authority('MokSBState', Buffer.from([0]))]),
    now: bootWith([], [authority('MokSBState', Buffer.from([1]))]),
  },
  'shim.gone': { before: bootWith([], [file('MokList', 'keys', 14)]), now: boot },
  'shim.owner-keys': {
    before: bootWith([], [file('MokList', 'keys', 14)]),
    now: bootWith([], [file('MokList', 'more keys', 14)]),
    says: /MokList/,
  },
  'secure-boot.other-authority': {
    before: boot,
    now: bootWith([], [authority('MokListRT', Buffer.from('key'))]),
    says: /MokListRT/,
  },
  'secure-boot.variables': {
    before: boot,
    now: bootWith([driverConfig('OsRecovery', Buffer.from([1]))]),
    says: /OsRecovery/,
  },

  'boot.order': {
    before: bootWith([bootOrder(1, 0)]),
    now: bootWith([bootOrder(0, 1)]),
    says: /0001,0000 → 0000,0001/,
  },
  'boot.option-added': { before: boot, now: bootWith([bootOption('Boot0002', 'Stick')]), says: /Stick/ },
  'boot.option-removed': { before: bootWith([bootOption('Boot0002', 'Stick')]), now: boot, says: /Stick/ },
  'boot.option-changed': {
    before: bootWith([bootOption('Boot0002', 'Disk')]),
    now: bootWith([bootOption('Boot0002', 'Stick')]),
    says: /Disk → Stick/,
  },
  'firmware.settings': {
    before: bootWith([{ ...driverConfig('Setup', Buffer.from('a')), pcr: 1 }]),
    now: bootWith([{ ...driverConfig('Setup', Buffer.from('b')), pcr: 1 }]),
    says: /Setup/,
  },
  'boot.from-usb': { before: boot, now: bootWith([], [image('live', usb)]), says: /USB\(/ },
  'boot.from-network': { before: boot, now: bootWith([], [image('pxe', network)]), says: /MAC\(/ },
  'disk.replaced': { before: disk(1), now: disk(2), says: /→/ },
  'release.a-b-update': {
    before: bootWith([], [rootfs('aa')]),
    now: bootWith([], [rootfs('bb')]),
    references: references([['bb'.repeat(32), 'release 14.2', 'active']]),
    says: /release 14\.2 \(active/,
  },
  'release.rollback': {
    before: kernel('new'),
    now: kernel('old'),
    references: references([
      [digest('new'), 'release 14.2', 'active'],
      [digest('old'), 'release 14.1', 'active'],
    ]),
    says: /release 14\.1 .* where it had release 14\.2/,
  },
  'release.update': {
    before: kernel('old'),
    now: kernel('new'),
    references: references([[digest('new'), 'release 14.2', 'candidate']]),
    says: /release 14\.2 \(candidate .* not released for every node yet/,
  },
  'release.unknown-root': { before: bootWith([], [rootfs('aa')]), now: bootWith([], [rootfs('bb')]), says: /bbbb/ },
  'disk.partition-attributes': {
    before: bootWith([], [gpt(1, partition('IMGA', 1, 1n << 56n), partition('IMGB', 2))]),
    now: bootWith([], [gpt(1, partition('IMGA', 1), partition('IMGB', 2, 2n << 48n))]),
    says: /IMGA, IMGB/,
  },
  'disk.partitions': {
    before: disk(1),
    now: bootWith([], [gpt(1, partition('A', 1), partition('B', 2))]),
    says: /\+B/,
  },
  'boot.loader': { before: boot, now: bootWith([], [image('bootkit')]), says: /image/ },
  'boot.not-handed-over': { before: boot, now: boot.slice(0, -1) },
  'boot.attempts': {
    before: boot,
    now: boot.toSpliced(
      boot.findIndex(({ data }) => data === CALLING) + 1,
      0,
      action('Returning from EFI Application from Boot Option', 4),
      action(CALLING, 4),
    ),
    says: /new: /,
  },

  'eve.config': {
    before: bootWith([], [configFile('/config/grub.cfg', 'aa')]),
    now: bootWith([], [configFile('/config/grub.cfg', 'bb')]),
    says: /\/config\/grub\.cfg/,
  },
  'kernel.command-line-dangerous': {
    before: line('root=/dev/sda1 quiet lockdown=integrity'),
    now: line('root=/dev/sda1 quiet init=/bin/sh'),
    says: /init=\/bin\/sh \(another first program\), no lockdown=integrity/,
  },
  'kernel.command-line': {
    before: line('root=/dev/sda1 quiet'),
    now: line('root=/dev/sda1 console=ttyS1'),
    says: /new console=ttyS1; gone quiet/,
  },
  'kernel.replaced': { before: kernel('old'), now: kernel('new'), says: /vmlinuz-6\.1/ },
  'kernel.initrd-alone': {
    before: bootWith([], [file('/boot/initrd.img-6.1', 'a')]),
    now: bootWith([], [file('/boot/initrd.img-6.1', 'b')]),
    says: /initrd\.img/,
  },
  'grub.configuration': { before: boot, now: bootWith([], [grub('set debug=all')]), says: /new: set debug=all/ },
  'grub.configuration-file': {
    before: bootWith([], [file('/boot/grub/grub.cfg', 'a')]),
    now: bootWith([], [file('/boot/grub/grub.cfg', 'b')]),
    says: /grub\.cfg/,
  },
  'boot.files': {
    before: bootWith([], [file('/boot/grub/font.pf2', 'a')]),
    now: bootWith([], [file('/boot/grub/font.pf2', 'b')]),
    says: /font/,
  },
  'boot.unified-kernel': { before: boot, now: bootWith([], [file('osrel', 'x', 11)]), says: /osrel/ },
  'boot.added-options': { before: boot, now: bootWith([], [file('credential', 'x', 12)]), says: /credential/ },
  'system.extensions': { before: boot, now: bootWith([], [file('sysext', 'x', 13)]), says: /sysext/ },
  'system.identity': { before: boot, now: bootWith([], [file('machine-id', 'x', 15)]), says: /machine-id/ },
  'system.other': { before: boot, now: bootWith([], [file('app', 'x', 23)]), says: /PCR 23: app/ },
  'boot.order-of-measurements': {
    before: bootWith([
      image('a', Buffer.alloc(0), 2),
      image('b', Buffer.alloc(0), 2),
      { pcr: 2, type: TYPE.separator, data: SEPARATOR },
    ]),
    now: bootWith([
      { pcr: 2, type: TYPE.separator, data: SEPARATOR },
      image('a', Buffer.alloc(0), 2),
      image('b', Buffer.alloc(0), 2),
    ]),
    says: /PCR 2/,
  },

  'ima.other-kernel': { checks: [imaFile('ima.files', 'ima.file_unknown', 'boot_aggregate')] },
  'ima.changed-files': {
    checks: [imaFile('ima.files', 'ima.file_changed', '/usr/bin/sshd')],
    says: /\/usr\/bin\/sshd/,
  },
  'ima.unknown-files': { checks: [imaFile('ima.files', 'ima.file_unknown', '/tmp/x')], says: /\/tmp\/x/ },
  'ima.bad-signatures': { checks: [imaFile('ima.files', 'ima.unsigned', '/usr/bin/a')], says: /\/usr\/bin\/a/ },
  'ima.withdrawn-files': { checks: [imaFile('ima.files', 'policy.revoked', '/usr/bin/sudo')], says: /sudo/ },
  'ima.violations': { checks: [imaFile('ima.violations', 'ima.violation', '/var/log/a')], says: /\/var\/log\/a/ },
  'ima.keys': { checks: [imaFile('ima.buffers', 'ima.buffer', '.ima')], says: /\.ima/ },
  'ima.devices': { checks: [imaFile('ima.device-mapper', 'ima.table_root_hash', 'root')], says: /root/ },
  'ima.kexec': { checks: [{ check: 'ima.boot-aggregate', outcome: 'warn', code: 'ima.boot_aggregate' }] },
  'ima.in-parts': { checks: [{ check: 'quote.digest', outcome: 'warn', code: 'ima.partial' }] },
  'ima.no-log': { checks: [failed('ima.replay', 'ima.missing')] },
  'guest.not-placed-here': { checks: [failed('guest.placement', 'guest.not_placed')] },
  'guest.host-suspended': { checks: [failed('guest.host-active', 'guest.host_not_active')] },
  'guest.host-silent': { checks: [failed('guest.host-fresh', 'guest.host_stale')] },
  'guest.host-changed': { checks: [failed('link.host-state', 'link.host_state_changed')] },
  'guest.host-untrusted': { checks: [failed('guest.host-verdict', 'guest.host_untrusted')] },
  'guest.old-copy': { checks: [failed('link.generation', 'link.generation_old')] },
  'guest.relayed': { checks: [failed('link.batch', 'link.not_in_batch')] },
  'guest.unlinked': { checks: [failed('link.present', 'link.missing')] },
  'policy.reference-missing': {
    checks: [rule('boot.files', 'policy.reference_missing', { expected: { references: ['kernals'] } })],
    says: /kernals/,
  },
  'policy.not-asked-for': { checks: [rule('pcr.8', 'pcr.unquoted')] },
  'policy.fault': { checks: [failed('policy.evaluated', 'policy.not_evaluated')] },
  'policy.nothing-enforced': {
    checks: [{ check: 'policy.evaluated', outcome: 'warn', code: 'policy.nothing_enforced' }],
  },
  'policy.excused': {
    behind: ['fact.unknown-image'],
    checks: [
      {
        ...rule('boot.applications', 'policy.no_match'),
        outcome: 'warn',
        exception: {
          name: 'lab',
          owner: 'ops@example',
          reason: 'no other shim yet',
          expires: '2026-12-01T00:00:00.000Z',
        },
      },
    ],
    says: /Still wrong, and excused for now: boot\.applications.*: The value is not one .* until 2026-12-01 by the exception lab of ops@example: no other shim yet\./,
  },
  'policy.withdrawn': {
    checks: [rule('boot.files', 'policy.revoked', { nearest: { label: 'linux 6.1.0-55', state: 'revoked' } })],
    says: /linux 6\.1\.0-55 \(boot\.files\)/,
  },
  'policy.candidate': { checks: [rule('boot.files', 'policy.candidate')], says: /boot\.files/ },
  'policy.changed': { before: boot, now: boot, checks: [rule('boot.files', 'policy.no_match')], says: /boot\.files/ },
  'policy.not-new': {
    before: boot,
    now: bootWith([setup]),
    behind: ['boot.setup-entered'],
    checks: [rule('boot.files', 'policy.no_match')],
    says: /boot\.files/,
  },
  'fact.secure-boot-off': {
    checks: [
      rule('secureBoot.enabled', 'policy.no_match', { actual: false }),
      rule('secureBoot.authorities', 'fact.empty', { actual: [] }),
    ],
  },
  'fact.setup-mode': { checks: [rule('secureBoot.setupMode', 'policy.no_match', { actual: true })] },
  'fact.command-line': {
    checks: [
      rule('kernel.commandLine', 'policy.no_match', { nearest: { added: ['init=/bin/sh', 'quiet'], missing: [] } }),
    ],
    says: /opens the machine: init=\/bin\/sh .*; new quiet/,
  },
  'fact.firmware-action': {
    checks: [rule('firmware.actions', 'policy.no_match', { actual: 'UEFI Debug Mode' })],
    says: /UEFI Debug Mode/,
  },
  'fact.unknown-image': { checks: [rule('boot.applications', 'policy.no_match')], says: /boot\.applications/ },
  'fact.keys': { checks: [rule('secureBoot.kek', 'policy.no_match')], says: /secureBoot\.kek/ },
  'fact.boot-path': { checks: [rule('boot.order', 'policy.no_match')], says: /boot\.order/ },
  'fact.commands': { checks: [rule('grub.commands', 'policy.sequence')] },
  'fact.firmware-version': {
    checks: [rule('firmware.version', 'policy.no_match', { actual: 'fw 2' })],
    says: /fw 2/,
  },
  'fact.registers-follow': {
    checks: [rule('grub.commands', 'policy.sequence'), rule('pcr.8', 'policy.no_match')],
    behind: ['fact.commands'],
    says: /PCR 8/,
  },
  'fact.registers': {
    checks: [rule('grub.commands', 'policy.sequence'), rule('pcr.2', 'policy.no_match')],
    behind: ['fact.commands'],
    says: /PCR 2/,
  },
  'policy.unknown-fact': { checks: [rule('secureBoot.dbt', 'fact.unknown')], says: /secureBoot\.dbt/ },
}

for (const [id, given] of Object.entries(cases)) {
  test(`the likely cause is ${id}`, () => {
    const { causes, unexplained } = explain(given)
    assert.deepEqual(
      causes.map((cause) => cause.id),
      [...(given.behind ?? []), id, ...(given.ahead ?? [])],
      JSON.stringify(causes.map(({ text }) => text)),
    )
    assert.deepEqual(unexplained, { events: 0, checks: [] })
    const text = causes.find((cause) => cause.id === id)?.text ?? ''
    assert.doesNotMatch(text, /[{}]/)
    if (given.says !== undefined) assert.match(text, given.says)
  })
}

test('every pattern of the table has a case here', () => {
  assert.deepEqual(
    PATTERNS.map(({ id }) => id).filter((id) => !Object.hasOwn(cases, id)),
    [],
  )
})
