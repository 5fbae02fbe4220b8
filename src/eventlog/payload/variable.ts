import { guidText } from './guid.ts'

/** UEFI_VARIABLE_DATA: PC Client Platform Firmware Profile 1.06 section 10.2.6. */
export interface EfiVariable {
  /** Vendor GUID. */
  readonly vendor: string
  readonly name: string
  readonly value: Buffer
  /** Bytes behind the structure; old shims leave some, all other writers none. */
  readonly trailing: number
}

const FIXED = 32
/** Longer names exist nowhere, and a bound keeps a forged length from being turned into text. */
const MAX_NAME = 256

/** Decodes in place; `undefined` for anything that is not the structure. Nothing is copied but the name. */
export function decodeVariable(data: Buffer): EfiVariable | undefined {
  if (data.byteLength < FIXED) return undefined
  const nameLength = smallLength(data, 16)
  const valueLength = smallLength(data, 24)
  if (nameLength === undefined || valueLength === undefined || nameLength === 0 || nameLength > MAX_NAME)
    return undefined
  const valueAt = FIXED + 2 * nameLength
  const trailing = data.byteLength - valueAt - valueLength
  if (trailing < 0) return undefined
  // The high half of every character is zero in every name that exists; an odd name is shown, and trusted, as it is.
  const name = data.toString('utf16le', FIXED, valueAt)
  return { vendor: guidText(data), name, value: data.subarray(valueAt, valueAt + valueLength), trailing }
}

/** A 64-bit length as a number, or `undefined` where its high half is set: no log is that long. */
export function smallLength(data: Buffer, at: number): number | undefined {
  return data.readUInt32LE(at + 4) === 0 ? data.readUInt32LE(at) : undefined
}
