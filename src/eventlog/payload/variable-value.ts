import { decodeBootOption } from './boot-option.ts'
import { certificateNames } from './certificate-names.ts'
import { devicePathText, isDevicePath } from './device-path.ts'
import { EFI_GLOBAL_VARIABLE } from './guid.ts'
import { contentOf, decodeSignatureData, decodeSignatureLists, looksLikeCertificate } from './signature-list.ts'
import type { EfiVariable } from './variable.ts'
import { bootOrderNumbers, isLoadOption } from '../variables.ts'

/** The value of a variable in words; `undefined` where nothing better than text or hex can be said of it. */
export function variableValueText({ name, vendor, value }: EfiVariable): string | undefined {
  if (value.byteLength === 0) return 'not set'
  if (isLoadOption(name)) return optionText(value) ?? numbersText(value)
  const known = FORMS.get(name)
  if (known !== undefined && (vendor === EFI_GLOBAL_VARIABLE || !GLOBAL_ONLY.has(name))) return known(value)
  return databaseSummary(value) ?? authoritySummary(value)
}

/** The value of a boot variable without its name: an option, or an order. */
export function bootValueText(value: Buffer): string {
  return optionText(value) ?? numbersText(value)
}

function optionText(value: Buffer): string | undefined {
  const option = decodeBootOption(value)
  return option === undefined ? undefined : `${option.description} ${devicePathText(option.devicePath)}`
}

function numbersText(value: Buffer): string {
  return bootOrderNumbers(value)
    .map((number) => number.toString(16).padStart(4, '0').toUpperCase())
    .join(',')
}

type Form = (value: Buffer) => string | undefined

/** One byte, 0 or 1; anything else is shown as it is. */
function choice(zero: string, one: string): Form {
  return (value) => (value.byteLength === 1 ? [zero, one][value[0] ?? 2] : undefined)
}

const isOn = choice('off', 'on')
const isYes = choice('no', 'yes')

function number(value: Buffer): string | undefined {
  return value.byteLength >= 1 && value.byteLength <= 6 ? `${value.readUIntLE(0, value.byteLength)}` : undefined
}

const OS_INDICATIONS = [
  'boot to firmware setup',
  'timestamp revocation',
  'capsules from files',
  'firmware management capsules',
  'capsule results',
  'start system recovery',
  'start platform recovery',
  'refresh configuration data',
]

function indications(value: Buffer): string | undefined {
  if (value.byteLength !== 8) return undefined
  const bits = value.readBigUInt64LE(0)
  const named = OS_INDICATIONS.filter((_, bit) => (bits & (1n << BigInt(bit))) !== 0n)
  return bits === 0n ? 'none' : named.length === 0 ? `0x${bits.toString(16)}` : named.join(', ')
}

function paths(value: Buffer): string | undefined {
  return isDevicePath(value) ? devicePathText(value) : undefined
}

/** Variables of UEFI 2.10 section 3.3 and of shim (MokVars.txt), of which the value is worth words. */
const FORMS: ReadonlyMap<string, Form> = new Map<string, Form>([
  ['SecureBoot', isOn],
  ['SetupMode', isOn],
  ['AuditMode', isOn],
  ['DeployedMode', isOn],
  ['CustomMode', isOn],
  ['VendorKeys', isYes],
  ['BootOrder', numbersText],
  ['DriverOrder', numbersText],
  ['SysPrepOrder', numbersText],
  ['BootNext', numbersText],
  ['BootCurrent', numbersText],
  ['Timeout', (value) => (value.byteLength === 2 ? `${value.readUInt16LE(0)} s` : undefined)],
  ['OsIndications', indications],
  ['OsIndicationsSupported', indications],
  ['ConIn', paths],
  ['ConOut', paths],
  ['ErrOut', paths],
  // 1: what shim verifies against is left to the machine's owner
  ['MokListTrusted', isYes],
  ['MokSBState', choice('verification on', 'verification off')],
  ['MokDBState', choice("the firmware's db is used", "the firmware's db is ignored")],
  ['MokIgnoreDB', isYes],
  ['MokPolicy', number],
])

const GLOBAL_ONLY: ReadonlySet<string> = new Set(['SecureBoot', 'SetupMode', 'AuditMode', 'DeployedMode', 'Timeout'])

const MIN_LIST = 28

function databaseSummary(value: Buffer): string | undefined {
  const entries = value.byteLength >= MIN_LIST ? decodeSignatureLists(value) : undefined
  if (entries === undefined) return undefined
  const subjects = entries
    .filter(({ kind }) => kind === 'x509')
    .map((entry) => certificateNames(contentOf(entry))?.subject)
  const hashes = entries.filter(({ kind }) => kind === 'hash').length
  const others = entries.length - subjects.length - hashes
  const text = databaseText(subjects, hashes)
  return others === 0 ? text : `${text === '' ? '' : `${text}; `}${others} other ${others === 1 ? 'key' : 'keys'}`
}

/** Certificates by their subjects (`undefined` for one that does not parse), and how many hashes. */
export function databaseText(subjects: readonly (string | undefined)[], hashes: number): string {
  const names = subjects.map((subject) => subject ?? 'unreadable certificate')
  return [...names, ...(hashes === 0 ? [] : [`${hashes} ${hashes === 1 ? 'hash' : 'hashes'}`])].join('; ')
}

function authoritySummary(value: Buffer): string | undefined {
  if (looksLikeCertificate(value)) return certificateNames(value)?.subject ?? 'unreadable certificate'
  const entry = decodeSignatureData(value)
  if (entry?.kind !== 'x509') return undefined
  return certificateNames(contentOf(entry))?.subject ?? 'unreadable certificate'
}
