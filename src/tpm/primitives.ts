import { enumeration, restrict, sized, sizedBytes, struct, u16, u64, u8, u32, flags } from '../codec/index.ts'
import type { Codec, Decoded } from '../codec/index.ts'
import { algorithms, CURVES, HASHES, MAX_DIGEST_SIZE } from './algorithms.ts'
import { TPMA_OBJECT_BITS } from './attributes.ts'
import { columnOf } from './table.ts'

// Bounds are those of the largest TPM in the field, RSA-4096, P-521 (80 bytes for BN P638), SHA-512, so that a size
// beyond them is refused before anything is taken.

export const MAX_RSA_BYTES = 512
export const MAX_ECC_BYTES = 80
export const MAX_NAME_SIZE = 2 + MAX_DIGEST_SIZE
const MAX_NV_BUFFER = 2048
const MAX_PUBLIC_SIZE = 1024

const HASH_ALGORITHMS = columnOf(HASHES, ({ id }) => id)

/** Names in comments and types are those of TPM 2.0 Library Part 2, "Structures". */
export const TPMI_ALG_HASH = enumeration(u16, HASH_ALGORITHMS)
/** TPMI_ALG_HASH+: TPM_ALG_NULL is allowed. */
export const TPMI_ALG_HASH_OR_NULL = enumeration(u16, { ...HASH_ALGORITHMS, ...algorithms('null') })

export const TPMI_ECC_CURVE = enumeration(
  u16,
  columnOf(CURVES, ({ id }) => id),
)

/** Strictly 0 or 1, as the specification has it; other values have been used to make two encodings of one statement. */
const YES_NO_NUMBER = restrict(u8, 'expected 0 or 1', (value) => value <= 1)
export const TPMI_YES_NO: Codec<boolean> = {
  read: (reader) => YES_NO_NUMBER.read(reader) === 1,
  write: (writer, value) => YES_NO_NUMBER.write(writer, value ? 1 : 0),
}

export const TPM2B_DIGEST = sizedBytes(u16, { max: MAX_DIGEST_SIZE })
/** Qualifying data: at most a hash identifier and a digest. */
export const TPM2B_DATA = sizedBytes(u16, { max: MAX_NAME_SIZE })
/** Empty, a handle (4 bytes), or a hash identifier and a digest. */
export const TPM2B_NAME = sizedBytes(u16, { max: MAX_NAME_SIZE })
export const TPM2B_PUBLIC_KEY_RSA = sizedBytes(u16, { max: MAX_RSA_BYTES })
export const TPM2B_ECC_PARAMETER = sizedBytes(u16, { max: MAX_ECC_BYTES })
export const TPM2B_MAX_NV_BUFFER = sizedBytes(u16, { max: MAX_NV_BUFFER })

export const TPMS_ECC_POINT = struct({ x: TPM2B_ECC_PARAMETER, y: TPM2B_ECC_PARAMETER })

export const TPMA_OBJECT = flags(u32, TPMA_OBJECT_BITS)
export type TpmaObject = Decoded<typeof TPMA_OBJECT>

export const TPMS_CLOCK_INFO = struct({ clock: u64, resetCount: u32, restartCount: u32, safe: TPMI_YES_NO })
export type TpmsClockInfo = Decoded<typeof TPMS_CLOCK_INFO>

/** A TPM2B that holds a structure: its size must be exactly the structure's. */
export function tpm2b<T>(content: Codec<T>): Codec<T> {
  return sized(u16, content, { max: MAX_PUBLIC_SIZE })
}
