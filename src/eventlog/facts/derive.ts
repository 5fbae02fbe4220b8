import { TouchstoneError } from '../../core/index.ts'
import { annotate } from '../annotate.ts'
import type { EventLog, ReplayBank } from '../log.ts'
import { startupLocalityOf } from '../startup-locality.ts'
import type { BootFacts } from './boot-facts.ts'
import { bootLoaderFacts } from './boot-loader.ts'
import { bootPathFacts } from './boot-path.ts'
import { firmwareFacts } from './firmware.ts'
import { secureBootFacts } from './secure-boot.ts'
import { isMeasured, unreadFacts } from './unread.ts'

/**
 * The facts of a boot in one bank. They are true of the machine only if the log replays to values that a quote signed
 * and `structuralFindings` has no error; this function checks neither. Throws `eventlog.bank_missing`.
 *
 * Costs one annotation (shared with the findings), and reading the certificates of PK, KEK, db and dbx.
 */
export function bootFacts(log: EventLog, bank: ReplayBank): BootFacts {
  if (!log.banks.includes(bank)) {
    throw new TouchstoneError('eventlog.bank_missing', `the log has no ${bank} bank; it has ${log.banks.join(', ')}`)
  }
  const { registers } = log
  const events = annotate(log, bank).filter(isMeasured)
  const startupLocality = registers === 'pcr' ? (startupLocalityOf(log.events) ?? 0) : 0
  const secureBoot = secureBootFacts(events, registers)
  const firmware = firmwareFacts(events, registers, startupLocality)
  const bootLoader = bootLoaderFacts(events, registers)
  return {
    bank,
    secureBoot: secureBoot.secureBoot,
    shim: secureBoot.shim,
    ...firmware.facts,
    ...bootPathFacts(events, registers),
    ...bootLoader.facts,
    unread: registers === 'pcr' ? unreadFacts([...secureBoot.unread, ...firmware.unread, ...bootLoader.unread]) : [],
  }
}
