import { toHex, TouchstoneError } from '../src/core/index.ts'
import type { HashName } from '../src/tpm/index.ts'
import type { Boot, PcrValues } from './boots.ts'
import type { Measurement } from './firmware.ts'
import { readKernelMeasurements } from './kernel.ts'
import type { Tpm } from './tpm-commands.ts'

/** Called after each measurement. */
export type Progress = (state: { readonly done: number; readonly total: number; readonly what: string }) => void

/**
 * Extends a TPM that was just started with everything that the firmware (`measurements`) and the kernel (the boot's IMA
 * log) measured, in their order, then compares all PCRs with the recorded ones. Throws `standin.state` for a TPM that
 * something was measured into before, `standin.pcrs` when the outcome is not the recorded one: the stand-in would lie.
 */
export async function measure(
  tpm: Tpm,
  measurements: readonly Measurement[],
  boot: Boot,
  onProgress: Progress,
): Promise<void> {
  const banks = await tpm.banks()
  await assertUnmeasured(tpm, banks)
  const all = [...measurements, ...(boot.imaLog === undefined ? [] : readKernelMeasurements(boot.imaLog, boot.pcrs))]
  for (const [index, measurement] of all.entries()) {
    await tpm.extend(measurement, banks)
    onProgress({ done: index + 1, total: all.length, what: measurement.what })
  }
  if (boot.pcrs !== undefined) await compare(tpm, banks, boot.pcrs)
}

/** PCR 0 is left out: from power-on it holds the startup locality, or what the H-CRTM measured. */
async function assertUnmeasured(tpm: Tpm, banks: readonly HashName[]): Promise<void> {
  for (const bank of banks) {
    const values = await tpm.pcrs(bank)
    const used = values.findIndex((value, pcr) => pcr > 0 && pcr < 16 && value.some((byte) => byte !== 0))
    if (used >= 0) throw new TouchstoneError('standin.state', `PCR ${used} has been measured into since power-on`)
  }
}

async function compare(tpm: Tpm, banks: readonly HashName[], recorded: PcrValues): Promise<void> {
  const differences: string[] = []
  for (const [bank, registers] of Object.entries(recorded)) {
    const hash = banks.find((name) => name === bank)
    if (hash === undefined) {
      differences.push(`the TPM has no ${bank} bank`)
      continue
    }
    const values = await tpm.pcrs(hash)
    for (const [pcr, expected] of Object.entries(registers)) {
      const actual = values[Number(pcr)]
      if (actual === undefined || toHex(actual) !== expected) differences.push(`${bank}:${pcr}`)
    }
  }
  if (differences.length > 0) {
    throw new TouchstoneError('standin.pcrs', `not as recorded: ${differences.join(', ')}`)
  }
}
