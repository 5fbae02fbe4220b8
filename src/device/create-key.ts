import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LoadedEk } from './create-ek.ts'
import { withEkAuthorization } from './parent-authorization.ts'
import type { TpmTools } from './tool-runner.ts'

/** A key outside the TPM: only this TPM can load it, and only until it is cleared. */
export interface KeyBlob {
  /** TPM2B_PUBLIC. */
  readonly publicArea: Buffer
  /** TPM2B_PRIVATE, encrypted by the parent. */
  readonly privateArea: Buffer
  /** Digest of the creation data and the ticket over it, which TPM2_CertifyCreation asks for. */
  readonly creationHash: Buffer
  readonly creationTicket: Buffer
}

/**
 * Both are ECDSA P-256 with SHA-256 and cannot leave the TPM. `noda`: a key without it stops working when power cuts
 * count as authorisation failures. `attestation` is restricted: it signs only what the TPM itself made.
 */
const ATTRIBUTES = {
  attestation: 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign|restricted',
  signing: 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign',
} as const

/**
 * TPM2_Create under the EK. tpm2_createak would leave noDA out, and `tpm2_create -c` (5.4) fails when creation data is
 * asked for, so the key is made here and loaded by `loadKey`.
 */
export async function createKey(tools: TpmTools, ek: LoadedEk, purpose: keyof typeof ATTRIBUTES): Promise<KeyBlob> {
  return await tools.exclusively(async (run, scratch) => {
    const file = (name: string) => join(scratch, name)
    await withEkAuthorization(run, scratch, ek, '--parent-auth', (authorization) =>
      run('tpm2_create', [
        ...['--parent-context', ek.context, ...authorization],
        ...['--key-algorithm', 'ecc256:ecdsa-sha256:null', '--hash-algorithm', 'sha256'],
        ...['--attributes', ATTRIBUTES[purpose], '--public', file('pub'), '--private', file('priv')],
        ...['--creation-hash', file('hash'), '--creation-ticket', file('ticket')],
      ]),
    )
    return {
      publicArea: await readFile(file('pub')),
      privateArea: await readFile(file('priv')),
      creationHash: await readFile(file('hash')),
      creationTicket: await readFile(file('ticket')),
    }
  })
}
