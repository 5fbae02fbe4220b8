import { TouchstoneError } from '../core/index.ts'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EK_PREFERENCE, ekRow, type EkKind } from './ek-templates.ts'
import { readHandles } from './capabilities.ts'
import type { RunTool, TpmTools } from './tool-runner.ts'

/** The largest NV index that is read; certificates of real TPMs stay below 2 KiB, on-die chains below 8. */
const MAX_NV_SIZE = 16_384

/** On-die certificate chains (EK Credential Profile 2.5, 2.2.1.5.2): read in this range, in ascending order. */
const CHAIN_FIRST = 0x01c00100
const CHAIN_LAST = 0x01c001ff

/**
 * The content of an NV index that is readable without a secret: by its own empty auth value, else by the owner's. Throws
 * `device.nv_size` before anything is read when the index is larger than {@link MAX_NV_SIZE}.
 */
export async function readNv(tools: TpmTools, index: number): Promise<Buffer> {
  const handle = `0x${index.toString(16)}`
  return await tools.exclusively(async (run, scratch) => {
    const size = await sizeOf(run, handle)
    if (size > MAX_NV_SIZE) throw new TouchstoneError('device.nv_size', `NV index ${handle} has ${size} bytes`)
    const output = join(scratch, 'nv')
    const read = (hierarchy: readonly string[]) =>
      run('tpm2_nvread', [handle, ...hierarchy, '--size', size.toString(), '--output', output])
    try {
      await read([])
    } catch {
      await read(['--hierarchy', 'owner'])
    }
    return await readFile(output)
  })
}

async function sizeOf(run: RunTool, handle: string): Promise<number> {
  const text = await run('tpm2_nvreadpublic', [handle])
  const size = /^ +size: (\d{1,5})$/m.exec(text)?.[1]
  if (size === undefined) throw new TouchstoneError('device.tool', `tpm2_nvreadpublic: no size for ${handle}`)
  return Number(size)
}

export interface EndorsementMaterial {
  /** By kind, best first: the NV content as it is, which may have a header and padding around the certificate. */
  readonly certificates: readonly { readonly kind: EkKind; readonly content: Buffer }[]
  /** The on-die chain: concatenated certificates, as they are. */
  readonly chain: Buffer
}

/** Reads whatever EK certificates the TPM carries. An index that cannot be read is left out. */
export async function readEndorsementMaterial(tools: TpmTools): Promise<EndorsementMaterial> {
  const present = await readHandles(tools, 'nv-index')
  const certificates: { kind: EkKind; content: Buffer }[] = []
  for (const kind of EK_PREFERENCE) {
    const { certificateIndex } = ekRow(kind)
    if (!present.includes(certificateIndex)) continue
    const content = await readable(tools, certificateIndex)
    if (content !== undefined) certificates.push({ kind, content })
  }
  const chain: Buffer[] = []
  for (const index of present.filter((handle) => handle >= CHAIN_FIRST && handle <= CHAIN_LAST)) {
    const content = await readable(tools, index)
    if (content !== undefined) chain.push(content)
  }
  return { certificates, chain: Buffer.concat(chain) }
}

async function readable(tools: TpmTools, index: number): Promise<Buffer | undefined> {
  try {
    return await readNv(tools, index)
  } catch (error) {
    if (error instanceof TouchstoneError && ['device.tpm', 'device.nv_size'].includes(error.code)) return undefined
    throw error
  }
}
