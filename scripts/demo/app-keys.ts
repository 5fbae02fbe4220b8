import { createLocalJWKSet, jwtVerify } from 'jose'
import { openKeysClient } from '../../src/vtpm/keys/client.ts'
import type { BrokerNode } from '../stage/broker-node.ts'
import { TENANT } from './guests.ts'
import type { Transcript } from './transcript.ts'

const KEY = 'orders'

/** An app beside the guests: it knows a socket, and nothing of TPMs. */
export async function keysChapter(show: Transcript, { broker }: BrokerNode): Promise<void> {
  show.chapter(8, 'Keys for apps', 'named keys in the hardware TPM, over HTTP on the socket of a tenant')
  const keys = openKeysClient(broker.keysSocket(TENANT))
  const { kid, algorithm } = await show.step(`touchstone key create ${KEY}`, async () => {
    const { algorithm: of, versions } = await keys.create(KEY, { kind: 'ecdsa-p256' })
    return { algorithm: of, kid: versions.at(-1)?.kid }
  })
  show.fact('key', `${algorithm ?? ''} ${kid ?? ''}`)
  const token = await show.step('the TPM signs a token for the app', () =>
    keys.token(KEY, { claims: { sub: 'order 17' }, expiresIn: 300 }),
  )
  const { payload, protectedHeader } = await show.step(
    'whoever has the published JWK verifies it with jose',
    async () => {
      const published = { keys: [...(await keys.jwks()).keys] }
      return await jwtVerify(token, createLocalJWKSet(published), { algorithms: ['ES256'] })
    },
  )
  if (protectedHeader.kid !== kid) throw new Error('another key signed')
  show.fact('says', `${payload.sub ?? ''}, by the key ${protectedHeader.kid ?? ''}`)
}
