import { eventTypeName, parseEventLog, preferredBank, replayEventLog, type LogEvent } from '../src/eventlog/index.ts'
import { TouchstoneError } from '../src/core/index.ts'
import { digest, isHashName, type HashName } from '../src/tpm/index.ts'

/** One TPM2_PCR_Extend: a digest for each bank. */
export interface Measurement {
  readonly pcr: number
  readonly digests: ReadonlyMap<HashName, Buffer>
  /** What is measured, for a progress line. */
  readonly what: string
}

/** What firmware does from power-on until the operating system runs, read off its log. */
export interface FirmwareBoot {
  /** Where TPM2_Startup comes from. */
  readonly startupLocality: 0 | 3
  /** What the H-CRTM measures before TPM2_Startup, which makes PCR 0 begin at locality 4. */
  readonly hcrtm?: Buffer
  readonly measurements: readonly Measurement[]
}

const REGISTERS = 24

/** Reads a firmware log as instructions. Throws `standin.boot` for what a TPM cannot be made to do, and what parsing throws. */
export function readFirmwareBoot(eventLog: Uint8Array): FirmwareBoot {
  const log = parseEventLog(eventLog)
  const bank = preferredBank(log)
  if (log.registers !== 'pcr' || bank === undefined) throw refused('the log is not one of a TPM')
  const extending = log.events.filter((event) => eventTypeName(event.type) !== 'EV_NO_ACTION')
  const first = extending.find((event) => event.pcr === 0)
  const hcrtm = first !== undefined && eventTypeName(first.type) === 'EV_EFI_HCRTM_EVENT' ? first : undefined
  const measurements = extending.filter((event) => event !== hcrtm).map(measurementOf)
  if (hcrtm !== undefined) return { startupLocality: 0, hcrtm: hcrtmContent(hcrtm), measurements }
  const { startupLocality } = replayEventLog(log, bank)
  if (startupLocality !== 0 && startupLocality !== 3) {
    throw refused('the log says startup locality 4, which only an H-CRTM event can bring about, and has none')
  }
  return { startupLocality, measurements }
}

function measurementOf(event: LogEvent): Measurement {
  if (event.pcr >= REGISTERS) throw refused(`event ${event.index} is for register ${event.pcr}`)
  const digests = new Map<HashName, Buffer>()
  for (const [bank, value] of event.digests) if (isHashName(bank)) digests.set(bank, value)
  return { pcr: event.pcr, digests, what: `event ${event.index}, ${eventTypeName(event.type)}` }
}

/** The TPM hashes the content of the H-CRTM itself, so a digest is not enough: the log must carry the content. */
function hcrtmContent(event: LogEvent): Buffer {
  for (const [bank, value] of event.digests) {
    if (!isHashName(bank)) continue
    if (!digest(bank, event.data).equals(value)) {
      throw refused(`event ${event.index} has the digest of an H-CRTM whose content the log does not have`)
    }
  }
  return event.data
}

function refused(problem: string): TouchstoneError {
  return new TouchstoneError('standin.boot', `this boot cannot be replayed: ${problem}`)
}
