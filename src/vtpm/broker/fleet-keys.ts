import { createHmac, createPublicKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { equalBytes, isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import { bytesSchema, decodeBody, encodeBody, MEDIA } from '../../wire/index.ts'
import type { Roots } from '../hardware/index.ts'
import { readIfThere, replaceFile } from '../ledger/index.ts'

const spki = bytesSchema(160)
const kept = z.strictObject({ grantKey: spki, mac: bytesSchema(32, 32) })

/** The key in a PEM file of the configuration. */
export async function readPublicKey(file: string): Promise<Buffer> {
  try {
    return createPublicKey(await readFile(file)).export({ type: 'spki', format: 'der' })
  } catch (cause) {
    throw new TouchstoneError('broker.config', `${file} holds no public key in PEM`, { cause })
  }
}

/**
 * The grant key as the verifier named it, for the times at which it cannot be asked. Whoever owns the disk would put a key of
 * his own there, so it is authenticated under a key that only a good boot opens.
 */
export function grantKeyFile(stateDir: string, roots: Pick<Roots, 'derive'>) {
  const file = join(stateDir, 'grant-key')
  const macOf = (key: Uint8Array) => createHmac('sha256', roots.derive('touchstone grant key v1')).update(key).digest()
  return {
    async read(): Promise<Buffer | undefined> {
      const bytes = await readIfThere(file)
      if (bytes === undefined) return undefined
      // One that somebody else wrote is as good as none: the verifier is asked anyway.
      const found = parse(bytes)
      return found !== undefined && equalBytes(found.mac, macOf(found.grantKey)) ? found.grantKey : undefined
    },
    write: (grantKey: Buffer) => replaceFile(file, encodeBody(MEDIA.cbor, { grantKey, mac: macOf(grantKey) })),
  }
}

function parse(bytes: Buffer): z.output<typeof kept> | undefined {
  try {
    return kept.safeParse(decodeBody(MEDIA.cbor, bytes)).data
  } catch (error) {
    if (isTouchstoneError(error)) return undefined
    throw error
  }
}
