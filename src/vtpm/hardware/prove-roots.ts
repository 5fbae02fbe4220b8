import { encode } from '../../codec/index.ts'
import { COUNTER_SIZE, TPM2B_PUBLIC } from '../../tpm/index.ts'
import type { RootsProof } from '../../wire/index.ts'
import { counterEntity } from './counters.ts'
import { loadUnder } from './sealing.ts'
import type { CreatedBlob, LoadedObject, NodeAk, TpmClient } from './types.ts'

/**
 * The word of the node's AK that its TPM holds these roots, each with `binding` in it. The AK is loaded in `client`, and the
 * transport key is for as long as this takes. Throws `vtpm.sealed_elsewhere`, and `device.tpm` where the TPM was cleared.
 */
export async function proveRoots(
  { client, ak }: { readonly client: TpmClient; readonly ak: NodeAk },
  { root, transportKey }: { readonly root: LoadedObject; readonly transportKey: CreatedBlob },
  binding: Buffer,
): Promise<RootsProof> {
  return await client.scope(async (scope) => {
    const storageRoot = await ak.certify(root, binding)
    const counter = await ak.certifyNv(counterEntity('release'), COUNTER_SIZE, binding)
    const key = await loadUnder(scope, root, transportKey)
    const transport = await ak.certifyCreation(key, binding, transportKey.creation)
    return {
      storageRoot: { publicArea: encode(TPM2B_PUBLIC, root.publicArea), ...storageRoot },
      counter,
      transportKey: { publicArea: transportKey.public, creationData: transportKey.creation.data, ...transport },
    }
  })
}
