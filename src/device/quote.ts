import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../core/index.ts'
import { formatPcrSelection, type PcrSelection } from '../tpm/index.ts'
import type { SignedAttest } from './certify-creation.ts'
import type { LoadedKey } from './create-ek.ts'
import type { TpmTools } from './tool-runner.ts'

/**
 * TPM2_Quote over `selection`. The TPM signs an empty selection for a bank that it has and that is not allocated; a
 * bank that it does not have at all makes it refuse the whole quote.
 */
export async function quote(
  tools: TpmTools,
  key: LoadedKey,
  selection: PcrSelection,
  qualifyingData: Uint8Array,
): Promise<SignedAttest> {
  return await tools.exclusively(async (run, scratch) => {
    const file = (name: string) => join(scratch, name)
    await run('tpm2_quote', [
      ...['--key-context', key.context, '--pcr-list', formatPcrSelection(selection)],
      ...['--hash-algorithm', 'sha256', '--qualification', toHex(qualifyingData)],
      ...['--message', file('quote'), '--signature', file('signature'), '--format', 'tss'],
    ])
    return { attest: await readFile(file('quote')), signature: await readFile(file('signature')) }
  })
}
