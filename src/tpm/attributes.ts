import { columnOf } from './table.ts'

/** TPMA_OBJECT by bit number: TPM 2.0 Library Part 2 section 8.3 (revision 1.83; bits 8, 9 and 19 are younger than 1.38). */
export const TPMA_OBJECT_BITS = {
  fixedTPM: 1,
  stClear: 2,
  fixedParent: 4,
  sensitiveDataOrigin: 5,
  userWithAuth: 6,
  adminWithPolicy: 7,
  firmwareLimited: 8,
  svnLimited: 9,
  noDA: 10,
  encryptedDuplication: 11,
  restricted: 16,
  decrypt: 17,
  sign: 18,
  x509sign: 19,
} as const

/** TPMA_LOCALITY by bit number: Part 2 section 8.5. Bits 5 to 7 together are an extended locality, 32 to 255. */
export const TPMA_LOCALITY_BITS = {
  zero: 0,
  one: 1,
  two: 2,
  three: 3,
  four: 4,
  extended0: 5,
  extended1: 6,
  extended2: 7,
} as const

/** TPMA_NV by bit number, TPM_NT as its four bits: Part 2 section 13.4. */
export const TPMA_NV_BITS = {
  PPWRITE: 0,
  OWNERWRITE: 1,
  AUTHWRITE: 2,
  POLICYWRITE: 3,
  NT0: 4,
  NT1: 5,
  NT2: 6,
  NT3: 7,
  POLICY_DELETE: 10,
  WRITELOCKED: 11,
  WRITEALL: 12,
  WRITEDEFINE: 13,
  WRITE_STCLEAR: 14,
  GLOBALLOCK: 15,
  PPREAD: 16,
  OWNERREAD: 17,
  AUTHREAD: 18,
  POLICYREAD: 19,
  NO_DA: 25,
  ORDERLY: 26,
  CLEAR_STCLEAR: 27,
  READLOCKED: 28,
  WRITTEN: 29,
  PLATFORMCREATE: 30,
  READ_STCLEAR: 31,
} as const

/** TPMA_OBJECT with these attributes set and all others clear. */
export function objectAttributes(...names: readonly (keyof typeof TPMA_OBJECT_BITS)[]) {
  const set: readonly number[] = names.map((name) => TPMA_OBJECT_BITS[name])
  return columnOf(TPMA_OBJECT_BITS, (bit) => set.includes(bit))
}

/** TPMA_NV, likewise. */
export function nvAttributes(...names: readonly (keyof typeof TPMA_NV_BITS)[]) {
  const set: readonly number[] = names.map((name) => TPMA_NV_BITS[name])
  return columnOf(TPMA_NV_BITS, (bit) => set.includes(bit))
}
