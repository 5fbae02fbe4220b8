import { smallLength } from './variable.ts'

/** UEFI_IMAGE_LOAD_EVENT: PC Client Platform Firmware Profile 1.06 section 10.2.3. Nothing of it is measured. */
export interface ImageLoad {
  readonly length: bigint
  readonly devicePath: Buffer
}

const FIXED = 32

/** A device path that is longer than the payload is cut off there, since old shims write one length and mean another. */
export function decodeImageLoad(data: Buffer): ImageLoad | undefined {
  if (data.byteLength < FIXED) return undefined
  const pathLength = smallLength(data, 24) ?? 0
  return {
    length: data.readBigUInt64LE(8),
    devicePath: data.subarray(FIXED, Math.min(FIXED + pathLength, data.byteLength)),
  }
}
