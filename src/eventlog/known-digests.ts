import { hash } from 'node:crypto'
import { HASHES } from '../tpm/index.ts'
import type { ReplayBank } from './log.ts'

/** What a separator says: a regular end (0 or 0xFFFFFFFF), a firmware error (1), or the end of Windows' own part. */
export type KnownContent =
  { readonly kind: 'separator'; readonly value: number } | { readonly kind: 'action'; readonly text: string }

/** "WBCL", with which Windows closes PCR 12 to 14. */
export const WBCL = 0x4c434257

export const CALLING_EFI_APPLICATION = 'Calling EFI Application from Boot Option'
export const RETURNING_FROM_EFI_APPLICATION = 'Returning from EFI Application from Boot Option'
export const EXIT_BOOT_SERVICES = 'Exit Boot Services Invocation'
export const EXIT_BOOT_SERVICES_SUCCEEDED = 'Exit Boot Services Returned with Success'
export const EXIT_BOOT_SERVICES_FAILED = 'Exit Boot Services Returned with Failure'
export const UEFI_DEBUG_MODE = 'UEFI Debug Mode'
export const DMA_PROTECTION_DISABLED = 'DMA Protection Disabled'
export const ENTERING_SETUP = 'Entering ROM Based Setup'
/** systemd 261 and newer closes the registers of the firmware with this text, once the system runs. */
export const OS_SEPARATOR = 'os-separator'

const SEPARATORS = [0, 0xffffffff, 1, WBCL]

/** PC Client Platform Firmware Profile 1.06 section 10.4.4 and 3.3.4: strings whose events have one meaning only. */
const ACTIONS = [
  CALLING_EFI_APPLICATION,
  RETURNING_FROM_EFI_APPLICATION,
  EXIT_BOOT_SERVICES,
  EXIT_BOOT_SERVICES_SUCCEEDED,
  EXIT_BOOT_SERVICES_FAILED,
  UEFI_DEBUG_MODE,
  DMA_PROTECTION_DISABLED,
  ENTERING_SETUP,
  OS_SEPARATOR,
]

/** The separator with which firmware says that a measurement failed. */
export function isFirmwareError(content: { readonly kind: string; readonly value?: unknown } | undefined): boolean {
  return content?.kind === 'separator' && content.value === 1
}

export interface Known {
  readonly content: KnownContent
  readonly payload: Buffer
}

interface KnownTable {
  /** First bytes, which nearly all other digests do not have: looking a string up costs more than looking at it. */
  readonly firsts: ReadonlySet<number>
  readonly known: ReadonlyMap<string, Known>
}

const tables = new Map<ReplayBank, KnownTable>()

/**
 * What a digest is known to be the digest of, whatever the event around it claims; else `undefined`. `digest`: as a binary
 * string.
 */
export function knownDigest(digest: string, bank: ReplayBank): Known | undefined {
  const { firsts, known } = tables.get(bank) ?? computeTable(bank)
  return firsts.has(digest.charCodeAt(0)) ? known.get(digest) : undefined
}

function computeTable(bank: ReplayBank): KnownTable {
  const known = new Map<string, Known>()
  const add = (content: KnownContent, payload: Buffer): void => {
    known.set(hash(HASHES[bank].node, payload, 'binary'), { content, payload })
  }
  for (const value of SEPARATORS) {
    const payload = Buffer.alloc(4)
    payload.writeUInt32LE(value)
    add({ kind: 'separator', value }, payload)
  }
  for (const text of ACTIONS) add({ kind: 'action', text }, Buffer.from(text, 'latin1'))
  const table = { firsts: new Set([...known.keys()].map((digest) => digest.charCodeAt(0))), known }
  tables.set(bank, table)
  return table
}
