import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunTool } from './tool-runner.ts'

/** TPM2_ReadPublic of a context file or a handle: TPM2B_PUBLIC. */
export async function readPublic(run: RunTool, scratch: string, object: string): Promise<Buffer> {
  const output = join(scratch, 'public')
  await run('tpm2_readpublic', ['--object-context', object, '--output', output])
  return await readFile(output)
}
