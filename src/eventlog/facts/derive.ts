import { TouchstoneError } from '../../core/index.ts'
import { annotate } from '../annotate.ts'
import type { EventLog, ReplayBank } from '../log.ts'
import { startupLocalityOf } from '../startup-locality.ts'
import type { BootFacts } from './boot-facts.ts'
import { bootLoaderFacts } from './boot-loader.ts'
import { bootPathFacts } from './boot-path.ts'
import { firmwareFacts } from './firmware.ts'
import { secureBootFacts } from './secure-boot.ts'

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
  const events = annotate(log, bank)
  const startupLocality = log.registers === 'pcr' ? (startupLocalityOf(log.events) ?? 0) : 0
  return {
    bank,
    secureBoot: secureBootFacts(events, log.registers),
    ...firmwareFacts(events, startupLocality),
    ...bootPathFacts(events, log.registers),
    ...bootLoaderFacts(events, log.registers),
  }
}
