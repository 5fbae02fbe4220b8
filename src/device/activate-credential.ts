import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LoadedEk, LoadedKey } from './create-ek.ts'
import { withEkAuthorization } from './parent-authorization.ts'
import type { TpmTools } from './tool-runner.ts'

/** Magic and version of the file in which tpm2-tools keep a credential (tpm2_makecredential(1)). */
const FILE_HEADER = Buffer.from('badcc0de00000001', 'hex')

export interface Credential {
  /** TPM2B_ID_OBJECT. */
  readonly credentialBlob: Uint8Array
  /** TPM2B_ENCRYPTED_SECRET. */
  readonly encryptedSecret: Uint8Array
}

/**
 * TPM2_ActivateCredential: the secret that was made for exactly this EK and the Name of `key`, in this TPM. The secret
 * passes through a file in the private directory only.
 */
export async function activateCredential(
  tools: TpmTools,
  ek: LoadedEk,
  key: LoadedKey,
  credential: Credential,
): Promise<Buffer> {
  return await tools.exclusively(async (run, scratch) => {
    const credentialFile = join(scratch, 'credential')
    const secretFile = join(scratch, 'secret')
    await writeFile(credentialFile, Buffer.concat([FILE_HEADER, credential.credentialBlob, credential.encryptedSecret]))
    // The file exists with its mode before the tool opens it: the tool itself would use 0660.
    await writeFile(secretFile, '', { mode: 0o600 })
    await withEkAuthorization(run, scratch, ek, '--credentialkey-auth', (authorization) =>
      run('tpm2_activatecredential', [
        ...['--credentialedkey-context', key.context, '--credentialkey-context', ek.context, ...authorization],
        ...['--credential-blob', credentialFile, '--certinfo-data', secretFile],
      ]),
    )
    return await readFile(secretFile)
  })
}
