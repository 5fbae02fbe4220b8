import {
  quotableSelection,
  quote,
  readPcrBanks,
  readUntrustedPcrs,
  type SignedAttest,
  type TpmTools,
} from '../device/index.ts'
import { parsePcrSelection } from '../tpm/index.ts'
import type { Identity } from './identity.ts'

export interface AnsweredQuote extends SignedAttest {
  /** The registers as read in the clear: they let the verifier name the ones at which a log disagrees. */
  readonly untrustedPcrs: Readonly<Record<string, Readonly<Record<string, string>>>>
}

/**
 * Quotes what the verifier asked for. Banks that this TPM does not implement at all are left out, because it would refuse
 * the whole quote; what is missing shows in what it signs.
 */
export async function quoteAsAsked(
  tools: TpmTools,
  identity: Identity,
  pcrs: string,
  qualifyingData: Uint8Array,
): Promise<AnsweredQuote> {
  const implemented = new Set((await readPcrBanks(tools)).keys())
  const selection = quotableSelection(parsePcrSelection(pcrs), implemented)
  const signed = await quote(tools, identity.ak, selection, qualifyingData)
  return { ...signed, untrustedPcrs: await readUntrustedPcrs(tools, selection) }
}
