import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { makeVendorCa, manufacture, type Box, type VendorCa } from '../../swtpm/index.ts'

export interface Factory {
  readonly directory: string
  readonly vendorCa: VendorCa
  make(name: string, serial?: string): Promise<Box>
  close(): Promise<void>
}

/** A vendor of its own in a fresh directory. */
export async function openFactory(): Promise<Factory> {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-box-'))
  const vendorCa = await makeVendorCa(join(directory, 'vendor'))
  return {
    directory,
    vendorCa,
    make: (name, serial) =>
      manufacture({
        directory: join(directory, name),
        vendorCa,
        model: 'Edge One',
        ...(serial === undefined ? {} : { serial }),
      }),
    close: () => rm(directory, { recursive: true, force: true }),
  }
}

/** Runs one of tpm2-tools, which print and write what an independent program sees in the TPM. */
export async function tpm2(tcti: string, tool: string, ...args: string[]): Promise<Buffer> {
  const env = { TPM2TOOLS_TCTI: tcti, TSS2_LOG: 'all+none' }
  const { stdout } = await execa(tool, args, { env, encoding: 'buffer', timeout: 30_000 })
  return Buffer.from(stdout)
}

/** The PCRs of a bank as tpm2_pcrread prints them, in lower case. */
export async function pcrsOf(tcti: string, bank: string): Promise<readonly string[]> {
  const text = (await tpm2(tcti, 'tpm2_pcrread', `${bank}:all`)).toString()
  return [...text.matchAll(/^ +\d+ *: 0x([0-9A-F]+)$/gm)].map(([, value = '']) => value.toLowerCase())
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
