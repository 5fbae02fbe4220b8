import type { Check, JsonValue } from '../core/index.ts'
import { extendsBank } from '../eventlog/index.ts'
import { digest } from '../tpm/index.ts'
import type { HashName } from '../tpm/index.ts'
import { fail, indeterminate, pass, warn } from './outcome.ts'
import { IMA_PCR } from './registers.ts'
import { PHASE_PCR } from './userspace-log.ts'
import type { JoinedUserspace } from './userspace-log.ts'

const NAME = 'log.userspace'

export function blockedUserspace(reason: string): Check {
  return indeterminate(NAME, 'check.blocked', { actual: reason })
}

export interface UserspaceVerdict {
  readonly joined: JoinedUserspace
  readonly judged: HashName
  /** Registers of that bank that the quote covers. */
  readonly quoted: readonly number[]
  /** Whether all logs together lead to what was signed. */
  readonly agrees: boolean
}

/**
 * `log.userspace`: whether the log of systemd accounts for what was measured after the firmware. Whatever else is wrong is
 * `quote.digest`'s to say; this check says what of it is systemd's.
 */
export function checkUserspace({ joined, judged, quoted, agrees }: UserspaceVerdict): Check {
  const { userspace, covered, unaccounted } = joined
  const { events, banks, cutAt } = userspace
  const records = events.length
  const cut: Readonly<Record<string, JsonValue>> = cutAt === undefined ? {} : { cutAt }
  if (!agrees) {
    const registers: Readonly<Record<string, JsonValue>> =
      unaccounted.length === 0 ? {} : { registers: [...unaccounted] }
    if (cutAt !== undefined) return fail(NAME, 'userspace.cut', { actual: { records, ...registers, cutAt } })
    const missing = missingPhase(joined, judged)
    if (missing !== undefined) {
      return fail(NAME, 'userspace.phase_missing', { actual: { records, ...registers, ...missing } })
    }
    const own = new Set([...PCRS_OF_SYSTEMD, ...events.map(({ pcr }) => pcr).filter((pcr) => pcr >= FIRST_OF_SYSTEM)])
    const isSystemds = unaccounted.length > 0 && unaccounted.every((pcr) => pcr !== IMA_PCR && own.has(pcr))
    return isSystemds
      ? fail(NAME, 'userspace.incomplete', { actual: { records, ...registers } })
      : blockedUserspace('the logs do not replay to what was signed')
  }
  const ofRegisters = events.filter(({ pcr }) => pcr < REGISTERS)
  if (ofRegisters.length > 0 && !ofRegisters.some((event) => extendsBank(event, judged))) {
    return warn(NAME, 'userspace.bank', { expected: judged, actual: [...banks] })
  }
  const beyond = new Set(ofRegisters.filter(({ pcr }) => !quoted.includes(pcr)).map(({ pcr }) => pcr))
  const notQuoted: Readonly<Record<string, JsonValue>> = beyond.size === 0 ? {} : { notQuoted: [...beyond] }
  return pass(NAME, { actual: { records, covered: covered ?? records, ...notQuoted, ...cut } })
}

/** From here on numbers are of NV indices, or of nothing. */
const REGISTERS = 24
const FIRST_OF_SYSTEM = 8
/** Names of NvPCRs, phases of the boot, and what identifies the system. */
const PCRS_OF_SYSTEMD = [9, 11, 15]

/** systemd-pcrphase(8) */
const PHASES = ['enter-initrd', 'leave-initrd', 'sysinit', 'ready', 'shutdown', 'final']
/** A boot has six; every place of more is not worth trying. */
const MAX_TRIED = 64

/** The one phase which, measured at one place of PCR 11, leads to what was signed. At most some 13,000 hashes. */
function missingPhase(
  { userspace, search }: JoinedUserspace,
  judged: HashName,
): { readonly missing: string; readonly after: number } | undefined {
  const own = userspace.events.flatMap(({ pcr, digests }) => {
    const extend = pcr === PHASE_PCR ? digests.get(judged) : undefined
    return extend === undefined ? [] : [extend]
  })
  if (search === undefined || own.length > MAX_TRIED) return undefined
  let value = search.start
  for (let after = 0; after <= own.length; after += 1) {
    for (const phase of PHASES) {
      const measured = digest(judged, Buffer.from(phase, 'latin1'))
      const end = [measured, ...own.slice(after)].reduce((state, extend) => digest(judged, state, extend), value)
      if (search.fits(end)) return { missing: phase, after }
    }
    const next = own[after]
    if (next !== undefined) value = digest(judged, value, next)
  }
  return undefined
}
