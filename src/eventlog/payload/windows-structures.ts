import { toHex } from '../../core/index.ts'
import { utf16Text } from './text.ts'
import type { WindowsValueKind } from './windows-event-types.ts'

type Fields = Readonly<Record<string, string>>

/** A structure of wbcl.h by the names of its fields; `undefined` where the bytes are too few, or of no structure. */
export function readWindowsStructure(kind: WindowsValueKind, bytes: Buffer): Fields | undefined {
  switch (kind) {
    case 'revocation':
      return revocationList(bytes)
    case 'policy':
      return policy(bytes)
    case 'key':
      return key(bytes)
    default:
      return undefined
  }
}

/** SIPAEVENT_REVOCATION_LIST_PAYLOAD. */
function revocationList(bytes: Buffer): Fields | undefined {
  if (bytes.byteLength < 14) return undefined
  const size = bytes.readUInt32LE(8)
  if (size > bytes.byteLength - 14) return undefined
  return {
    created: fileTime(bytes.readBigInt64LE(0)),
    algorithm: hashName(bytes.readUInt16LE(12)),
    digest: toHex(bytes.subarray(14, 14 + size)),
  }
}

/** SIPAEVENT_SI_POLICY_PAYLOAD: version, name and digest of a code integrity policy. */
function policy(bytes: Buffer): Fields | undefined {
  if (bytes.byteLength < 16) return undefined
  const nameEnd = 16 + bytes.readUInt16LE(8)
  const end = nameEnd + bytes.readUInt32LE(12)
  if (end > bytes.byteLength) return undefined
  const [revision, build, minor, major] = [0, 2, 4, 6].map((at) => bytes.readUInt16LE(at))
  return {
    name: utf16Text(bytes.subarray(16, nameEnd)).replace(/\0+$/, ''),
    version: [major, minor, build, revision].join('.'),
    algorithm: hashName(bytes.readUInt16LE(10)),
    digest: toHex(bytes.subarray(nameEnd, end)),
  }
}

/** SIPAEVENT_VSM_IDK_INFO_PAYLOAD, of which RSA keys exist. */
function key(bytes: Buffer): Fields | undefined {
  if (bytes.byteLength < 16) return undefined
  const [bits, exponentSize, modulusSize] = [bytes.readUInt32LE(4), bytes.readUInt32LE(8), bytes.readUInt32LE(12)]
  if (exponentSize + modulusSize > bytes.byteLength - 16) return undefined
  const modulus = bytes.subarray(16 + exponentSize, 16 + exponentSize + modulusSize)
  return { algorithm: `RSA-${bits}`, modulus: toHex(modulus) }
}

/** WBCL_DIGEST_ALG_ID: as the TPM's, in another order of names. */
function hashName(id: number): string {
  return HASHES.get(id) ?? `0x${id.toString(16)}`
}

const HASHES: ReadonlyMap<number, string> = new Map([
  [0x04, 'sha1'],
  [0x0b, 'sha256'],
  [0x0c, 'sha384'],
  [0x0d, 'sha512'],
  [0x12, 'sm3_256'],
])

const TICKS_A_MILLISECOND = 10_000n
/** From 1601, where FILETIME begins, to 1970. */
const EPOCH = 11_644_473_600_000n
const LATEST = 8_640_000_000_000_000n

function fileTime(ticks: bigint): string {
  const milliseconds = ticks / TICKS_A_MILLISECOND - EPOCH
  return milliseconds > LATEST || milliseconds < -LATEST ? `${ticks}` : new Date(Number(milliseconds)).toISOString()
}
