/** Where the payload of the first event begins: behind register, type, SHA-1 digest and size. */
const PAYLOAD_AT = 32
const EV_NO_ACTION = 3

/** TCG_EfiSpecIDEvent and its ancestor of TCG 1.2 up to the sizes that follow: signature, class, versions, uintnSize. */
const FIXED_SIZE = 16 + 4 + 4
const SIGNATURE_00 = Buffer.from('Spec ID Event00\0', 'latin1')
const SIGNATURE_03 = Buffer.from('Spec ID Event03\0', 'latin1')

/** reserved u8, version u8 twice, magic u32, max_entries u16, num_entries u16, entry_size u32 */
const VENDOR_SIZE = 15
const MAGIC_AT = 3
const ENTRIES_AT = 9
const CBT1 = 0x31544243
const CBT2 = 0x32544243

export interface CorebootTable {
  /** How many events follow the header. */
  readonly entries: number
}

/**
 * What coreboot says of its table in the vendor's part of the header of a TCG log; `undefined` for a log of any other
 * firmware. O(1).
 *
 * Source: coreboot `Documentation/security/vboot/measured_boot.md`; PC Client Implementation Specification for
 * Conventional BIOS 1.21 section 11.3.4.1 for the header of TCG 1.2.
 */
export function corebootTable(log: Buffer): CorebootTable | undefined {
  if (log.byteLength < PAYLOAD_AT + FIXED_SIZE || log.readUInt32LE(4) !== EV_NO_ACTION) return undefined
  const size = log.readUInt32LE(PAYLOAD_AT - 4)
  const end = PAYLOAD_AT + size
  if (size < FIXED_SIZE + 1 + VENDOR_SIZE || end > log.byteLength) return undefined
  const isSha1 = begins(log, SIGNATURE_00)
  if (!isSha1 && !begins(log, SIGNATURE_03)) return undefined
  // Both versions end with the size of the vendor's part and that part; coreboot's has one size.
  const vendorAt = end - VENDOR_SIZE
  const magic = log.readUInt32LE(vendorAt + MAGIC_AT)
  if (log[vendorAt - 1] !== VENDOR_SIZE || magic !== (isSha1 ? CBT1 : CBT2)) return undefined
  return { entries: log.readUInt16LE(vendorAt + ENTRIES_AT) }
}

function begins(log: Buffer, signature: Buffer): boolean {
  return log.compare(signature, 0, signature.byteLength, PAYLOAD_AT, PAYLOAD_AT + signature.byteLength) === 0
}
