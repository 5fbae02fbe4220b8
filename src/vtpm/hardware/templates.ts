import { createHash } from 'node:crypto'
import { objectAttributes } from '../../tpm/index.ts'
import type { TpmtPublic } from '../../tpm/index.ts'

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
export function storageKeyTemplate(): TpmtPublic {
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
export function storageRootTemplate(): TpmtPublic {
  const template = storageKeyTemplate()
  return template.type === 'ecc' ? { ...template, unique: { x: ROOT_LABEL, y: EMPTY } } : template
}

/** ECC P-256 for TPM2_ECDH_ZGen, and for nothing else. */
export function agreementKeyTemplate(): TpmtPublic {
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

/** Data that only a policy opens. It came from outside, so sensitiveDataOrigin is clear. */
export function sealedTemplate(authPolicy: Buffer): TpmtPublic {
  return {
    type: 'keyedhash',
    nameAlg: 'sha256',
    objectAttributes: objectAttributes('fixedTPM', 'fixedParent', 'adminWithPolicy', 'noDA'),
    authPolicy,
    parameters: { scheme: { scheme: 'null' } },
    unique: EMPTY,
  }
}
