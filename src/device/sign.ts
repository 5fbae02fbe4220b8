import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LoadedKey } from './create-ek.ts'
import type { TpmTools } from './tool-runner.ts'

/** TPM2_Sign over a SHA-256 digest with an ECDSA key that is not restricted. Answers DER Ecdsa-Sig-Value (RFC 3279). */
export async function signDigest(tools: TpmTools, key: LoadedKey, sha256: Uint8Array): Promise<Buffer> {
  return await tools.exclusively(async (run, scratch) => {
    const digestFile = join(scratch, 'digest')
    const signatureFile = join(scratch, 'signature')
    await writeFile(digestFile, sha256)
    await run('tpm2_sign', [
      ...['--key-context', key.context, '--hash-algorithm', 'sha256', '--scheme', 'ecdsa'],
      ...['--digest', '--format', 'plain', '--signature', signatureFile, digestFile],
    ])
    return await readFile(signatureFile)
  })
}
