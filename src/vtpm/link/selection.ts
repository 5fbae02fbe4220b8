import { parsePcrSelection, withoutRegister, type PcrSelection } from '../../tpm/index.ts'

/** Grows with every program that Linux measures, so that it would never be what it was at the host's verdict. */
const RUNTIME_PCR = 10

/** What a host quotes for a link: what the verifier last had it quote (`pcrs` of its attestation key), without PCR 10. */
export function linkSelection(pcrs: string): PcrSelection {
  return withoutRegister(parsePcrSelection(pcrs), RUNTIME_PCR)
}
