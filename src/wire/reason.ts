import { z } from 'zod'

/** Why something is changed, in the words of who does; kept with the change. */
export const reason = z
  .string()
  .trim()
  .min(1, 'expected why')
  .max(1024)
  .regex(/^[^\p{Cc}\p{Cf}]*$/u, 'expected one line of text')
