import type { RegisterKind } from './log.ts'

/** Registers 0 to 23 of a PC Client TPM; RTMR logs use 1 to 4. */
export const REGISTERS = 24

/** The registers that a dynamic launch resets: PC Client Platform TPM Profile 1.05 section 4.6.2, table 5. */
const FIRST_LAUNCH_REGISTER = 17
const LAST_LAUNCH_REGISTER = 22

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

/** Whether a PCR holds ones until a dynamic launch, and begins with zeros again with each of them. */
export function isLaunchRegister(pcr: number): boolean {
  return pcr >= FIRST_LAUNCH_REGISTER && pcr <= LAST_LAUNCH_REGISTER
}
