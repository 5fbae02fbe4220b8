import { createHash } from 'node:crypto'
import { equalBytes, toHex } from '../../core/index.ts'
import { HASHES } from '../../tpm/index.ts'
import { REPLAY_BANKS } from '../log.ts'
import { registerValue, type ReplayedLog } from '../replay.ts'

/** Entry 0 of a log, as its template has it. */
export interface MeasuredAggregate {
  readonly algorithm: string
  readonly digest: Uint8Array
}

export interface BootAggregate {
  /** Whether the IMA log began on the boot that the firmware log tells of. */
  readonly matches: boolean
  readonly bank: string
  readonly expected: string
  readonly actual: string
}

/** Linux 5.8 and newer take GRUB's PCRs in too; with SHA-1 the kernel never did. */
const RANGES = [10, 8]

/**
 * Compares entry 0 of an IMA log, `boot_aggregate`, with the firmware's PCRs: the digest over PCR 0 to 9 (0 to 7 with
 * SHA-1 and in old kernels) that ties the two logs together. `undefined`: it is of a bank other than `replayed`, so
 * nothing can be said. The kernel's own measurements into PCR 0 to 9, if any, must be in the firmware log too.
 *
 * Source: Linux `security/integrity/ima/ima_crypto.c`, `ima_calc_boot_aggregate_tfm`.
 */
export function bootAggregate(measured: MeasuredAggregate, replayed: ReplayedLog): BootAggregate | undefined {
  const bank = REPLAY_BANKS.find((name) => name === measured.algorithm)
  if (bank === undefined || bank !== replayed.bank) return undefined
  const candidates = (bank === 'sha1' ? RANGES.slice(1) : RANGES).map((end) => {
    const state = createHash(HASHES[bank].node)
    for (let pcr = 0; pcr < end; pcr++) state.update(registerValue(replayed, pcr))
    return state.digest()
  })
  const expected = candidates.find((each) => equalBytes(each, measured.digest)) ?? candidates[0]
  if (expected === undefined) return undefined
  return {
    matches: equalBytes(expected, measured.digest),
    bank,
    expected: toHex(expected),
    actual: toHex(measured.digest),
  }
}
