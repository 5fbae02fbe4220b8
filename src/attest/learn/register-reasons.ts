import { toHex } from '../../core/index.ts'
import { eventRef } from '../../eventlog/index.ts'
import { RULES } from '../rule-table.ts'
import { isRegister } from './boot-rules.ts'
import type { LearnedFact, LeftOut } from './boot-rules.ts'
import type { ObservedBoot } from './observed-boot.ts'

const MAX_EVENTS = 3
const MAX_SUMMARY = 60

/**
 * Why registers differ from boot to boot: the facts of them that do, or the events where no fact says it. O(events of all
 * boots) for each register that differs.
 */
export function withReasons(facts: readonly LearnedFact[], boots: readonly ObservedBoot[]): readonly LeftOut[] {
  const differing = new Set(
    facts.flatMap(({ learned, leftOut }) => {
      if (leftOut !== undefined) return [leftOut.fact]
      return learned?.variants === undefined ? [] : [learned.row.fact]
    }),
  )
  return facts.flatMap(({ leftOut }) => {
    if (leftOut === undefined) return []
    const row = RULES.find(({ fact }) => fact === leftOut.fact)
    const [pcr] = row?.pcrs ?? []
    if (row === undefined || pcr === undefined || !isRegister(row)) return [leftOut]
    const names = RULES.filter((other) => !isRegister(other) && other.pcrs.includes(pcr) && differing.has(other.fact))
    const reasons = names.length > 0 ? names.map(({ fact }) => fact) : differingEvents(pcr, boots)
    return [reasons.length === 0 ? leftOut : { ...leftOut, why: `${leftOut.why}: ${reasons.join(', ')}` }]
  })
}

/** Events of the register whose digest not every boot has, the first few by type and content. */
function differingEvents(pcr: number, boots: readonly ObservedBoot[]): string[] {
  const measured = boots.map(({ boot }) =>
    [...boot.events().values()].filter(({ event, binding }) => event.pcr === pcr && binding !== 'none'),
  )
  const digests = measured.map(
    (events) => new Set(events.map(({ digest }) => (digest === undefined ? '' : toHex(digest)))),
  )
  const names = new Set<string>()
  for (const events of measured) {
    for (const annotated of events) {
      const { digest } = annotated
      if (digest === undefined || digests.every((set) => set.has(toHex(digest)))) continue
      const { type, summary } = eventRef(annotated)
      names.add(`${type} ${summary.length > MAX_SUMMARY ? `${summary.slice(0, MAX_SUMMARY)}…` : summary}`.trim())
    }
  }
  const listed = [...names].slice(0, MAX_EVENTS)
  return names.size > MAX_EVENTS ? [...listed, `${names.size - MAX_EVENTS} more events`] : listed
}
