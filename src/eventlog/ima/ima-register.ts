import { hash } from 'node:crypto'
import { HASHES } from '../../tpm/index.ts'
import type { ReplayBank } from '../log.ts'
import { DIGEST_SIZE, type ImaCursor } from './ima-reader.ts'

/** The PCR that the kernel measures into unless it was built or told otherwise. */
export const IMA_PCR = 10

/**
 * How the kernel extends a bank: `recorded` (SHA-1: the digest of the log), `computed` (the bank's own hash of the
 * template data; Linux 5.8 and newer), `padded` (the SHA-1 digest with zeros behind it; older).
 */
export type ImaExtension = 'recorded' | 'computed' | 'padded'

/** The ways in which a kernel may have extended a bank. */
export function extensionsOf(bank: ReplayBank): readonly ImaExtension[] {
  return bank === 'sha1' ? ['recorded'] : ['computed', 'padded']
}

/** PCR 10 of one bank while entries are extended into it. */
export interface ImaRegister {
  /** False for an entry of another register, which is none of its business. Two hashes, nothing kept. */
  extend(entry: ImaCursor): boolean
  equals(value: Uint8Array): boolean
  /** The register itself, for reading only: it changes with the next entry. */
  current(): Buffer
}

/** `from`: its value before the first entry; zeros, as after boot, unless given. */
export function imaRegister(bank: ReplayBank, extension: ImaExtension, from?: Uint8Array): ImaRegister {
  const { size, node } = HASHES[bank]
  const state = Buffer.alloc(2 * size)
  if (from !== undefined) {
    if (from.byteLength !== size) throw new RangeError(`a ${bank} register has ${size} bytes, got ${from.byteLength}`)
    state.set(from)
  }
  const value = state.subarray(0, size)
  return {
    extend(entry) {
      if (entry.pcr !== IMA_PCR) return false
      // A violation is recorded as zeros and extended as ones, so that it cannot be undone.
      if (entry.violation) state.fill(0xff, size)
      else if (extension === 'computed') state.write(templateHash(entry, node), size, 'latin1')
      else {
        state.fill(0, size)
        entry.bytes.copy(state, size, entry.digestAt, entry.digestAt + DIGEST_SIZE)
      }
      state.write(hash(node, state, 'binary'), 0, 'latin1')
      return true
    },
    equals: (other) => value.equals(other),
    current: () => value,
  }
}

/** IMA_EVENT_NAME_LEN_MAX + 1: the oldest template hashes its name padded to this. */
const PADDED_NAME = 256

/** The digest of an entry's template data, as a binary string. Linux `ima_crypto.c`, `ima_calc_field_array_hash_tfm`. */
export function templateHash({ bytes, dataAt, dataEnd, templateName }: ImaCursor, node: string): string {
  if (templateName !== 'ima') return hash(node, bytes.subarray(dataAt, dataEnd), 'binary')
  const hashed = Buffer.alloc(DIGEST_SIZE + PADDED_NAME)
  bytes.copy(hashed, 0, dataAt, dataAt + DIGEST_SIZE)
  const nameAt = dataAt + DIGEST_SIZE + 4
  bytes.copy(hashed, DIGEST_SIZE, nameAt, Math.min(dataEnd, nameAt + PADDED_NAME))
  return hash(node, hashed, 'binary')
}

/** Whether the recorded SHA-1 is that of the template data; where it is not, and the log counts on it, nothing is bound. */
export function isDigestRight(entry: ImaCursor): boolean {
  if (entry.violation) return true
  const { bytes, digestAt } = entry
  return templateHash(entry, 'sha1') === bytes.toString('latin1', digestAt, digestAt + DIGEST_SIZE)
}
