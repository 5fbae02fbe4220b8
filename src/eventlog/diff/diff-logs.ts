import { toHex, TouchstoneError } from '../../core/index.ts'
import { annotate, type AnnotatedEvent } from '../annotate.ts'
import { eventTypeName, isMeasuredType } from '../event-types.ts'
import { REPLAY_BANKS, type EventLog, type RegisterKind, type ReplayBank } from '../log.ts'
import { replayEventLog, type ReplayedLog } from '../replay.ts'
import { summaryOf } from '../summary.ts'
import { align, numbering } from './align.ts'
import { bootStages, type BootStage } from './boot-stage.ts'
import { compareEvents, NOTHING, optionNames, type OptionNames } from './compare.ts'
import type { ChangeKind, DiffedEvent, EventChange, LogDiff, RegisterDiff } from './log-diff.ts'
import { pairLeftOver, type Pairing } from './pair.ts'
import { registerName } from './register-names.ts'
import { subjectOf } from './subject.ts'

/**
 * What a boot measured that another one did not, event by event: which were added, removed, changed in place or moved,
 * in each register, and what a person needs to know of each. The events of a register are aligned by their digests in
 * one bank; payloads and types decide only how a difference is shown, because only the digests may be believed.
 *
 * `before` is the log to compare with: that of the last good boot, or of a reference. Neither need be authentic for the
 * answer to be exact; where the logs replay to quoted values, so is what it says of the machine, as far as a change is
 * `bound`.
 *
 * Throws `eventlog.bank_missing`, and `eventlog.not_comparable` for a log of PCRs and a log of RTMRs. O(n log n) in
 * time and O(n) in memory for any two logs, whoever wrote them; about 2 ms for two of 200 events.
 */
export function diffLogs(before: EventLog, after: EventLog, bank: ReplayBank): LogDiff {
  if (before.registers !== after.registers) {
    const message = `one log is of ${before.registers.toUpperCase()}s, the other of ${after.registers.toUpperCase()}s`
    throw new TouchstoneError('eventlog.not_comparable', message)
  }
  const [a, b] = [sideOf(before, bank), sideOf(after, bank)]
  const registers = [...new Set([...a.byRegister.keys(), ...b.byRegister.keys()])].sort((x, y) => x - y)
  const number = numbering()
  const unmeasured: EventChange[] = []
  const pcrs = registers.map((register) => diffRegister(register, a, b, number, unmeasured))
  const same = pcrs.every(({ equal }) => equal)
  return {
    bank,
    registers: before.registers,
    same,
    pcrs,
    unmeasured: unmeasured.concat(diffUnmeasured(a, b, number)),
  }
}

/** The bank by which two logs are compared when nobody chose one. Throws `eventlog.not_comparable` where there is none. */
export function commonBank(before: EventLog, after: EventLog): ReplayBank {
  const common = REPLAY_BANKS.find((bank) => before.banks.includes(bank) && after.banks.includes(bank))
  if (common !== undefined) return common
  const message = `one log has ${before.banks.join(', ')}, the other ${after.banks.join(', ')}`
  throw new TouchstoneError('eventlog.not_comparable', message)
}

interface Side {
  readonly kind: RegisterKind
  readonly replayed: ReplayedLog
  readonly stages: readonly BootStage[]
  readonly names: OptionNames
  readonly byRegister: ReadonlyMap<number, readonly AnnotatedEvent[]>
  readonly unmeasured: readonly AnnotatedEvent[]
}

function sideOf(log: EventLog, bank: ReplayBank): Side {
  const replayed = replayEventLog(log, bank)
  const events = annotate(log, bank)
  const byRegister = new Map<number, AnnotatedEvent[]>()
  const unmeasured: AnnotatedEvent[] = []
  for (const annotated of events) {
    const { event, digest } = annotated
    if (!isMeasuredType(event.type, event.pcr) || digest === undefined || !replayed.values.has(event.pcr)) {
      unmeasured.push(annotated)
      continue
    }
    const list = byRegister.get(event.pcr)
    if (list === undefined) byRegister.set(event.pcr, [annotated])
    else list.push(annotated)
  }
  const { registers } = log
  return {
    kind: registers,
    replayed,
    stages: bootStages(events, registers),
    names: optionNames(events),
    byRegister,
    unmeasured,
  }
}

