import { generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto'
import { toBase64Url, toHex, uuidV7 } from '../../../src/core/index.ts'
import { GRANT_TYPE } from '../../../src/wire/index.ts'

export const SOURCE = randomUUID()
export const DESTINATION = randomUUID()

interface Destination {
  readonly nodeRef: Buffer
  readonly transportSpki: Buffer
}

/** A verifier as far as brokers see one: the key that signs grants. */
export function grantAuthority() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  let now = Date.now()
  const issue = (claims: Readonly<Record<string, unknown>>, by = privateKey): string => {
    const text = (part: unknown) => toBase64Url(Buffer.from(JSON.stringify(part)))
    // Each is a millisecond later than the one before, as their ids say.
    const common = {
      jti: uuidV7(++now, randomBytes(10)),
      iss: 'verifier',
      iat: 0,
      exp: Math.floor(Date.now() / 1000) + 600,
    }
    const signed = `${text({ alg: 'ES256', typ: GRANT_TYPE, kid: 'k' })}.${text({ ...common, ...claims })}`
    return `${signed}.${toBase64Url(sign('sha256', Buffer.from(signed), { key: by, dsaEncoding: 'ieee-p1363' }))}`
  }
  const place = ({ nodeRef, transportSpki }: Destination) => ({
    nodeRef: toHex(nodeRef),
    transportKey: toBase64Url(transportSpki),
  })
  return {
    spki: publicKey.export({ type: 'spki', format: 'der' }),
    issue,
    restore: (guest: string, digest: string, to: Destination, more: object = {}) =>
      issue({ kind: 'restore', guest, tenant: 'lab', node: SOURCE, generation: 1, digest, ...place(to), ...more }),
    migrate: (guest: string, to: Destination, more: object = {}) =>
      issue({
        kind: 'migrate',
        guest,
        tenant: 'lab',
        node: DESTINATION,
        source: SOURCE,
        generation: 1,
        ...place(to),
        ...more,
      }),
  }
}
