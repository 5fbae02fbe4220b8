import { z } from 'zod'

/**
 * Registers as the node reads them, by bank and number, hex. Unsigned: believed only when they hash to the signed digest,
 * and then only to name the registers at which a log disagrees.
 */
export const registerValues = z.record(
  z.string().regex(/^[a-z0-9_]{1,16}$/, 'expected the name of a bank'),
  z.record(
    z.string().regex(/^\d{1,2}$/, 'expected a register number'),
    z.string().regex(/^[0-9a-f]{2,128}$/, 'expected hex'),
  ),
)
