import { utf16Text } from './text.ts'

/** EFI_LOAD_OPTION: UEFI 2.10 section 3.1.3. */
export interface BootOption {
  readonly description: string
  readonly devicePath: Buffer
}

const FIXED = 6

/** `undefined` where the description does not end, or the paths do not fit. Optional data is left out. */
export function decodeBootOption(value: Buffer): BootOption | undefined {
  if (value.byteLength < FIXED + 2) return undefined
  const pathLength = value.readUInt16LE(4)
  for (let at = FIXED; at + 2 <= value.byteLength; at += 2) {
    if (value[at] !== 0 || value[at + 1] !== 0) continue
    const pathAt = at + 2
    if (pathAt + pathLength > value.byteLength) return undefined
    return {
      description: utf16Text(value.subarray(FIXED, at)),
      devicePath: value.subarray(pathAt, pathAt + pathLength),
    }
  }
  return undefined
}
