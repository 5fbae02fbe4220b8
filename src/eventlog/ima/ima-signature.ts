import { toHex } from '../../core/index.ts'

/** Kernel hash numbers (`include/uapi/linux/hash_info.h`) of what may be signed with; the rest is too weak or too rare. */
const HASHES: ReadonlyMap<number, 'sha256' | 'sha384' | 'sha512'> = new Map([
  [4, 'sha256'],
  [5, 'sha384'],
  [6, 'sha512'],
])

/** `enum evm_ima_xattr_type` of Linux `security/integrity/integrity.h`. */
const TYPES = { signature: 0x03, digest: 0x04, evmPortable: 0x05, verity: 0x06 } as const

/** What the field `sig` of an entry holds: the extended attribute `security.ima` of the file, as it was. */
export type ImaSignature =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'signature'
      /** 2: over the file's digest. 3: over type, hash number and digest (`struct ima_file_id`). */
      readonly version: 2 | 3
      /** `ima` (the file's content), `verity`, or `evm` (attributes and inode, see {@link readPortableSignature}). */
      readonly digestType: 'ima' | 'verity' | 'evm'
      readonly hash: 'sha256' | 'sha384' | 'sha512'
      /** The last four bytes of the signer's subject key identifier, hex. */
      readonly keyId: string
      readonly signature: Buffer
      /** What version 3 signs before the digest: type and hash number. */
      readonly prefix: Buffer
    }
  /** There is something, and why it cannot be verified. */
  | { readonly kind: 'unsupported'; readonly reason: string }

type SignedBy = Extract<ImaSignature, { kind: 'signature' }>

const HEADER_SIZE = 9

/**
 * Reads type, version, hash, key id (4 bytes), size (2, big endian) and signature. Whatever it is, it is no reason to
 * refuse the log: anybody who owns a file can write its attribute.
 *
 * Source: Linux `security/integrity/integrity.h`, `struct signature_v2_hdr`; ima-evm-utils `imaevm.h`.
 */
export function readImaSignature(field: Buffer): ImaSignature {
  if (field.byteLength === 0) return { kind: 'none' }
  const type = field.readUInt8(0)
  if (type === TYPES.evmPortable)
    return unsupported('a portable EVM signature, over an owner and attributes that only the template evm-sig measures')
  if (type === TYPES.signature) return readHeader(field, 'ima')
  if (type === TYPES.verity) return readHeader(field, 'verity')
  return unsupported(`an attribute of type ${type}`)
}

/** The same of `security.evm`, as far as it is portable: the kernel measures no other kind. */
export function readPortableSignature(field: Buffer): ImaSignature {
  if (field.byteLength === 0) return { kind: 'none' }
  const type = field.readUInt8(0)
  return type === TYPES.evmPortable ? readHeader(field, 'evm') : unsupported(`an EVM attribute of type ${type}`)
}

function readHeader(field: Buffer, digestType: SignedBy['digestType']): ImaSignature {
  if (field.byteLength < HEADER_SIZE) return unsupported('a signature that is cut')
  const version = field.readUInt8(1)
  if (version !== 2 && (version !== 3 || digestType === 'evm')) return unsupported(`a signature of version ${version}`)
  if (version === 2 && digestType === 'verity') return unsupported('a verity signature of version 2')
  const number = field.readUInt8(2)
  const hash = HASHES.get(number)
  if (hash === undefined) return unsupported(`a signature with the hash of number ${number}`)
  const size = field.readUInt16BE(7)
  if (size === 0 || field.byteLength !== HEADER_SIZE + size)
    return unsupported('a signature of another length than it says')
  return {
    kind: 'signature',
    version,
    digestType,
    hash,
    keyId: toHex(field.subarray(3, 7)),
    signature: field.subarray(HEADER_SIZE),
    prefix: Buffer.from([field.readUInt8(0), number]),
  }
}

function unsupported(reason: string): ImaSignature {
  return { kind: 'unsupported', reason }
}

/** What `security.ima` says that the file's content is: hash and digest; `undefined` where it holds anything else. */
export function readImaDigest(
  attribute: Buffer,
): { readonly hash: 'sha256' | 'sha384' | 'sha512'; readonly digest: Buffer } | undefined {
  const [type, number = 0] = attribute
  const hash = HASHES.get(number)
  return type === TYPES.digest && hash !== undefined ? { hash, digest: attribute.subarray(2) } : undefined
}
