import { toRfc3339 } from '../../core/index.ts'
import type { Members } from './audit-entry.ts'
import type { AuditRecord } from './types.ts'

/** Of each tenant: enough to see what it tries, too few to fill a disk with. */
const BURST = 50
const MS_PER_ENTRY = 10_000
/** Refusals beyond that are told once in this time, as one row. */
export const COUNTING_MS = 60_000
/** In one row; what a tenant can do wrong is a short list. */
const MOST_REASONS = 16
const OTHER = 'other'

interface Account {
  /** Until when its share of whole entries is used up. */
  spent: number
  /** Since when refusals are only counted, and why they were refused. */
  since: number
  readonly reasons: Map<string, number>
}

export interface RefusalBudget {
  /** Writes it down as it is, or counts it. */
  take(record: AuditRecord): void
  /** Writes the rows that are due; all that there are, where `isEnd`. Answers whether some are still to come. */
  settle(isEnd?: boolean): boolean
}

/** `whole` and `row` write an entry: as it was refused, and a count. Costs a map's look-up for each refusal. */
export function refusalBudget(
  now: () => number,
  whole: (record: AuditRecord) => void,
  row: (members: Members) => void,
): RefusalBudget {
  const accounts = new Map<string, Account>()

  const count = (account: Account, reason = OTHER): void => {
    const { reasons } = account
    if (reasons.size === 0) account.since = now()
    const as = reasons.has(reason) || reasons.size < MOST_REASONS - 1 ? reason : OTHER
    reasons.set(as, (reasons.get(as) ?? 0) + 1)
  }
  const tell = (tenant: string, { since, reasons }: Account): void => {
    const counted = [...reasons].sort(([a], [b]) => (a < b ? -1 : 1))
    const refusals = counted.reduce((sum, [, times]) => sum + times, 0)
    row({ event: 'refusals', tenant, refusals, since: toRfc3339(since), reasons: Object.fromEntries(counted) })
    reasons.clear()
  }
  const isDue = ({ since }: Account, at: number) => Math.abs(at - since) >= COUNTING_MS
  return {
    take(record) {
      const { tenant, reason } = record
      const account = accounts.get(tenant) ?? { spent: 0, since: 0, reasons: new Map<string, number>() }
      accounts.set(tenant, account)
      const at = now()
      // A clock that was set back must not make it wait for the time that it came from.
      account.spent = Math.min(account.spent, at + BURST * MS_PER_ENTRY)
      const spent = Math.max(at, account.spent) + MS_PER_ENTRY
      // What is counted is told before another entry is written whole, or the order would be wrong.
      if (spent > at + BURST * MS_PER_ENTRY || account.reasons.size > 0) {
        count(account, reason)
        if (isDue(account, at)) tell(tenant, account)
        return
      }
      account.spent = spent
      whole(record)
    },
    settle(isEnd = false) {
      const at = now()
      for (const [tenant, account] of accounts) {
        if (account.reasons.size > 0 && (isEnd || isDue(account, at))) tell(tenant, account)
        if (account.reasons.size === 0 && account.spent <= at) accounts.delete(tenant)
      }
      return [...accounts.values()].some(({ reasons }) => reasons.size > 0)
    },
  }
}
