import { z } from 'zod'

/** Banks that a verifier looks at, and nothing is lost when a TPM has others beside them. */
export const PCR_BANKS = ['sha1', 'sha256', 'sha384', 'sha512'] as const

export type PcrBank = (typeof PCR_BANKS)[number]

/**
 * Which of these banks the node's TPM implements, allocated or not: TPM2_Quote fails for a hash that the TPM does not
 * have. Claimed by the node and kept from its enrolment on; the judged bank is asked for in any case. One order, so that
 * one set has one spelling.
 */
export const pcrBanks = z
  .array(z.enum(PCR_BANKS))
  .max(PCR_BANKS.length)
  .default([...PCR_BANKS])
  .transform((banks) => PCR_BANKS.filter((bank) => banks.includes(bank)))
