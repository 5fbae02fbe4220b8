import { hash } from 'node:crypto'
import { HASHES } from '../../tpm/index.ts'
import type { ReplayBank } from '../log.ts'
import type { ImaEntry, ImaLog } from './parse-ima-log.ts'

/** The PCR that the kernel measures into unless it was built or told otherwise. */
export const IMA_PCR = 10

/**
 * How the kernel extends a bank: `recorded` (SHA-1: the digest of the log), `computed` (the bank's own hash of the
 * template data; Linux 5.8 and newer), `padded` (the SHA-1 digest with zeros behind it; older).
 */
export type ImaExtension = 'recorded' | 'computed' | 'padded'

export interface ImaReplayOptions {
  /** Default 10. */
  readonly pcr?: number
  /** The value before the first entry of this part of the log; default: zeros, as after boot. */
  readonly from?: Uint8Array
}

export interface ImaReplay {
  /** The register after all entries, by each way of extending that the bank may have seen. */
  readonly values: ReadonlyMap<ImaExtension, Buffer>
  readonly entries: number
}

export interface ImaMatch {
  /** How many entries of the log lead to the quoted value; those behind them are newer than the quote. */
  readonly covered: number
  readonly extension: ImaExtension
}

/** Replays a whole log into one bank. O(entries), plus a hash over the template data in banks other than SHA-1. */
export function replayImaLog(log: ImaLog, bank: ReplayBank, options: ImaReplayOptions = {}): ImaReplay {
  const values = new Map<ImaExtension, Buffer>()
  for (const extension of extensionsOf(bank)) {
    const register = openRegister(bank, options.from)
    for (const entry of log.entries) register.extend(entry, extension, options.pcr ?? IMA_PCR)
    values.set(extension, register.value())
  }
  return { values, entries: log.entries.length }
}

/**
 * Finds the prefix of the log that the quoted value covers: the kernel goes on measuring while a quote is taken, so
 * the log may have run ahead. `undefined`: no prefix leads to the value, so the log is not that of the quote.
 * A match of 0 entries proves nothing on any file. Costs at most two replays.
 */
export function matchImaLog(
  log: ImaLog,
  bank: ReplayBank,
  quoted: Uint8Array,
  options: ImaReplayOptions = {},
): ImaMatch | undefined {
  for (const extension of extensionsOf(bank)) {
    const register = openRegister(bank, options.from)
    if (register.equals(quoted)) return { covered: 0, extension }
    for (const entry of log.entries) {
      if (register.extend(entry, extension, options.pcr ?? IMA_PCR) && register.equals(quoted)) {
        return { covered: entry.index + 1, extension }
      }
    }
  }
  return undefined
}

/**
 * The register after no, one, two … entries, for a quote that signs a digest over many registers, so that no single
 * value can be looked for. Lazy: the caller stops at the prefix that fits. One replay for all of them.
 */
export function* imaPrefixValues(
  log: ImaLog,
  bank: ReplayBank,
  extension: ImaExtension,
  options: ImaReplayOptions = {},
): Generator<Buffer> {
  const register = openRegister(bank, options.from)
  yield register.value()
  for (const entry of log.entries) {
    register.extend(entry, extension, options.pcr ?? IMA_PCR)
    yield register.value()
  }
}

/** The ways in which a kernel may have extended a bank. */
export function extensionsOf(bank: ReplayBank): readonly ImaExtension[] {
  return bank === 'sha1' ? ['recorded'] : ['computed', 'padded']
}

interface Register {
  /** Whether the entry was for this register. */
  extend(entry: ImaEntry, extension: ImaExtension, pcr: number): boolean
  equals(value: Uint8Array): boolean
  value(): Buffer
}

function openRegister(bank: ReplayBank, from: Uint8Array | undefined): Register {
  const { size, node } = HASHES[bank]
  const state = Buffer.alloc(2 * size)
  if (from !== undefined) {
    if (from.byteLength !== size) throw new RangeError(`a ${bank} register has ${size} bytes, got ${from.byteLength}`)
    state.set(from)
  }
  return {
    extend(entry, extension, pcr) {
      if (entry.pcr !== pcr) return false
      // A violation is recorded as zeros and extended as ones, so that it cannot be undone.
      if (entry.violation) state.fill(0xff, size)
      else if (extension === 'computed') state.write(templateHash(entry, node), size, 'latin1')
      else {
        state.fill(0, size)
        state.set(entry.templateDigest, size)
      }
      state.write(hash(node, state, 'binary'), 0, 'latin1')
      return true
    },
    equals: (value) => value.byteLength === size && state.compare(value, 0, size, 0, size) === 0,
    value: () => Buffer.from(state.subarray(0, size)),
  }
}

const SHA1_SIZE = 20
/** IMA_EVENT_NAME_LEN_MAX + 1: the oldest template hashes its name padded to this. */
const PADDED_NAME = 256

/** The digest of an entry's template data, as a binary string. Linux `ima_crypto.c`, `ima_calc_field_array_hash_tfm`. */
export function templateHash(entry: ImaEntry, node: string): string {
  const { templateData: data } = entry
  if (entry.template !== 'ima') return hash(node, data, 'binary')
  const hashed = Buffer.alloc(SHA1_SIZE + PADDED_NAME)
  data.copy(hashed, 0, 0, SHA1_SIZE)
  data.copy(hashed, SHA1_SIZE, SHA1_SIZE + 4, SHA1_SIZE + 4 + PADDED_NAME)
  return hash(node, hashed, 'binary')
}
