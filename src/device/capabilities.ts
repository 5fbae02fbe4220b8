import { TouchstoneError } from '../core/index.ts'
import type { TpmTools } from './tool-runner.ts'

type HandleKind = 'transient' | 'persistent' | 'nv-index' | 'loaded-session' | 'saved-session'

/** TPM2_GetCapability(TPM_CAP_HANDLES): the handles in use, ascending. */
export async function readHandles(tools: TpmTools, kind: HandleKind): Promise<readonly number[]> {
  const text = await tools.exclusively((run) => run('tpm2_getcap', [`handles-${kind}`]))
  return [...text.matchAll(/^- 0x([0-9A-Fa-f]{1,8})$/gm)].map(([, hex = '']) => Number.parseInt(hex, 16))
}

/** TPM2_GetCapability(TPM_CAP_PCRS): each bank that the TPM implements and its registers; none where it is not allocated. */
export async function readPcrBanks(tools: TpmTools): Promise<ReadonlyMap<string, readonly number[]>> {
  const text = await tools.exclusively((run) => run('tpm2_getcap', ['pcrs']))
  const banks = [...text.matchAll(/^ {2}- ([a-z0-9_]+): \[([ 0-9,]*)\]$/gm)].map(
    ([, bank = '', registers = '']) =>
      [
        bank,
        registers
          .split(',')
          .map((part) => part.trim())
          .filter((part) => part !== '')
          .map(Number),
      ] as const,
  )
  if (banks.length === 0) throw new TouchstoneError('device.tool', 'tpm2_getcap: no PCR banks in what it printed')
  return new Map(banks)
}
