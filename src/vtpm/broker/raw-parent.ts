import { createHmac } from 'node:crypto'
import { join } from 'node:path'
import { mkdir } from 'node:fs/promises'
import { z } from 'zod'
import { equalBytes, TouchstoneError } from '../../core/index.ts'
import { storageKeyTemplate } from '../../tpm/index.ts'
import { bytesSchema, decodeBody, encodeBody, LIMITS, MEDIA } from '../../wire/index.ts'
import type { Roots, SealedBlob } from '../hardware/index.ts'
import type { TenantParent } from '../lane/index.ts'
import { readIfThere, replaceFile } from '../ledger/index.ts'

const kept = z.strictObject({
  public: bytesSchema(LIMITS.structure),
  private: bytesSchema(LIMITS.structure),
  mac: bytesSchema(32, 32),
})

/**
 * The storage key that a tenant of raw TPM commands keeps its keys under, made at its first start. Its authorisation is
 * empty, as tools expect of 0x81000001: what keeps others away is that no other socket can load it. A TPM imports keys for
 * whoever asks, so somebody with the disk could plant one whose seed he knows, or swap two tenants'; the file is therefore
 * authenticated, with the tenant's name, under a key that only a good boot opens. Throws `vtpm.hardware_state`.
 */
export async function parentOf(
  roots: Pick<Roots, 'createChild' | 'parentLoader' | 'derive'>,
  stateDir: string,
  tenant: string,
): Promise<TenantParent> {
  const directory = join(stateDir, 'parents')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const file = join(directory, tenant)
  const macOf = (blob: SealedBlob) =>
    createHmac('sha256', roots.derive('touchstone tenant parent v1'))
      .update(encodeBody(MEDIA.cbor, [tenant, blob.public, blob.private]))
      .digest()
  const bytes = await readIfThere(file)
  if (bytes === undefined) {
    const made = await roots.createChild(storageKeyTemplate())
    await replaceFile(file, encodeBody(MEDIA.cbor, { public: made.public, private: made.private, mac: macOf(made) }))
    return roots.parentLoader(made)
  }
  const { mac, ...blob } = parse(bytes, file)
  if (!equalBytes(mac, macOf(blob))) {
    throw new TouchstoneError('vtpm.hardware_state', `${file} was not written by this broker for ${tenant}`)
  }
  return roots.parentLoader(blob)
}

function parse(bytes: Buffer, file: string): z.output<typeof kept> {
  const parsed = kept.safeParse(decodeBody(MEDIA.cbor, bytes))
  if (parsed.success) return parsed.data
  throw new TouchstoneError('vtpm.hardware_state', `${file} holds no storage key`)
}
