import { createHash } from 'node:crypto'
import { encode } from '../codec/index.ts'
import { equalBytes } from '../core/index.ts'
import { nvAttributes, objectAttributes } from './attributes.ts'
import type { TpmsNvPublic } from './nv-public.ts'
import { TPMT_PUBLIC } from './public-area.ts'
import type { TpmtPublic, TpmtPublicEcc } from './public-area.ts'

// What a node's broker makes in its TPM, and what the verifier asks to be shown of it: one declaration for both.
// Everything is noDA: lockout is one counter for the whole TPM, and power cuts count towards it.

const EMPTY = Buffer.alloc(0)
const NO_POINT = { x: EMPTY, y: EMPTY } as const

const STORAGE_PARAMETERS = {
  symmetric: { algorithm: 'aes', keyBits: 128, mode: 'cfb' },
  scheme: { scheme: 'null' },
  curveID: 'nist_p256',
  kdf: { scheme: 'null' },
} as const

/**
 * A key that other keys and sealed objects are made under: ECC P-256, used by its authorisation value, which is empty
 * unless one is given with it. For a child of the storage root, for example the parent of one tenant's keys.
 */
export function storageKeyTemplate(): TpmtPublicEcc {
  return {
    type: 'ecc',
    nameAlg: 'sha256',
    objectAttributes: objectAttributes(
      ...(['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'noDA', 'restricted', 'decrypt'] as const),
    ),
    authPolicy: EMPTY,
    parameters: STORAGE_PARAMETERS,
    unique: NO_POINT,
  }
}

/** What is unique to the broker's primary key; without it, it would be the key that every other TPM software makes. */
const ROOT_LABEL = createHash('sha256').update('touchstone storage root v1').digest()

/** The storage root: the same key each time it is made, until the owner's seed changes with TPM2_Clear. */
export function storageRootTemplate(): TpmtPublicEcc {
  return { ...storageKeyTemplate(), unique: { x: ROOT_LABEL, y: EMPTY } }
}

/** ECC P-256 for TPM2_ECDH_ZGen, and for nothing else. */
export function agreementKeyTemplate(): TpmtPublicEcc {
  return {
    type: 'ecc',
    nameAlg: 'sha256',
    objectAttributes: objectAttributes(
      ...(['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'noDA', 'decrypt'] as const),
    ),
    authPolicy: EMPTY,
    parameters: { ...STORAGE_PARAMETERS, symmetric: { algorithm: 'null' } },
    unique: NO_POINT,
  }
}

/** Whether a key is of this template in everything but `unique`, which is what its TPM made of it. */
export function isOfTemplate(key: TpmtPublic, template: TpmtPublicEcc): boolean {
  if (key.type !== 'ecc') return false
  const bare = (area: TpmtPublicEcc) => encode(TPMT_PUBLIC, { ...area, unique: NO_POINT })
  return equalBytes(bare(key), bare(template))
}

/** NV indices of the owner's range (TCG Registry of Reserved TPM 2.0 Handles: 0x01800000 to 0x01bfffff). */
const COUNTERS = { ledger: 0x01805301, release: 0x01805302 } as const

export type CounterName = keyof typeof COUNTERS

/** Bytes of a counter's value, a big-endian number. */
export const COUNTER_SIZE = 8

/**
 * TPM_NT_COUNTER: it only goes up, and one that is defined anew starts above all that this TPM ever had (Part 3 section
 * 31.8). Anybody may count it up, who reaches the TPM past the lane: that stops guests from starting, and gains nothing.
 * Nothing in it differs between nodes, so that its Name is the same on all.
 */
export function counterPublic(counter: CounterName, state: 'defined' | 'written'): TpmsNvPublic {
  const written = state === 'written' ? (['WRITTEN'] as const) : []
  return {
    nvIndex: COUNTERS[counter],
    nameAlg: 'sha256',
    attributes: nvAttributes('AUTHREAD', 'AUTHWRITE', 'NO_DA', 'NT0', ...written),
    authPolicy: EMPTY,
    dataSize: COUNTER_SIZE,
  }
}
