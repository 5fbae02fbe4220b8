import type { RegisterKind } from '../log.ts'

/** UAPI group's Linux TPM PCR registry; PC Client Platform Firmware Profile 1.06 section 3.3.4 for 0 to 7. */
const PCR_NAMES: readonly string[] = [
  'firmware',
  'firmware configuration',
  'drivers and option ROMs',
  'configuration of drivers',
  'boot applications',
  'boot configuration',
  'vendor',
  'Secure Boot',
  'commands of the boot loader',
  'files of the boot loader',
  'IMA',
  'unified kernel image',
  'kernel options',
  'system extensions, or the root file system',
  "shim's keys, or the configuration of EVE",
  'system identity',
  'debugging',
  'dynamic launch',
  'dynamic launch',
  'dynamic launch',
  'dynamic launch',
  'dynamic launch',
  'dynamic launch',
  'applications',
]

/** UEFI 2.10 section 38.4.1, by the number in the log, which is that of the RTMR and 1. */
const RTMR_NAMES: readonly string[] = [
  '',
  'firmware configuration and Secure Boot',
  'boot applications and their configuration',
  'boot loader and kernel',
  'applications',
]

/** What a register is for, in a few words. */
export function registerName(kind: RegisterKind, register: number): string {
  return (kind === 'pcr' ? PCR_NAMES : RTMR_NAMES)[register] ?? ''
}
