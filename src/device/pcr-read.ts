import { formatPcrSelection, type PcrSelection } from '../tpm/index.ts'
import type { TpmTools } from './tool-runner.ts'

/**
 * TPM2_PCR_Read: `{ bank: { "0": hex } }`, banks that are not allocated empty. The values are the TPM's word in the clear,
 * unsigned: good for a person or to localise a mismatch, never for a judgement.
 */
export async function readUntrustedPcrs(
  tools: TpmTools,
  selection: PcrSelection,
): Promise<Readonly<Record<string, Readonly<Record<string, string>>>>> {
  const text = await tools.exclusively((run) => run('tpm2_pcrread', [formatPcrSelection(selection)]))
  const banks: Record<string, Record<string, string>> = {}
  let registers: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const bank = /^ {2}([a-z0-9_]+):$/.exec(line)?.[1]
    if (bank !== undefined) banks[bank] = registers = {}
    const [, register, value] = /^ {4}(\d{1,2}) *: 0x([0-9A-Fa-f]+)$/.exec(line) ?? []
    if (register !== undefined && value !== undefined) registers[register] = value.toLowerCase()
  }
  return banks
}
