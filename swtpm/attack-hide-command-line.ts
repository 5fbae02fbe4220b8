import { TouchstoneError } from '../src/core/index.ts'
import { parseEventLog } from '../src/eventlog/index.ts'

/** Where GRUB measures what it runs (PCR 8) and what it reads (PCR 9). */
const GRUB_REGISTERS = [8, 9]

/**
 * An ATTACK, for demonstrations and tests: what an intruder with root does who changed the kernel command line and wants
 * no verifier to read it. In the log of the boot that really happened (`measured`), every event of GRUB's that differs
 * from the log of an `honest` boot is replaced by the honest one, text and digests alike. The log that results is whole,
 * consistent and clean; that it is not what happened, only the TPM can tell, whose PCR 8 and 9 nobody can set back.
 *
 * Throws `standin.boot` when the two are not logs of one machine: the events must match one to one.
 */
export function attackHideCommandLine(measured: Uint8Array, honest: Uint8Array): Buffer {
  const theirs = events(measured)
  const ours = events(honest)
  if (theirs.length !== ours.length) throw new TouchstoneError('standin.boot', 'the two logs differ in their events')
  const forged = theirs.map((event, index) => {
    const original = ours[index]
    if (original?.pcr !== event.pcr || original.type !== event.type) {
      throw new TouchstoneError('standin.boot', `event ${index} of the two logs is not of one PCR and type`)
    }
    return GRUB_REGISTERS.includes(event.pcr) ? original.bytes : event.bytes
  })
  return Buffer.concat(forged)
}

/** The events of a log, each with its bytes. */
function events(log: Uint8Array) {
  const parsed = parseEventLog(log).events
  return parsed.map(({ index, pcr, type, offset }) => ({
    pcr,
    type,
    bytes: log.subarray(offset, parsed[index + 1]?.offset ?? log.byteLength),
  }))
}
