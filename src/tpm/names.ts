import { encode } from '../codec/index.ts'
import { digest, HASHES, requireHash } from './algorithms.ts'
import type { HashName } from './algorithms.ts'
import { TPMT_PUBLIC } from './public-area.ts'
import type { TpmtPublic } from './public-area.ts'

/** TPM_HANDLE of the hierarchies: TPM 2.0 Library Part 2 section 7.4. A hierarchy's Name is its handle. */
export const TPM_RH = {
  owner: 0x40000001,
  null: 0x40000007,
  lockout: 0x4000000a,
  endorsement: 0x4000000b,
  platform: 0x4000000c,
} as const

/**
 * The Name of an object: the identifier of its nameAlg, then that hash over its TPMT_PUBLIC (Part 1 section 16). Throws
 * `tpm.algorithm_unsupported` for an object without a nameAlg, because its Name would be empty and so equal to any other.
 */
export function nameOf(pub: TpmtPublic): Buffer {
  const known = names.get(pub)
  if (known !== undefined) return Buffer.from(known)
  const hash = requireHash(pub.nameAlg)
  const name = Buffer.concat([identifier(hash), digest(hash, encode(TPMT_PUBLIC, pub))])
  names.set(pub, name)
  return Buffer.from(name)
}

/** Made once for each decoded public area, as the keys are. */
const names = new WeakMap<TpmtPublic, Buffer>()

/**
 * The qualified Name of an object under a parent, which ties it to all its ancestors: nameAlg, then that hash over the
 * parent's qualified Name and the object's own Name (Part 1 section 16). `nameAlg` is the object's.
 */
export function qualifiedName(parentQualifiedName: Uint8Array, nameAlg: HashName, name: Uint8Array): Buffer {
  return Buffer.concat([identifier(nameAlg), digest(nameAlg, parentQualifiedName, name)])
}

/** The qualified Name of `child` where its parent is `ek`, a primary key of the endorsement hierarchy. */
export function qualifiedNameUnderEndorsement(ek: TpmtPublic, child: TpmtPublic): Buffer {
  const ekQualifiedName = qualifiedName(handleName(TPM_RH.endorsement), requireHash(ek.nameAlg), nameOf(ek))
  return qualifiedName(ekQualifiedName, requireHash(child.nameAlg), nameOf(child))
}

/** The Name of what is known by handle alone: a hierarchy, a PCR, a session. */
export function handleName(handle: number): Buffer {
  const name = Buffer.alloc(4)
  name.writeUInt32BE(handle)
  return name
}

function identifier(hash: HashName): Buffer {
  const id = Buffer.alloc(2)
  id.writeUInt16BE(HASHES[hash].id)
  return id
}
