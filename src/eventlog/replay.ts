import { hash } from 'node:crypto'
import { TouchstoneError, type Brand } from '../core/index.ts'
import { HASHES } from '../tpm/index.ts'
import { digestText } from './digest-list.ts'
import { EV_EFI_HCRTM_EVENT, EVTYPE_HASH_START, isLaunchType, isMeasuredType } from './event-types.ts'
import type { EventLog, LogEvent, ReplayBank } from './log.ts'
import { isLaunchRegister, REGISTERS } from './registers.ts'
import { startupLocalityOf } from './startup-locality.ts'

interface Replay {
  readonly bank: ReplayBank
  /** The values of the registers that at least one event extended, numbered as in the log. */
  readonly values: ReadonlyMap<number, Buffer>
  /** How many events extended each of them. */
  readonly extended: ReadonlyMap<number, number>
  /** The locality that TPM2_Startup came from, as the log says: part of the first value of PCR 0. */
  readonly startupLocality: number
  /** The log has events of a dynamic launch, so PCR 17 to 22 began with zeros and not with ones. */
  readonly dynamicLaunch: boolean
}

/**
 * What a log claims that the registers hold. It is a claim until somebody compares the values with a verified quote;
 * only {@link replayEventLog} makes one.
 */
export type ReplayedLog = Brand<Replay, 'ReplayedLog'>

/**
 * Replays the digests of one bank. The bank is the caller's choice and no other is looked at: a SHA-1 match must not
 * hide a SHA-256 mismatch. Throws `eventlog.bank_missing` where the log has no such bank. An event without a digest in
 * the bank, or for a register that no TPM has, extends nothing (and is an error among the log's findings).
 * A dynamic launch sets PCR 17 to 22 to zeros, as often as it happens; before the first one they hold ones.
 * O(events); about 0.4 us an event for SHA-256.
 *
 * Source: PC Client Platform Firmware Profile 1.06 sections 10.4.5.3 (startup locality) and 3.3.3 (H-CRTM);
 * TPM 2.0 Library Part 1 section 17 (initial values) and 34.3 (dynamic launch); TCG D-RTM Architecture 1.0.0.
 */
export function replayEventLog(log: EventLog, bank: ReplayBank): ReplayedLog {
  if (!log.banks.includes(bank)) {
    throw new TouchstoneError('eventlog.bank_missing', `the log has no ${bank} bank; it has ${log.banks.join(', ')}`)
  }
  const { size, node } = HASHES[bank]
  const startupLocality = log.registers === 'pcr' ? (startupLocalityOf(log.events) ?? 0) : 0
  // One place a register: its value, and behind it the digest to come. One-shot hashing to a string, written back over
  // the value, allocates least. Out of Buffer's pool, as small ones are everywhere here: Buffer.alloc makes each one memory
  // of its own, which the collector has to give back one by one.
  const places = Buffer.allocUnsafe(REGISTERS * 2 * size).fill(0)
  const states: (Buffer | undefined)[] = []
  const counts: number[] = []
  let dynamicLaunch = false
  for (const event of log.events) {
    if (event.pcr >= REGISTERS || !isMeasuredType(event.type, event.pcr)) continue
    const extend = digestText(event.digests, bank)
    if (extend === undefined) continue
    if (isLaunchRegister(event.pcr) && log.registers === 'pcr') {
      // The hash sequence is the launch; where it is not logged (AMD, Arm), the first event of whoever runs after it.
      if (event.type === EVTYPE_HASH_START || (!dynamicLaunch && isLaunchType(event.type, event.pcr))) {
        dynamicLaunch = true
        states.forEach((state, register) => {
          if (isLaunchRegister(register)) state?.fill(0, 0, size)
        })
      }
    }
    let state = states[event.pcr]
    if (state === undefined) {
      state = places.subarray(event.pcr * 2 * size, (event.pcr + 1) * 2 * size)
      initialise(state, size, log.registers === 'pcr' ? event : undefined, startupLocality, dynamicLaunch)
      states[event.pcr] = state
    }
    state.write(extend, size, 'latin1')
    state.write(hash(node, state, 'binary'), 0, 'latin1')
    counts[event.pcr] = (counts[event.pcr] ?? 0) + 1
  }
  const values = new Map<number, Buffer>()
  const extended = new Map<number, number>()
  states.forEach((state, register) => {
    if (state === undefined) return
    values.set(register, state.subarray(0, size))
    extended.set(register, counts[register] ?? 0)
  })
  const replay: Replay = { bank, values, extended, startupLocality, dynamicLaunch }
  return replay as ReplayedLog
}

/**
 * The value that the log implies for a register, extended or not: PCR 17 to 22 of a machine without a dynamic launch
 * hold ones, PCR 0 begins with the locality of TPM2_Startup, all others begin with zeros.
 */
export function registerValue(replayed: ReplayedLog, pcr: number): Buffer {
  const value = replayed.values.get(pcr)
  if (value !== undefined) return value
  const { size } = HASHES[replayed.bank]
  const initial = Buffer.allocUnsafe(size).fill(isLaunchRegister(pcr) && !replayed.dynamicLaunch ? 0xff : 0)
  if (pcr === 0) initial[size - 1] = replayed.startupLocality
  return initial
}

/** `first`: the event that extends a PCR first; `undefined` for an RTMR, which always begins with zeros. */
function initialise(
  state: Buffer,
  size: number,
  first: LogEvent | undefined,
  startupLocality: number,
  dynamicLaunch: boolean,
): void {
  if (first === undefined) return
  if (isLaunchRegister(first.pcr) && !dynamicLaunch) state.fill(0xff, 0, size)
  // An H-CRTM sequence (TPM2 _HASH_START) leaves PCR 0 as if started from locality 4.
  if (first.pcr === 0) state[size - 1] = first.type === EV_EFI_HCRTM_EVENT ? 4 : startupLocality
}
