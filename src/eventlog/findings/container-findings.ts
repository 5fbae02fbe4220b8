import { isMeasuredType } from '../event-types.ts'
import { finding, type Finding, type LogEvent } from '../log.ts'
import { REGISTERS } from '../registers.ts'

/** Handles of NV indices begin here (TPM_HT_NV_INDEX); a log of extended indices names them in place of registers. */
export const NV_INDICES = 0x0100_0000
const NV_INDICES_END = 0x0200_0000

/** An event for a register that no TPM has; replay leaves it out, and so could nobody have measured it. */
export function missingRegister({ index, pcr, type, attributes }: LogEvent): Finding | undefined {
  if (pcr < REGISTERS || !isMeasuredType(type, pcr)) return undefined
  if (attributes?.['nvIndex'] !== undefined && pcr >= NV_INDICES && pcr < NV_INDICES_END) return undefined
  const message = `register ${pcr} does not exist; the event is not replayed`
  return finding('eventlog.register_range', 'error', index, message)
}

/** Nothing of a header is measured, and what follows is read as the first one says. */
export function repeatedHeader(index: number): Finding {
  const message = 'another header begins here: the log was put together from two'
  return finding('eventlog.header_repeated', 'warning', index, message)
}

export function uncountedBytes(bytes: number): Finding {
  const message = `the header has ${bytes} bytes of its vendor that its size leaves out`
  return finding('eventlog.header_size', 'error', 0, message)
}

/** A bank that replay cannot compute. */
export function unknownAlgorithm(name: string): Finding {
  return finding('eventlog.algorithm_unknown', 'info', undefined, `bank ${name} is skipped by its declared size`)
}

/** Windows stops at the bank that it uses itself; judged by another bank, such a log is an error. */
export function incompleteBanks(events: readonly LogEvent[], banks: readonly string[]): Finding[] {
  const findings: Finding[] = []
  for (const name of banks) {
    let first: LogEvent | undefined
    let missing = 0
    for (const event of events) {
      if (event.digests.has(name) || !isMeasuredType(event.type, event.pcr)) continue
      first ??= event
      missing += 1
    }
    if (first === undefined) continue
    const message = `${missing} events from here on have no ${name} digest`
    findings.push(finding('eventlog.digest_missing', 'warning', first.index, message))
  }
  return findings
}

/** coreboot has registers of its own: `Documentation/security/vboot/measured_boot.md`, section on PCRs. */
export function corebootFinding(): Finding {
  const message =
    'coreboot wrote the log and names what it measured: stages and data of the flash in PCR 2, data that changes from ' +
    'boot to boot in PCR 3, flags and hardware id of vboot in PCR 0 and 1 (both in 1 outside Chrome OS)'
  return finding('eventlog.coreboot', 'info', undefined, message)
}
