import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TouchstoneError } from '../core/index.ts'
import type { LoadedEk, LoadedKey } from './create-ek.ts'
import type { KeyBlob } from './create-key.ts'
import { withEkAuthorization } from './parent-authorization.ts'
import { responseCodeOf } from './tool-error.ts'
import type { TpmTools } from './tool-runner.ts'

/** TPM_RC_INTEGRITY: the parent's proof value is not the one that the blob was wrapped under. */
const INTEGRITY = 0x9f

/**
 * TPM2_Load under the EK; `name` tells context files apart. Throws `device.tpm_cleared` when this TPM, as it is now,
 * did not wrap the key: TPM2_Clear keeps the EK and makes every key under it useless.
 */
export async function loadKey(
  tools: TpmTools,
  ek: LoadedEk,
  name: string,
  blob: Pick<KeyBlob, 'publicArea' | 'privateArea'>,
): Promise<LoadedKey> {
  const context = join(tools.contexts, `${name}.ctx`)
  return await tools.exclusively(async (run, scratch) => {
    const publicFile = join(scratch, 'pub')
    const privateFile = join(scratch, 'priv')
    await writeFile(publicFile, blob.publicArea)
    await writeFile(privateFile, blob.privateArea, { mode: 0o600 })
    try {
      await withEkAuthorization(run, scratch, ek, '--auth', (authorization) =>
        run('tpm2_load', [
          ...['--parent-context', ek.context, ...authorization],
          ...['--public', publicFile, '--private', privateFile, '--key-context', context],
        ]),
      )
    } catch (error) {
      if (responseCodeOf(error) !== INTEGRITY) throw error
      throw new TouchstoneError('device.tpm_cleared', `the TPM no longer knows the key '${name}'`, { cause: error })
    }
    return { context, publicArea: blob.publicArea }
  })
}
