import { recentValues, view } from '../core/index.ts'
import type { Check } from '../core/index.ts'
import { annotate, bootClaims, bootFacts, eventTypeName, parseEventLog } from '../eventlog/index.ts'
import type { AnnotatedEvent, BootClaims, EventLog, LogEvent, ReplayBank } from '../eventlog/index.ts'
import { formatPcrSelection } from '../tpm/index.ts'
import type { HashName, PcrSelection } from '../tpm/index.ts'
import type { Policy } from './policy.ts'
import { checkStructure } from './register-checks.ts'
import { IMA_PCR, isReplayBank, replaySelection } from './registers.ts'
import type { ReplayedSelection } from './registers.ts'
import type { RuleMemory } from './remembered-rules.ts'
import type { AuthenticatedBoot } from './rule-table.ts'

/**
 * A log, and what was derived of it for the selections that quotes had. All of it is a pure function of the log's bytes, and
 * it is kept with the log.
 */
export interface JudgedLog {
  readonly log: EventLog
  readonly views: Map<string, LogView>
  /** Size of the log, where it is a copy; absent: it is part of what somebody sent, all of which stays in memory with it. */
  readonly copied?: number
}

/** What a quote over one selection can vouch for in a log. */
export interface LogView {
  readonly replay: ReplayedSelection
  /** Registers of the judged bank that the quote covers. */
  readonly quoted: readonly number[]
  /** The log without the events of other registers: whoever judges facts must not see them. */
  readonly visible: EventLog
  /** The judged bank, where the log has it and it can be replayed. */
  readonly bank: ReplayBank | undefined
  /**
   * What the log says of the boot, without IMA: to be asked only once the log was seen to replay to what was signed.
   * `undefined` without a bank.
   */
  readonly boot: () => AuthenticatedBoot | undefined
  /** `log.structure` of the visible log, under this policy. */
  readonly structure: (policy: Policy) => Check
  /** What rules said of it before. */
  readonly rules: RuleMemory
}

/** A node that quotes other registers each time only makes its own log be looked at again. */
const MAX_VIEWS = 4

export function viewOf({ log, views }: JudgedLog, selection: PcrSelection, judged: HashName): LogView {
  const key = `${judged} of ${formatPcrSelection(selection)}`
  const known = views.get(key)
  if (known !== undefined) return known
  const fresh = makeView(log, selection, judged)
  if (views.size >= MAX_VIEWS) views.clear()
  views.set(key, fresh)
  return fresh
}

function makeView(log: EventLog, selection: PcrSelection, judged: HashName): LogView {
  const quoted = selection.find((bank) => bank.hash === judged)?.pcrs ?? []
  const replay = replaySelection(selection, log)
  const visible = visibleLog(log, quoted)
  const bank = isReplayBank(judged) && log.banks.includes(judged) ? judged : undefined
  let boot: AuthenticatedBoot | undefined
  const structures = new Map<Policy['log']['structure'], Check>()
  return {
    replay,
    quoted,
    visible,
    bank,
    boot: () => (boot ??= bank && bootOf(visible, bank, replay)),
    structure(policy) {
      // Of a policy it reads nothing but this.
      const { structure } = policy.log
      const known = structures.get(structure) ?? checkStructure(policy, visible, bank)
      structures.set(structure, known)
      return known
    },
    rules: [],
  }
}

/**
 * The part of a log that a quote over these registers can vouch for. EV_NO_ACTION events stay, because the startup locality
 * is one.
 */
function visibleLog(log: EventLog, quoted: readonly number[]): EventLog {
  const selected = new Set(quoted)
  const isVisible = ({ pcr, type }: LogEvent): boolean => selected.has(pcr) || eventTypeName(type) === 'EV_NO_ACTION'
  return log.events.every(isVisible) ? log : { ...log, events: log.events.filter(isVisible) }
}

function bootOf(log: EventLog, bank: ReplayBank, { registers, banks }: ReplayedSelection): AuthenticatedBoot {
  const extended = banks.get(bank)?.extended
  const values = new Map<number, Uint8Array>()
  for (const { bank: of, pcr, replayed } of registers) {
    const isMeasured = of === bank && pcr !== IMA_PCR && extended?.has(pcr) === true
    if (isMeasured && replayed !== undefined) values.set(pcr, replayed)
  }
  return {
    facts: bootFacts(log, bank),
    registers: values,
    events: eventsOf(log, bank),
    claims: claimsOf(log, bank),
  }
}

/** Made at most once, and only where a check points at an event. */
function eventsOf(log: EventLog, bank: ReplayBank): AuthenticatedBoot['events'] {
  let events: ReadonlyMap<number, AnnotatedEvent> | undefined
  return () => (events ??= new Map(annotate(log, bank).map((annotated) => [annotated.event.index, annotated])))
}

/** Derived at most once, and only where a policy reads them. */
function claimsOf(log: EventLog, bank: ReplayBank): AuthenticatedBoot['claims'] {
  let claims: BootClaims | undefined
  return () => (claims ??= bootClaims(log, bank))
}

interface KnownLog {
  /** A copy that nobody else has. */
  readonly bytes: Buffer
  readonly judged: JudgedLog
  /** How many other logs of the same registers came since it did. */
  others: number
}

/** Bytes that remembered logs may take, by what they usually take: some hundreds of them. */
const MOST_BYTES = 64 * 1024 * 1024
/** Longer logs are no machine's, and would take the place of many. */
const LONGEST = 1024 * 1024
const BYTES_AN_EVENT = 2048
/** Logs may differ in what nothing measured: those of a model are not to drive each other out with every quote. */
const PATIENCE = 16

const known = recentValues<KnownLog>(MOST_BYTES)
const met = recentValues<true>(8192)

/**
 * Reads a log, or finds it as it was read before: most quotes are over the boot of the last one. `signed`: the digest over the
 * registers, under which the log is looked for; the bytes of what is found are compared, all of them, so nothing but this
 * very log is ever found. A log is remembered when a quote of its registers comes for the second time. Throws what
 * {@link parseEventLog} does.
 */
export function readJudgedLog(bytes: Uint8Array, signed: Uint8Array): JudgedLog {
  const key = `${view(signed).toString('latin1')} ${bytes.byteLength}`
  const before = known.get(key)
  if (before?.bytes.equals(bytes) === true) {
    before.others = 0
    return before.judged
  }
  if (before !== undefined) before.others += 1
  const isWelcome = before === undefined ? met.get(key) === true : before.others >= PATIENCE
  if (!isWelcome || bytes.byteLength > LONGEST) {
    met.set(key, true, 1)
    return { log: parseEventLog(bytes), views: new Map() }
  }
  const copy = Buffer.from(bytes)
  const judged = { log: parseEventLog(copy), views: new Map<string, LogView>(), copied: copy.byteLength }
  known.set(key, { bytes: copy, judged, others: 0 }, 2 * copy.byteLength + BYTES_AN_EVENT * judged.log.events.length)
  return judged
}
