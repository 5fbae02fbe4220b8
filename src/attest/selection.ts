import type { HashName, PcrSelection } from '../tpm/index.ts'

/** Banks that TPMs in the field have, beside the judged one. */
const OTHER_BANKS: readonly HashName[] = ['sha1', 'sha256', 'sha384', 'sha512']
const FIRMWARE_PCRS = [0, 1, 2, 3, 4, 5, 6, 7]

/**
 * What a verifier asks a node to quote: the policy's selection, and PCR 0 to 7 of every other bank, so that an enabled
 * bank nobody measured into is seen. `implemented`: the banks that this TPM can be asked for at all, because TPM2_Quote
 * fails for a hash that the TPM does not have; one that it has and did not allocate answers with an empty selection.
 */
export function selectionToAsk(pcrs: PcrSelection, implemented: readonly HashName[] = OTHER_BANKS): PcrSelection {
  const named = pcrs.map(({ hash }) => hash)
  const others = implemented.filter((hash) => OTHER_BANKS.includes(hash) && !named.includes(hash))
  return [...pcrs, ...others.map((hash) => ({ hash, pcrs: FIRMWARE_PCRS }))]
}
