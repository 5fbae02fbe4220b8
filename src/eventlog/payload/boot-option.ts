import { devicePathLength, isDevicePath } from './device-path.ts'
import { utf16Text } from './text.ts'

/** EFI_LOAD_OPTION: UEFI 2.10 section 3.1.3. */
export interface BootOption {
  /** Absent where the firmware left the first two fields out of what it measured. */
  readonly attributes?: number
  readonly description: string
  readonly devicePath: Buffer
  readonly optionalData: Buffer
}

const FIXED = 6
/** LOAD_OPTION_ACTIVE, FORCE_RECONNECT, HIDDEN and CATEGORY; all other bits are reserved. */
const ATTRIBUTES = 0x1f0b
export const LOAD_OPTION_ACTIVE = 1

/**
 * `undefined` where the description does not end, has control characters, or the paths do not fit. Firmware of Intel's
 * NUCs measures description and path without what goes before them: that form is tried where the bytes are not, in
 * every detail, the one of the specification.
 */
export function decodeBootOption(value: Buffer): BootOption | undefined {
  const regular = regularOption(value)
  const plausible = ((regular?.attributes ?? 0) & ~ATTRIBUTES) === 0
  if (regular !== undefined && plausible && isDevicePath(regular.devicePath)) return regular
  return withoutHeader(value) ?? regular
}

function regularOption(value: Buffer): BootOption | undefined {
  const text = value.byteLength < FIXED + 2 ? undefined : textAt(value, FIXED)
  if (text === undefined) return undefined
  const end = text.end + value.readUInt16LE(4)
  if (end > value.byteLength) return undefined
  return {
    attributes: value.readUInt32LE(0),
    description: text.description,
    devicePath: value.subarray(text.end, end),
    optionalData: value.subarray(end),
  }
}

function withoutHeader(value: Buffer): BootOption | undefined {
  const text = textAt(value, 0)
  if (text === undefined || text.description === '') return undefined
  const rest = value.subarray(text.end)
  const length = devicePathLength(rest)
  if (length === undefined) return undefined
  return {
    description: text.description,
    devicePath: rest.subarray(0, length),
    optionalData: rest.subarray(length),
  }
}

/** UTF-16 text up to its NUL, and where it ends. */
function textAt(value: Buffer, start: number): { readonly description: string; readonly end: number } | undefined {
  for (let at = start; at + 2 <= value.byteLength; at += 2) {
    const unit = value.readUInt16LE(at)
    if (unit === 0) return { description: utf16Text(value.subarray(start, at)), end: at + 2 }
    if (unit < 0x20) return undefined
  }
  return undefined
}
