import type { Check } from '../core/index.ts'
import { isSystemdsText } from '../eventlog/index.ts'
import type { LogView } from './judged-log.ts'
import { IMA_PCR } from './registers.ts'
import type { AuthenticatedBoot } from './rule-table.ts'
import type { RuleMemory } from './remembered-rules.ts'

/** The boot as the firmware left it, for rules over whole registers that systemd then went on with. */
export interface BeforeUserspace {
  readonly boot: AuthenticatedBoot
  /** Registers that the firmware extended, and behind it systemd, with nothing but its own texts. */
  readonly continued: ReadonlySet<number>
  /** What rules said of it before. */
  readonly memory: RuleMemory
}

/** `first`: index of the first event that is systemd's. `undefined`: there is no such register. O(events). */
export function beforeUserspace(
  boot: AuthenticatedBoot,
  { bank, replay }: Pick<LogView, 'bank' | 'replay'>,
  first: number,
): BeforeUserspace | undefined {
  const values = bank === undefined ? undefined : replay.banks.get(bank)?.values
  const registers = new Map(boot.registers)
  const continued = new Set<number>()
  const unread = new Set<number>()
  for (const annotated of boot.events().values()) {
    const { index, pcr } = annotated.event
    if (index < first) continue
    if (isSystemdsText(annotated)) continued.add(pcr)
    else unread.add(pcr)
  }
  for (const pcr of continued) {
    // What logs say of PCR 10, no quote proves: it is IMA's.
    const value = pcr === IMA_PCR ? undefined : values?.get(pcr)
    if (value === undefined || unread.has(pcr)) continued.delete(pcr)
    else registers.set(pcr, value)
  }
  return continued.size === 0 ? undefined : { boot: { ...boot, registers }, continued, memory: [] }
}

/**
 * A register that systemd went on with had two values that the quote proves: what the firmware left, which references
 * are made of, and what it holds now, which grows with each phase. A rule over it holds where either is allowed, and
 * fails where either is revoked. `evaluate`: the same rules over another boot, in the same order.
 */
export function eitherValue(
  now: readonly Check[],
  earlier: BeforeUserspace | undefined,
  evaluate: (earlier: BeforeUserspace) => readonly Check[],
): readonly Check[] {
  if (earlier === undefined || !now.some((check) => isOver(check, earlier.continued))) return now
  const then = evaluate(earlier)
  if (then.length !== now.length) return now
  return now.map((check, at) => {
    const other = then[at]
    if (other === undefined || !isOver(check, earlier.continued) || check.code === REVOKED) return check
    return other.code === REVOKED || (check.outcome !== 'pass' && other.outcome === 'pass') ? other : check
  })
}

const REVOKED = 'policy.revoked'

function isOver({ claim }: Check, registers: ReadonlySet<number>): boolean {
  const pcr = /^pcr\.(\d{1,2})$/.exec(claim ?? '')?.[1]
  return pcr !== undefined && registers.has(Number(pcr))
}
