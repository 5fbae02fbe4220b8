import { decode } from '../codec/index.ts'
import { recentValues, view } from '../core/index.ts'
import { TPM2B_PUBLIC } from './public-area.ts'
import type { TpmtPublic } from './public-area.ts'

/** Some thousand keys; each takes two or three times its bytes. */
const MOST_BYTES = 4 * 1024 * 1024

const known = recentValues<TpmtPublic>(MOST_BYTES)

/**
 * Decodes a TPM2B_PUBLIC, and gives the same object for the same bytes: what is made of it once (the imported key, the Name)
 * is then there for the next quote too. `name` begins the path in errors; throws `decode.*`.
 */
export function readPublicArea(name: string, bytes: Uint8Array): TpmtPublic {
  const key = view(bytes).toString('latin1')
  const remembered = known.get(key)
  if (remembered !== undefined) return remembered
  // A copy: whoever owns the bytes may write over them.
  const pub = decode(name, TPM2B_PUBLIC, Buffer.from(bytes))
  known.set(key, pub, 4 * bytes.byteLength + 512)
  return pub
}
