import type { RegisterKind } from './log.ts'

/** UEFI 2.10 section 38.4.1: which PCRs an RTMR stands for, by its number in the log (RTMR + 1). */
const PCRS_OF_RTMR: readonly (readonly number[])[] = [[0], [1, 7], [2, 3, 4, 5, 6], [8, 9, 10, 11, 12, 13, 14, 15], []]

/** The register that holds what a TPM would have in this PCR. */
export function registerOf(kind: RegisterKind, pcr: number): number {
  return kind === 'pcr' ? pcr : PCRS_OF_RTMR.findIndex((pcrs) => pcrs.includes(pcr))
}

/** Whether a type that belongs in `pcrs` may occur in a register. */
export function mayOccurIn(kind: RegisterKind, register: number, pcrs: readonly number[]): boolean {
  if (kind === 'pcr') return pcrs.includes(register)
  return pcrs.some((pcr) => registerOf(kind, pcr) === register)
}
