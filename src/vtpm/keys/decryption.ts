import { audited } from './audited.ts'
import type { TenantKeys } from './deps.ts'
import { keyFor } from './lookup.ts'
import { versionOf } from './views.ts'

/** Of RSA-OAEP-256, by the newest version unless one is named: a ciphertext does not say which it is for. */
export async function decryptWith(keys: TenantKeys, name: string, ciphertext: Buffer, version: number | undefined) {
  const record = keyFor(keys, name, 'decrypt')
  const decrypt = async () => {
    const found = versionOf(record, version)
    const plaintext = await keys.hardware.decrypt({ name, version: found.version }, found, ciphertext)
    return { plaintext, version: found.version }
  }
  return await audited(keys, 'decrypt', name, decrypt, ciphertext)
}
