import { createPublicKey, sign, type KeyObject } from 'node:crypto'
import { bitString, constructed, integer, oid, sequence, setOfOne } from '../../src/ca/der-writer.ts'

const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'))

export interface RequestRecipe {
  /** Signs; its public key is in the request unless another is given. */
  readonly signer: KeyObject
  readonly key?: KeyObject
  readonly attributes?: readonly Buffer[]
  readonly version?: bigint
}

/** A PKCS#10 request with an empty subject, DER. */
export function makeRequest({ signer, key = signer, attributes = [], version = 0n }: RequestRecipe): Buffer {
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const info = sequence(integer(version), sequence(), spki, constructed(0, ...attributes))
  return sequence(info, ECDSA_SHA256, bitString(sign('sha256', info, signer)))
}

/** One attribute of a request. */
export function attribute(type: string, value: Buffer): Buffer {
  return sequence(oid(type), setOfOne(value))
}
