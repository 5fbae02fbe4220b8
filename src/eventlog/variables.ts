import { EFI_GLOBAL_VARIABLE, EFI_IMAGE_SECURITY_DATABASE } from './payload/guid.ts'

/** What is known of a variable that the Secure Boot register holds. */
export interface SecureBootVariable {
  /** A variable counts by vendor GUID and name together. */
  readonly vendor: string
  /** Measured as EV_EFI_VARIABLE_AUTHORITY too, when something in it verified an image. */
  readonly authority: boolean
  /** Every machine with UEFI Secure Boot measures it, set or not. */
  readonly required: boolean
}

/**
 * The variables that the firmware measures as configuration, once each, before the separator of PCR 7: PC Client
 * Platform Firmware Profile 1.06 section 3.3.4.8, UEFI 2.10 section 3.3.
 */
export const SECURE_BOOT_VARIABLES: ReadonlyMap<string, SecureBootVariable> = new Map([
  ['SecureBoot', { vendor: EFI_GLOBAL_VARIABLE, authority: false, required: true }],
  ['PK', { vendor: EFI_GLOBAL_VARIABLE, authority: false, required: true }],
  ['KEK', { vendor: EFI_GLOBAL_VARIABLE, authority: false, required: true }],
  ['db', { vendor: EFI_IMAGE_SECURITY_DATABASE, authority: true, required: true }],
  ['dbx', { vendor: EFI_IMAGE_SECURITY_DATABASE, authority: false, required: true }],
  ['dbt', { vendor: EFI_IMAGE_SECURITY_DATABASE, authority: false, required: false }],
  ['dbr', { vendor: EFI_IMAGE_SECURITY_DATABASE, authority: true, required: false }],
  ['SetupMode', { vendor: EFI_GLOBAL_VARIABLE, authority: false, required: false }],
  ['AuditMode', { vendor: EFI_GLOBAL_VARIABLE, authority: false, required: false }],
  ['DeployedMode', { vendor: EFI_GLOBAL_VARIABLE, authority: false, required: false }],
])

/** Variables of shim, which it measures as authorities after the separator. */
const SHIM_VARIABLES: ReadonlySet<string> = new Set([
  'Shim',
  'SbatLevel',
  'SbatLevelRT',
  'MokList',
  'MokListRT',
  'MokListX',
  'MokListXRT',
  'MokListTrusted',
  'MokListTrustedRT',
  'MokSBState',
  'MokSBStateRT',
  'MokDBState',
  'MokIgnoreDB',
  'MokPolicy',
  'vendor_db',
  'vendor_dbx',
  'vendor_cert',
])

export function isShimVariable(name: string): boolean {
  return SHIM_VARIABLES.has(name)
}

/** Shim's lists and switches that some versions measure as configuration, late; certificates never. */
export function mayBeMeasuredAsConfiguration(name: string): boolean {
  return name.startsWith('Mok')
}

/** Names of UEFI 2.10 section 3.3 that EV_EFI_VARIABLE_BOOT may carry. */
const BOOT_VARIABLE = /^(?:Boot|Driver|SysPrep|PlatformRecovery)(?:Order|Next|Current|[0-9A-F]{4})$/

export function isBootVariable(name: string): boolean {
  return BOOT_VARIABLE.test(name)
}

/** Whether a variable holds an EFI_LOAD_OPTION: `Boot####` and its like. */
export function isLoadOption(name: string): boolean {
  return /^(?:Boot|Driver|SysPrep|PlatformRecovery)[0-9A-F]{4}$/.test(name)
}

/** The number of `Boot####`, else `undefined`. */
export function bootNumber(name: string): number | undefined {
  return /^Boot[0-9A-F]{4}$/.test(name) ? Number.parseInt(name.slice(4), 16) : undefined
}

/** The option numbers of a BootOrder; an odd last byte is left out. */
export function bootOrderNumbers(value: Buffer): number[] {
  const numbers: number[] = []
  for (let at = 0; at + 2 <= value.byteLength; at += 2) numbers.push(value.readUInt16LE(at))
  return numbers
}
