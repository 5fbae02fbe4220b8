import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../core/index.ts'
import type { LoadedKey } from './create-ek.ts'
import type { KeyBlob } from './create-key.ts'
import type { TpmTools } from './tool-runner.ts'

/** What a restricted key signed. */
export interface SignedAttest {
  /** TPMS_ATTEST. */
  readonly attest: Buffer
  /** TPMT_SIGNATURE. */
  readonly signature: Buffer
}

/**
 * TPM2_CertifyCreation: `signer` states that `key` was made in this TPM with exactly this public area, for
 * `qualifyingData` (at most 64 bytes). tpm2_certify would not do: 5.4 fixes its qualifying data.
 */
export async function certifyCreation(
  tools: TpmTools,
  signer: LoadedKey,
  key: LoadedKey,
  creation: Pick<KeyBlob, 'creationHash' | 'creationTicket'>,
  qualifyingData: Uint8Array,
): Promise<SignedAttest> {
  return await tools.exclusively(async (run, scratch) => {
    const file = (name: string) => join(scratch, name)
    await writeFile(file('hash'), creation.creationHash)
    await writeFile(file('ticket'), creation.creationTicket)
    await run('tpm2_certifycreation', [
      ...['--signingkey-context', signer.context, '--certifiedkey-context', key.context],
      ...['--creation-hash', file('hash'), '--ticket', file('ticket')],
      ...['--hash-algorithm', 'sha256', '--scheme', 'ecdsa', '--qualification', toHex(qualifyingData)],
      ...['--attestation', file('attest'), '--signature', file('signature'), '--format', 'tss'],
    ])
    return { attest: await readFile(file('attest')), signature: await readFile(file('signature')) }
  })
}
