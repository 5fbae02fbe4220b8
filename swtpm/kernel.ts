import { fromHex, TouchstoneError } from '../src/core/index.ts'
import {
  extensionsOf,
  imaMeasurement,
  parseImaLog,
  REPLAY_BANKS,
  replayImaLog,
  type ImaEntry,
  type ImaExtension,
  type ReplayBank,
} from '../src/eventlog/index.ts'
import { digest, HASHES, type HashName } from '../src/tpm/index.ts'
import type { PcrValues } from './boots.ts'
import type { Measurement } from './firmware.ts'

const IMA_PCR = '10'

/**
 * Reads an IMA log as the extends that the kernel did. How it filled a bank other than SHA-1 is not in the log, so it is
 * what leads to the `recorded` PCR 10; without that, what the project's own recording shows: SHA-256 over the template
 * data, and in banks whose hash that kernel could not load so early, the SHA-1 with zeros behind it.
 */
export function readKernelMeasurements(imaLog: Uint8Array, recorded: PcrValues | undefined): readonly Measurement[] {
  const log = parseImaLog(imaLog)
  const extensions = REPLAY_BANKS.map((bank) => [bank, extensionOf(imaLog, bank, recorded)] as const)
  return log.entries.map((entry) => {
    if (entry.template === 'ima') {
      throw new TouchstoneError('standin.boot', `this boot cannot be replayed: template ima of entry ${entry.index}`)
    }
    const name = imaMeasurement(entry, log.endian)?.name ?? 'unknown template'
    const digests = new Map<HashName, Buffer>(
      extensions.map(([bank, extension]) => [bank, valueOf(entry, bank, extension)]),
    )
    return { pcr: entry.pcr, digests, what: `IMA entry ${entry.index}, ${name}` }
  })
}

function extensionOf(log: Uint8Array, bank: ReplayBank, recorded: PcrValues | undefined): ImaExtension {
  const value = fromHex(recorded?.[bank]?.[IMA_PCR] ?? '')
  const leads = (extension: ImaExtension) =>
    value !== undefined && replayImaLog(log, bank, extension).value.equals(value)
  return extensionsOf(bank).find(leads) ?? (bank === 'sha256' ? 'computed' : 'padded')
}

function valueOf(entry: ImaEntry, bank: ReplayBank, extension: ImaExtension): Buffer {
  const { size } = HASHES[bank]
  // Recorded as zeros and extended as ones, so that nobody can measure a violation away.
  if (entry.violation) return Buffer.alloc(size, 0xff)
  if (extension === 'computed') return digest(bank, entry.templateData)
  return Buffer.concat([entry.templateDigest], size)
}
