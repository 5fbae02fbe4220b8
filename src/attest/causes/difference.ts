import type { DiffedEvent, EventChange, LogDiff } from '../../eventlog/index.ts'

/** One event that the two boots do not share. */
export interface Difference extends EventChange {
  readonly register: number
  /**
   * The TPM signed the register and the log replays to what it signed: so the digests are true of this boot. Otherwise the
   * whole difference is only what the log says.
   */
  readonly signed: boolean
}

/** Every measured difference, in the order of the boot within each register. `signed`: whether of this register. */
export function differencesOf(diff: LogDiff, signed: (register: number) => boolean): Difference[] {
  return diff.pcrs.flatMap(({ register, changes }) =>
    changes.map((change) => ({ ...change, register, signed: signed(register) })),
  )
}

/** The event as it is now or, where it was removed, as it was. */
export function eventOf({ after, before }: EventChange): DiffedEvent | undefined {
  return after ?? before
}

export function summaryOf(change: EventChange): string {
  return eventOf(change)?.summary ?? change.subject
}

/** A text as it was and as it is, put together from the runs of words; of other events, their summaries. */
export function textsOf({ words, before, after }: EventChange): { readonly before: string; readonly after: string } {
  if (words.length === 0) return { before: before?.summary ?? '', after: after?.summary ?? '' }
  const side = (name: 'before' | 'after') =>
    words
      .filter((run) => run.in !== (name === 'before' ? 'after' : 'before'))
      .map(({ text }) => text)
      .join('')
  return { before: side('before'), after: side('after') }
}

const ROOT_FILE_SYSTEM = 'root file system '

/** What a reference may know the measurement by: its digest, and the hash of a root file system's image. */
export function valuesOf(event: DiffedEvent | undefined): readonly string[] {
  if (event === undefined) return []
  const digest = event.digest === null ? [] : [event.digest]
  // The hash is in a bound text, so it is the one that was measured.
  const isImage = event.binding === 'bound' && event.summary.startsWith(ROOT_FILE_SYSTEM)
  return isImage ? [...digest, event.summary.slice(ROOT_FILE_SYSTEM.length)] : digest
}

const MAX_TEXT = 160

/** One line on a change, for a person who knows what the event is about. */
export function describeChange(change: EventChange): string {
  const { fields, subject, added, removed, words } = change
  const summary = summaryOf(change)
  switch (change.change) {
    case 'added':
      return `new: ${cut(summary)}`
    case 'removed':
      return `gone: ${cut(summary)}`
    case 'moved':
      return `at another place: ${cut(summary)}`
    case 'relabelled':
    case 'changed':
      break
  }
  const lists = [...removed.map((name) => `-${name}`), ...added.map((name) => `+${name}`)]
  if (words.length > 0) return `${subject}: ${changedWords(change)}`
  const [first] = fields
  if (first !== undefined) {
    const more = fields.length > 1 ? ` and ${fields.length - 1} more` : ''
    const name = ['value', 'order', 'digest', 'content'].includes(first.name) ? '' : ` ${first.name}`
    return `${subject}${name} ${valueText(first.before)} → ${valueText(first.after)}${more}`
  }
  return lists.length > 0 ? `${subject}: ${cut(lists.slice(0, 4).join(', '))}` : subject
}

function changedWords({ words }: EventChange): string {
  const gone = words.filter((run) => run.in === 'before').map(({ text }) => text.trim())
  const come = words.filter((run) => run.in === 'after').map(({ text }) => text.trim())
  return cut([...gone.map((text) => `-${text}`), ...come.map((text) => `+${text}`)].join(' '))
}

function valueText(value: string | null): string {
  if (value === null) return 'none'
  return /^[0-9a-f]{40,}$/.test(value) ? `${value.slice(0, 16)}…` : cut(value, 64)
}

export function cut(text: string, most = MAX_TEXT): string {
  return text.length <= most ? text : `${text.slice(0, most - 1).toWellFormed()}…`
}
