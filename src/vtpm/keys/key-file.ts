import { createHmac } from 'node:crypto'
import { z } from 'zod'
import { decode } from '../../codec/index.ts'
import { equalBytes, TouchstoneError, view } from '../../core/index.ts'
import { TPM2B_PRIVATE, TPM2B_PUBLIC } from '../../tpm/index.ts'
import { bytesSchema, decodeBody, encodeBody, KEY_LIMITS, keyKind, keyUse, MEDIA } from '../../wire/index.ts'
import type { SealedBlob } from '../hardware/index.ts'
import type { KeyRecord } from './records.ts'

// A file is a MAC of 32 bytes and the JSON that it is over. The MAC's key is derived from the node secret, so that nobody
// makes or changes a file who is not this broker after a boot that the fleet allows; the JSON names tenant and key, so
// that a genuine file in another place is known as such.

const MAC_SIZE = 32
/** All versions of a secret of the largest size, with room for their names and certificates. */
export const MAX_FILE = MAC_SIZE + KEY_LIMITS.versions * (2 * KEY_LIMITS.secret + 64 * 1024)

const blob = { public: bytesSchema(1024), private: bytesSchema(2050) }
const milliseconds = z.number().int().min(0)

const keyFile = z.strictObject({
  format: z.literal('touchstone/key/v1'),
  tenant: z.string(),
  name: z.string(),
  kind: keyKind,
  uses: z.array(keyUse).min(1),
  created: milliseconds,
  next: z.number().int().min(2),
  versions: z
    .array(
      z.strictObject({
        version: z.number().int().min(1),
        created: milliseconds,
        ...blob,
        sealed: z
          .strictObject({
            iv: bytesSchema(12, 12),
            tag: bytesSchema(16, 16),
            ciphertext: bytesSchema(KEY_LIMITS.secret),
          })
          .exactOptional(),
        pcrs: z.string().exactOptional(),
        certificate: z.array(z.string()).exactOptional(),
      }),
    )
    .min(1)
    .max(KEY_LIMITS.versions),
})

const parentFile = z.strictObject({ format: z.literal('touchstone/key-parent/v1'), tenant: z.string(), ...blob })

export interface FileCodec {
  encodeKey(record: KeyRecord): Buffer
  /** Throws `key.damaged` for what this broker did not write, `key.misplaced` for what it wrote for another place. */
  decodeKey(name: string, bytes: Uint8Array): KeyRecord
  encodeParent(parent: SealedBlob): Buffer
  decodeParent(bytes: Uint8Array): SealedBlob
}

/** How the files of one tenant are written and read; `macKey` is this node's, 32 bytes. */
export function fileCodec(tenant: string, macKey: Uint8Array): FileCodec {
  const macOf = (json: Uint8Array) =>
    createHmac('sha256', macKey).update('touchstone key file v1\0').update(json).digest()
  const encode = (content: unknown): Buffer => {
    const json = encodeBody(MEDIA.json, content)
    return Buffer.concat([macOf(json), json])
  }
  const read = <T extends { readonly tenant: string }>(schema: z.ZodType<T>, bytes: Uint8Array): T => {
    const all = view(bytes)
    const json = all.subarray(MAC_SIZE)
    if (all.byteLength < MAC_SIZE || all.byteLength > MAX_FILE) throw new TouchstoneError('key.damaged')
    if (!equalBytes(all.subarray(0, MAC_SIZE), macOf(json))) throw new TouchstoneError('key.damaged')
    const parsed = schema.safeParse(decodeBody(MEDIA.json, json))
    if (!parsed.success) throw new TouchstoneError('key.damaged', 'the file has a format that is not known here')
    if (parsed.data.tenant !== tenant) throw new TouchstoneError('key.misplaced', 'the file is that of another tenant')
    return parsed.data
  }
  return {
    encodeKey: ({ versions, ...rest }) =>
      encode({
        format: 'touchstone/key/v1',
        tenant,
        ...rest,
        versions: versions.map(({ blob: { public: area, private: wrapped }, publicArea: _, ...version }) => ({
          ...version,
          public: area,
          private: wrapped,
        })),
      }),
    decodeKey(name, bytes) {
      const { format: _format, tenant: _tenant, versions, ...rest } = read(keyFile, bytes)
      if (rest.name !== name) throw new TouchstoneError('key.misplaced', `the file is that of ${rest.name}`)
      return {
        ...rest,
        versions: versions.map(({ public: area, private: wrapped, ...version }) => ({
          ...version,
          blob: { public: area, private: wrapped },
          publicArea: decode('TPM2B_PUBLIC', TPM2B_PUBLIC, area),
        })),
      }
    },
    encodeParent: (parent) => encode({ format: 'touchstone/key-parent/v1', tenant, ...parent }),
    decodeParent(bytes) {
      const { public: area, private: wrapped } = read(parentFile, bytes)
      decode('TPM2B_PUBLIC', TPM2B_PUBLIC, area)
      decode('TPM2B_PRIVATE', TPM2B_PRIVATE, wrapped)
      return { public: area, private: wrapped }
    },
  }
}
