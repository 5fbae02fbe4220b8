import { COMMANDS, decodeResponse } from '../../tpm/index.ts'
import { readHandles } from './command-attributes.ts'
import type { Holder } from './holder.ts'
import { rawCommand, TPM_CC } from './raw-commands.ts'
import { isWithin } from './tenant-ranges.ts'
import type { Execute } from './types.ts'

/** What an index costs the TPM beside its data: its public area, its authorisation value, its place in a list. */
const OVERHEAD = 128

/** Bytes of NV memory that an index of this data size counts for. */
export function nvCost(dataSize: number): number {
  return dataSize + OVERHEAD
}

/** Whether one more index fits the tenant's quota; asks the TPM what there is the first time. */
export async function hasNvRoom(execute: Execute, holder: Holder, dataSize: number): Promise<boolean> {
  holder.nv ??= await readNv(execute, holder)
  let used = nvCost(dataSize)
  for (const bytes of holder.nv.values()) used += bytes
  return used <= holder.config.quota.nvBytes
}

async function readNv(execute: Execute, { config }: Holder): Promise<Map<number, number>> {
  const account = new Map<number, number>()
  for (const index of await readHandles(execute, 0x01000000)) {
    if (!isWithin(config.nvRange, index)) continue
    const result = decodeResponse(COMMANDS.NV_ReadPublic, await execute(rawCommand(TPM_CC.NV_READ_PUBLIC, index)))
    if (result.ok) account.set(index, nvCost(result.response.nvPublic.dataSize))
  }
  return account
}
