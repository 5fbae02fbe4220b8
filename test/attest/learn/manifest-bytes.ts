import { type KeyObject, sign } from 'node:crypto'
import { encode, rfc8949EncodeOptions } from 'cborg'

/** A tagged item of CBOR. */
export class Tagged {
  readonly tag: number
  readonly value: unknown
  constructor(tag: number, value: unknown) {
    this.tag = tag
    this.value = value
  }
}

/** Leaves by another implementation of CBOR; heads of lists, maps and tags by hand. */
export function write(value: unknown): Buffer {
  if (value instanceof Tagged) return Buffer.concat([head(6, value.tag), write(value.value)])
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(write)])
  if (value instanceof Map) return Buffer.concat([head(5, value.size), ...[...value].flat().map(write)])
  return Buffer.from(encode(value, rfc8949EncodeOptions))
}

function head(major: number, count: number): Buffer {
  if (count < 24) return Buffer.of((major << 5) | count)
  return count < 256 ? Buffer.of((major << 5) | 24, count) : Buffer.of((major << 5) | 25, count >> 8, count & 0xff)
}

/** A manifest with one CoMID of one vendor, whose measurements these are. */
export function manifest(id: string, measurements: unknown): Buffer {
  const environment = new Map([
    [
      0,
      new Map([
        [1, 'ACME'],
        [2, 'RoadRunner'],
      ]),
    ],
  ])
  const comid = new Map<number, unknown>([
    [1, new Map([[0, Buffer.alloc(16, 1)]])],
    [4, new Map([[0, [[environment, measurements]]]])],
  ])
  return write(
    new Tagged(
      501,
      new Map<number, unknown>([
        [0, id],
        [1, [new Tagged(506, write(comid))]],
      ]),
    ),
  )
}

/** COSE_Sign1 over it, ES256. */
export function signManifest(payload: Buffer, key: KeyObject): Buffer {
  const header = write(
    new Map<number, unknown>([
      [1, -7],
      [3, 'application/rim+cbor'],
    ]),
  )
  const structure = write(['Signature1', header, Buffer.alloc(0), payload])
  return write(
    new Tagged(18, [header, new Map(), payload, sign('sha256', structure, { key, dsaEncoding: 'ieee-p1363' })]),
  )
}