function diffRegister(
  register: number,
  a: Side,
  b: Side,
  number: (key: string) => number,
  unmeasured: EventChange[],
): RegisterDiff {
  const [before, after] = [a.byRegister.get(register) ?? [], b.byRegister.get(register) ?? []]
  const numbers = (events: readonly AnnotatedEvent[]): number[] =>
    events.map(({ digest }) => number(digest?.toString('latin1') ?? ''))
  const alignment = align(numbers(before), numbers(after))
  for (const [i, j] of alignment) {
    const [old, now] = [before[i], after[j]]
    if (old !== undefined && now !== undefined && isRelabelled(old, now)) {
      unmeasured.push({ ...changeOf({ subject: subjectOf(now), before: old, after: now }, a, b), change: 'relabelled' })
    }
  }
  const [valueBefore, valueAfter] = [a.replayed.values.get(register), b.replayed.values.get(register)]
  return {
    register,
    name: registerName(a.kind, register),
    before: valueBefore === undefined ? null : toHex(valueBefore),
    after: valueAfter === undefined ? null : toHex(valueAfter),
    equal: valueBefore !== undefined && valueAfter !== undefined && valueBefore.equals(valueAfter),
    events: { before: before.length, after: after.length },
    changes: pairLeftOver(before, after, alignment).map((pairing) => changeOf(pairing, a, b)),
  }
}

/** Whether a reader can see a difference: where in memory an image was, nobody asks. */
function isRelabelled(before: AnnotatedEvent, after: AnnotatedEvent): boolean {
  if (before.event.type !== after.event.type) return true
  return !before.event.data.equals(after.event.data) && summaryOf(before) !== summaryOf(after)
}

function diffUnmeasured(a: Side, b: Side, number: (key: string) => number): EventChange[] {
  const numbers = (events: readonly AnnotatedEvent[]): number[] =>
    events.map(({ event }) => number(`${event.pcr} ${event.type} ${event.data.toString('latin1')}`))
  const alignment = align(numbers(a.unmeasured), numbers(b.unmeasured))
  return pairLeftOver(a.unmeasured, b.unmeasured, alignment).map((pairing) => changeOf(pairing, a, b))
}

function changeOf({ subject, before, after }: Pairing, a: Side, b: Side): EventChange {
  const compared =
    before === undefined || after === undefined
      ? NOTHING
      : compareEvents(subject.kind, before, after, { before: a.names, after: b.names })
  const stage = after === undefined ? a.stages[before?.event.index ?? 0] : b.stages[after.event.index]
  return {
    change: changeKind(before, after),
    stage: stage ?? 'firmware',
    kind: subject.kind,
    subject: subject.name,
    bound: (before?.binding ?? 'bound') === 'bound' && (after?.binding ?? 'bound') === 'bound',
    ...(before === undefined ? {} : { before: diffedEvent(before) }),
    ...(after === undefined ? {} : { after: diffedEvent(after) }),
    ...compared,
  }
}

function changeKind(before: AnnotatedEvent | undefined, after: AnnotatedEvent | undefined): ChangeKind {
  if (before === undefined) return 'added'
  if (after === undefined) return 'removed'
  const measured = before.binding !== 'none' && after.binding !== 'none'
  return measured && before.digest?.equals(after.digest ?? Buffer.alloc(0)) === true ? 'moved' : 'changed'
}

function diffedEvent(annotated: AnnotatedEvent): DiffedEvent {
  const { event, digest, binding } = annotated
  return {
    index: event.index,
    pcr: event.pcr,
    type: eventTypeName(event.type, event.pcr),
    digest: digest === undefined ? null : toHex(digest),
    binding,
    summary: summaryOf(annotated),
  }
}
