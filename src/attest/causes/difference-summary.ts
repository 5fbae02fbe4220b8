import type { EventChange, LogDiff } from '../../eventlog/index.ts'
import { cut } from './difference.ts'

/** A {@link LogDiff} of bounded size: what is shown of a difference, and how much is not. */
export interface DifferenceSummary extends Omit<LogDiff, 'pcrs' | 'unmeasured'> {
  readonly pcrs: readonly RegisterSummary[]
  /** How many labels and EV_NO_ACTION events differ; nobody vouches for either. */
  readonly unmeasured: number
}

export type RegisterSummary = LogDiff['pcrs'][number] & {
  /** Changes of the register that are left out here. */
  readonly more: number
}

const MAX_OF_REGISTER = 16
const MAX_CHANGES = 64
const MAX_TEXT = 256
const MAX_MEMBERS = 8
const MAX_RUNS = 24

/** Below 200 KiB for any two logs; some KiB for two boots of one machine. */
export function summariseDiff({ bank, registers, same, pcrs, unmeasured }: LogDiff): DifferenceSummary {
  let room = MAX_CHANGES
  return {
    bank,
    registers,
    same,
    pcrs: pcrs.map((register) => {
      const changes = register.changes.slice(0, Math.min(MAX_OF_REGISTER, room)).map(bound)
      room -= changes.length
      return { ...register, changes, more: register.changes.length - changes.length }
    }),
    unmeasured: unmeasured.length,
  }
}

function bound(change: EventChange): EventChange {
  const { subject, before, after, fields, added, removed, words } = change
  return {
    ...change,
    subject: cut(subject, MAX_TEXT),
    ...(before === undefined ? {} : { before: { ...before, summary: cut(before.summary, MAX_TEXT) } }),
    ...(after === undefined ? {} : { after: { ...after, summary: cut(after.summary, MAX_TEXT) } }),
    fields: fields.slice(0, MAX_MEMBERS).map(({ name, before: old, after: now }) => ({
      name: cut(name, MAX_TEXT),
      before: old === null ? null : cut(old, MAX_TEXT),
      after: now === null ? null : cut(now, MAX_TEXT),
    })),
    added: some(added),
    removed: some(removed),
    words: words
      .slice(0, MAX_RUNS)
      .map((run) => ({ ...run, text: run.in === 'both' ? middle(run.text) : cut(run.text, MAX_TEXT) })),
  }
}

function some(names: readonly string[]): string[] {
  const shown = names.slice(0, MAX_MEMBERS).map((name) => cut(name, MAX_TEXT))
  const more = names.length - shown.length
  return more === 0 ? shown : [...shown, `… and ${more} more`]
}

/** Of what did not change, the ends next to what did. */
function middle(text: string): string {
  const half = MAX_TEXT / 2
  return text.length <= MAX_TEXT ? text : `${text.slice(0, half).toWellFormed()} … ${text.slice(-half).toWellFormed()}`
}
