import { decode } from '../../codec/index.ts'
import { TouchstoneError } from '../../core/index.ts'
import { COMMANDS, padCoordinate, pointOnCurve, spkiOf, TPM2B_PUBLIC } from '../../tpm/index.ts'
import { loadUnder } from './sealing.ts'
import type { LoadedObject, SealedBlob, TpmClient, TransportKey } from './types.ts'

const SIZE = 32

/** `authValue` throws `vtpm.locked` as long as the node secret is not unsealed. */
export function transportKey(
  client: TpmClient,
  root: LoadedObject,
  blob: SealedBlob,
  authValue: () => Buffer,
): TransportKey {
  const publicArea = decode('TPM2B_PUBLIC', TPM2B_PUBLIC, blob.public)
  const loaded: TransportKey['loaded'] = async (work) => {
    const value = authValue()
    try {
      return await client.scope(async (scope) => {
        const key = await loadUnder(scope, root, blob)
        const session = await scope.startSession('hmac', root)
        return await work(scope, key, session.use({ authValue: value }))
      })
    } finally {
      value.fill(0)
    }
  }
  return {
    spki: spkiOf(publicArea),
    publicArea: blob.public,
    loaded,
    async agree(peerSpki) {
      const inPoint = pointOf(peerSpki)
      const value = authValue()
      try {
        return await client.scope(async (scope) => {
          const key = await loadUnder(scope, root, blob)
          const session = await scope.startSession('hmac', root)
          const authorisation = session.use({ authValue: value, encrypt: true, last: true })
          const { outPoint } = await scope.run(COMMANDS.ECDH_ZGen, { keyHandle: key }, { inPoint }, [authorisation])
          return padCoordinate(outPoint.x, SIZE)
        })
      } finally {
        value.fill(0)
      }
    },
  }
}

function pointOf(spki: Uint8Array): { readonly x: Buffer; readonly y: Buffer } {
  const point = pointOnCurve(spki, 'nist_p256')
  if (point === undefined) throw new TouchstoneError('vtpm.transport_peer')
  return point
}
