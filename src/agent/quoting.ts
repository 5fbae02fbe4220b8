import { quote, readPcrBanks, readUntrustedPcrs, type SignedAttest, type TpmTools } from '../device/index.ts'
import { parsePcrSelection } from '../tpm/index.ts'
import { PCR_BANKS, type PcrBank } from '../wire/index.ts'
import type { Identity } from './identity.ts'

export interface AnsweredQuote extends SignedAttest {
  /** The registers as read in the clear: they let the verifier name the ones at which a log disagrees. */
  readonly untrustedPcrs: Readonly<Record<string, Readonly<Record<string, string>>>>
}

/** The banks to tell the verifier of: those that the TPM implements, allocated or not. */
export async function implementedBanks(tools: TpmTools): Promise<readonly PcrBank[]> {
  const implemented = await readPcrBanks(tools)
  return PCR_BANKS.filter((bank) => implemented.has(bank))
}

/**
 * Quotes what the verifier asked for, which goes by the banks that the node said its TPM has: TPM2_Quote refuses the whole
 * quote for a bank that it has not, and signs an empty selection for one that is not allocated.
 */
export async function quoteAsAsked(
  tools: TpmTools,
  identity: Identity,
  pcrs: string,
  qualifyingData: Uint8Array,
): Promise<AnsweredQuote> {
  const selection = parsePcrSelection(pcrs)
  const signed = await quote(tools, identity.ak, selection, qualifyingData)
  return { ...signed, untrustedPcrs: await readUntrustedPcrs(tools, selection) }
}
