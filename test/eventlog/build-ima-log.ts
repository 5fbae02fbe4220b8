import { createHash } from 'node:crypto'

// Entries as a kernel writes them, made without the code that reads them.

export type Endian = 'little' | 'big'

export function u32(value: number, endian: Endian = 'little'): Buffer {
  const bytes = Buffer.alloc(4)
  if (endian === 'little') bytes.writeUInt32LE(value)
  else bytes.writeUInt32BE(value)
  return bytes
}

export function sized(data: Buffer | string, endian?: Endian): Buffer {
  const bytes = Buffer.from(data)
  return Buffer.concat([u32(bytes.byteLength, endian), bytes])
}

export function digestOf(name: string, ...parts: readonly (Buffer | string)[]): Buffer {
  const hash = createHash(name)
  for (const part of parts) hash.update(part)
  return hash.digest()
}

export interface ImaEntrySpec {
  readonly template?: string
  readonly fields?: readonly (Buffer | string)[]
  readonly pcr?: number
  /** The recorded SHA-1, where it is not that of the data. */
  readonly digest?: Buffer
  readonly endian?: Endian
}

/** `sha256:\0` and a digest. */
export function labelled(digest: Buffer, label = 'sha256:'): Buffer {
  return Buffer.concat([Buffer.from(`${label}\0`), digest])
}

export const FILE = labelled(Buffer.alloc(32, 7))

export function imaEntry(spec: ImaEntrySpec = {}): Buffer {
  const { template = 'ima-ng', fields = [FILE, '/bin/sh\0'], endian = 'little' } = spec
  const data = Buffer.concat(fields.map((field) => sized(field, endian)))
  return Buffer.concat([
    u32(spec.pcr ?? 10, endian),
    spec.digest ?? digestOf('sha1', data),
    sized(template, endian),
    u32(data.byteLength, endian),
    data,
  ])
}

/** An entry of the template from before lengths: a bare digest, and a name without its NUL. */
export function oldestEntry(name: string): Buffer {
  const digest = Buffer.alloc(20, 5)
  const hashed = Buffer.concat([digest, Buffer.from(name), Buffer.alloc(256 - name.length)])
  return Buffer.concat([u32(10), digestOf('sha1', hashed), sized('ima'), digest, sized(name)])
}

/** A file in `ima-ng`, or in `ima-sig` with the attribute `security.ima` that it has. */
export function fileEntry(path: string, content: string | Buffer, signature?: Buffer): Buffer {
  const digest = labelled(digestOf('sha256', content))
  return signature === undefined
    ? imaEntry({ fields: [digest, `${path}\0`] })
    : imaEntry({ template: 'ima-sig', fields: [digest, `${path}\0`, signature] })
}

/** A buffer of the kernel. */
export function bufferEntry(name: string, content: string | Buffer): Buffer {
  return imaEntry({ template: 'ima-buf', fields: [labelled(digestOf('sha256', content)), `${name}\0`, content] })
}

/** What a kernel writes of a file that somebody may write to. */
export function violationEntry(path: string): Buffer {
  return imaEntry({ digest: Buffer.alloc(20), fields: [labelled(Buffer.alloc(20)), `${path}\0`] })
}

/** PCR 10 of one bank behind these entries, from `from` on, by the kernel's rule and by nothing of ours. */
export function pcr10(
  bank: string,
  entries: readonly Buffer[],
  way: 'computed' | 'padded' | 'recorded' = 'computed',
  from?: Buffer,
): Buffer {
  const size = digestOf(bank).byteLength
  let value = from ?? Buffer.alloc(size)
  for (const entry of entries) {
    const recorded = entry.subarray(4, 24)
    const nameLength = entry.readUInt32LE(24)
    const data = entry.subarray(28 + nameLength + 4)
    const extended = recorded.every((byte) => byte === 0)
      ? Buffer.alloc(size, 0xff)
      : way === 'computed'
        ? digestOf(bank, data)
        : Buffer.concat([recorded, Buffer.alloc(size - 20)])
    value = digestOf(bank, value, extended)
  }
  return value
}
