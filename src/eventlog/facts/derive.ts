import { TouchstoneError } from '../../core/index.ts'
import { annotate } from '../annotate.ts'
import { derivedOf } from '../derived.ts'
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
 * Computed once a log and bank. Costs one annotation (shared with the findings), a few passes over the events, and
 * reading the certificates of PK, KEK, db and dbx where they were not read before. O(log).
 */
export function bootFacts(log: EventLog, bank: ReplayBank): BootFacts {
  const { facts } = derivedOf(log)
  const known = facts.get(bank)
  if (known !== undefined) return known
  const derived = deriveFacts(log, bank)
  facts.set(bank, derived)
  return derived
}

function deriveFacts(log: EventLog, bank: ReplayBank): BootFacts {
  if (!log.banks.includes(bank)) {
    throw new TouchstoneError('eventlog.bank_missing', `the log has no ${bank} bank; it has ${log.banks.join(', ')}`)
  }
  const { registers } = log
  const events = annotate(log, bank).filter(isMeasured)
  const startupLocality = registers === 'pcr' ? (startupLocalityOf(log.events) ?? 0) : 0
  const secureBoot = secureBootFacts(events, registers)
  const firmware = firmwareFacts(events, registers, startupLocality)
  const bootPath = bootPathFacts(events, registers)
  const bootLoader = bootLoaderFacts(events, registers)
  const { exitBootServices } = bootPath
  // Field by field: spreading objects of such different shapes costs as much as one of the readings.
  return {
    bank,
    secureBoot: secureBoot.secureBoot,
    shim: secureBoot.shim,
    firmware: firmware.facts.firmware,
    separators: firmware.facts.separators,
    bootOptions: firmware.facts.bootOptions,
    partitionTables: firmware.facts.partitionTables,
    drivers: bootPath.drivers,
    bootApplications: bootPath.bootApplications,
    bootAttempts: bootPath.bootAttempts,
    ...(exitBootServices === undefined ? {} : { exitBootServices }),
    actions: bootPath.actions,
    bootFiles: bootPath.bootFiles,
    grub: bootLoader.facts.grub,
    kernel: bootLoader.facts.kernel,
    eve: bootLoader.facts.eve,
    unread: registers === 'pcr' ? unreadFacts([...secureBoot.unread, ...firmware.unread, ...bootLoader.unread]) : [],
  }
}
