import { hash as oneShot } from 'node:crypto'
import { equalBytes, fromHex, toHex } from '../core/index.ts'
import type { JsonValue } from '../core/index.ts'
import { REPLAY_BANKS, registerValue, replayEventLog } from '../eventlog/index.ts'
import type { EventLog, ReplayBank, ReplayedLog } from '../eventlog/index.ts'
import { digest, HASHES } from '../tpm/index.ts'
import type { HashName, PcrSelection } from '../tpm/index.ts'

/** PCR values as the node read them, by bank and register, in hex: a hint, believed only when it hashes to a signed digest. */
export type ClaimedPcrs = Readonly<Record<string, Readonly<Record<string, string>>>>

/** One register of a signed selection, and what the logs say that it holds. */
interface QuotedRegister {
  readonly bank: HashName
  readonly pcr: number
  /** `undefined`: the bank cannot be replayed. */
  readonly replayed: Buffer | undefined
}

/** What the logs say of a signed selection. */
export interface ReplayedSelection {
  readonly registers: readonly QuotedRegister[]
  /** By bank: the replay, for banks that the log has. */
  readonly banks: ReadonlyMap<HashName, ReplayedLog>
}

export function isReplayBank(bank: HashName): bank is ReplayBank & HashName {
  return REPLAY_BANKS.some((known) => known === bank)
}

/** Where Linux extends its runtime measurements. */
export const IMA_PCR = 10

/**
 * The values of the quoted registers by the firmware log. PCR 10 is never the firmware's: whatever a log says of it, the
 * register is at its initial value when the kernel begins to measure, or entries of the kernel could be hidden in front.
 * A register that no event extended, and a whole bank that the log does not have, keep their initial value too: that is
 * what the TPM must then have signed.
 */
export function replaySelection(selection: PcrSelection, log: EventLog): ReplayedSelection {
  const banks = new Map<HashName, ReplayedLog>()
  for (const { hash } of selection) {
    if (isReplayBank(hash) && log.banks.includes(hash)) banks.set(hash, replayEventLog(log, hash))
  }
  const locality = [...banks.values()][0]?.startupLocality ?? 0
  const registers = selection.flatMap(({ hash, pcrs }) =>
    pcrs.map((pcr) => {
      const replay = banks.get(hash)
      const replayed =
        replay === undefined || pcr === IMA_PCR ? initialValue(hash, pcr, locality) : registerValue(replay, pcr)
      return { bank: hash, pcr, replayed }
    }),
  )
  return { registers, banks }
}

/** TPM 2.0 Library Part 1 section 17; PCR 17 to 22 hold ones until a dynamic launch. */
function initialValue(bank: HashName, pcr: number, locality: number): Buffer | undefined {
  if (!isReplayBank(bank)) return undefined
  const value = Buffer.allocUnsafe(HASHES[bank].size).fill(pcr >= 17 && pcr <= 22 ? 0xff : 0)
  if (pcr === 0) value.writeUInt8(locality, value.byteLength - 1)
  return value
}

/** Registers are public, so that they may stay here; most selections fit. */
const gathered = Buffer.alloc(4096)

/** The digest that a TPM signs over these values, in the order of the selection (Part 3 section 18.4). */
export function selectionDigest(hash: HashName, values: readonly Uint8Array[]): Buffer {
  let size = 0
  for (const value of values) {
    if (size + value.byteLength > gathered.byteLength) return digest(hash, ...values)
    gathered.set(value, size)
    size += value.byteLength
  }
  return Buffer.from(oneShot(HASHES[hash].node, gathered.subarray(0, size), 'binary'), 'latin1')
}

/**
 * Whether the digest is the signed one with this value in the register at `at`. For many values of it: nothing is
 * gathered or allocated for each, which costs more than hashing the other registers again does.
 */
export function digestMatcher(hash: HashName, values: readonly Uint8Array[], at: number, signed: Uint8Array) {
  const all = Buffer.concat(values)
  const offset = values.slice(0, at).reduce((sum, value) => sum + value.byteLength, 0)
  const { node } = HASHES[hash]
  const wanted = Buffer.from(signed).toString('latin1')
  return (value: Uint8Array): boolean => {
    all.set(value, offset)
    return oneShot(node, all, 'binary') === wanted
  }
}

/** A register that does not hold what the logs say. */
export interface Disagreement {
  readonly bank: string
  readonly pcr: number
  readonly quoted: string
  readonly replayed: string
}

/**
 * The values that came along, in the order of the registers, where they are complete and hash to the signed digest: then
 * they are what the TPM signed. Else why they are not believed.
 */
export function believedValues(
  registers: readonly QuotedRegister[],
  claimed: ClaimedPcrs | undefined,
  hash: HashName,
  signed: Uint8Array,
): readonly Buffer[] | string {
  if (claimed === undefined) return 'no PCR values came along'
  const values = registers.map(({ bank, pcr }) => claimedValue(claimed, bank, pcr))
  const complete = values.filter((value) => value !== undefined)
  if (complete.length < values.length) return 'the PCR values that came along do not cover the quote'
  if (!equalBytes(selectionDigest(hash, complete), signed)) {
    return 'the PCR values that came along do not hash to the signed digest'
  }
  return complete
}

/** The registers at which believed values and logs disagree. */
export function localise(
  registers: readonly QuotedRegister[],
  believed: readonly Buffer[],
  agrees: (register: QuotedRegister, quoted: Uint8Array) => boolean,
): readonly Disagreement[] {
  return registers.flatMap((register, index) => {
    const quoted = believed[index]
    if (quoted === undefined || agrees(register, quoted)) return []
    const { bank, pcr, replayed } = register
    return [{ bank, pcr, quoted: toHex(quoted), replayed: replayed === undefined ? '' : toHex(replayed) }]
  })
}

function claimedValue(claimed: ClaimedPcrs, bank: HashName, pcr: number): Buffer | undefined {
  const values = Object.hasOwn(claimed, bank) ? claimed[bank] : undefined
  const text = values !== undefined && Object.hasOwn(values, String(pcr)) ? values[String(pcr)] : undefined
  const value = text === undefined ? undefined : fromHex(text)
  return value?.byteLength === HASHES[bank].size ? value : undefined
}

/** `{ sha256: { "8": hex } }` of one side of the disagreements. */
export function disagreementsAsPcrs(list: readonly Disagreement[], side: 'quoted' | 'replayed'): JsonValue {
  const banks: Record<string, Record<string, string>> = {}
  for (const disagreement of list) {
    banks[disagreement.bank] = { ...banks[disagreement.bank], [disagreement.pcr]: disagreement[side] }
  }
  return banks
}
