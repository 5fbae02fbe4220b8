import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TpmTools } from './tool-runner.ts'

/** TPM2_ReadPublic of a persistent handle: TPM2B_PUBLIC. */
export async function readPublic(tools: TpmTools, handle: number): Promise<Buffer> {
  return await tools.exclusively(async (run, scratch) => {
    const output = join(scratch, 'pub')
    await run('tpm2_readpublic', ['--object-context', `0x${handle.toString(16)}`, '--output', output])
    return await readFile(output)
  })
}
