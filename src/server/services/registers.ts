import { decode } from '../../codec/index.ts'
import { TouchstoneError } from '../../core/index.ts'
import {
  joinUserspaceLog,
  parseEventLog,
  parseUserspaceLog,
  registerValue,
  replayEventLog,
} from '../../eventlog/index.ts'
import type { NodeRecord, Repositories } from '../../store/index.ts'
import { formatPcrSelection, parsePcrSelection, pcrDigestOf, TPMS_ATTEST } from '../../tpm/index.ts'
import { userspaceOf } from './userspace-log.ts'

/** Registers that software may reset, or that grow while the system runs, bind nothing to a boot. */
const BINDING = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15]

/** The registers of a release: of the bank sha256 alone, in one spelling. Throws `release.selection`. */
export function releaseRegisters(text: string): readonly number[] {
  const selection = parsePcrSelection(text)
  const [only, ...more] = selection
  const isUsable =
    only?.hash === 'sha256' &&
    more.length === 0 &&
    only.pcrs.length > 0 &&
    only.pcrs.every((pcr) => BINDING.includes(pcr)) &&
    formatPcrSelection(selection) === text
  if (!isUsable) throw new TouchstoneError('release.selection', `secrets cannot be bound to ${text}`)
  return only.pcrs
}

/**
 * SHA-256 over the values of these registers in the node's newest verdict, which the caller has found to be good: so the
 * log replays to the quote, and what is quoted has the values that the log gives. Throws `release.unquoted` where the
 * quote says nothing of one of them.
 */
export async function digestOfNewest(
  tx: Pick<Repositories, 'attestations' | 'logs'>,
  { nodeId, lastAttestation }: NodeRecord,
  registers: readonly number[],
): Promise<Buffer> {
  const newest = lastAttestation === undefined ? undefined : await tx.attestations.byId(lastAttestation.id)
  const digest = newest?.inputs['eventLog']
  const eventLog = typeof digest === 'string' ? await tx.logs.ofNode(nodeId, digest) : undefined
  if (newest === undefined || eventLog === undefined) throw new TouchstoneError('release.unquoted')
  const signed = decode('TPMS_ATTEST', TPMS_ATTEST, newest.quote)
  const selection = signed.type === 'quote' ? signed.attested.pcrSelect : []
  const covered = selection.find(({ hash }) => hash === 'sha256')?.pcrs ?? []
  const missing = registers.filter((pcr) => !covered.includes(pcr))
  if (missing.length > 0)
    throw new TouchstoneError('release.unquoted', `sha256 PCR ${missing.join(', ')} is not quoted`)
  const firmware = parseEventLog(eventLog)
  if (firmware.registers !== 'pcr' || !firmware.banks.includes('sha256')) throw new TouchstoneError('release.unquoted')
  const userspace = await userspaceOf(tx.logs, newest)
  if (userspace === undefined && newest.inputs['userspaceLog'] !== undefined)
    throw new TouchstoneError('release.unquoted')
  const log =
    userspace === undefined
      ? firmware
      : joinUserspaceLog(firmware, parseUserspaceLog(userspace.log), { records: userspace.records, bank: 'sha256' })
  const replayed = replayEventLog(log, 'sha256')
  return pcrDigestOf(
    'sha256',
    registers.map((pcr) => registerValue(replayed, pcr)),
  )
}
