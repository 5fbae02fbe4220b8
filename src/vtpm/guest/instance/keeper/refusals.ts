import type { FromKeeper } from './protocol.ts'

/** One that waits for a broker, or was told and not yet acknowledged. */
export type Refusal = Omit<Extract<FromKeeper, { type: 'refused' }>, 'type'>

/** Refused commands on their way into the audit log, bounded, and what did not fit is counted. */
export interface Refusals {
  add(refused: Omit<Refusal, 'sequence'>): void
  /** Those that no broker has written down yet, oldest first. */
  readonly waiting: Iterable<Refusal>
  acknowledge(sequence: number): void
  /** Tells of those that were only counted, where there is room for it again. To be called now and then. */
  flush(): void
}

/** Of one guest: enough to see what it tries, too few to fill the log with it. */
const BURST = 20
const MS_PER_ENTRY = 10_000
/** Of all of them, while no broker takes any. */
const MOST_WAITING = 1_024

interface Account {
  /** Until when its share is used up. */
  spent: number
  waiting: number
  missed: number
}

/** `now` is in milliseconds and never goes back; `onNew` is told what was put at the end. */
export function refusalQueue(now: () => number, onNew: (refusal: Refusal) => void): Refusals {
  const accounts = new Map<string, Account>()
  const queue: Refusal[] = []
  let sequence = 0

  const put = (account: Account, refused: Omit<Refusal, 'sequence'>): boolean => {
    const spent = Math.max(now(), account.spent) + MS_PER_ENTRY
    if (spent > now() + BURST * MS_PER_ENTRY) return false
    if (account.waiting >= BURST || queue.length >= MOST_WAITING) return false
    account.spent = spent
    account.waiting++
    const refusal = { sequence: ++sequence, ...refused }
    queue.push(refusal)
    onNew(refusal)
    return true
  }
  const putMissed = (guest: string, account: Account): boolean => {
    if (account.missed === 0) return true
    const told = put(account, { guest, command: `${account.missed} more`, reason: 'control.missed' })
    if (told) account.missed = 0
    return told
  }
  return {
    add(refused) {
      const { guest } = refused
      const account = accounts.get(guest) ?? { spent: 0, waiting: 0, missed: 0 }
      accounts.set(guest, account)
      if (!putMissed(guest, account) || !put(account, refused)) account.missed++
    },
    get waiting() {
      return queue
    },
    acknowledge(sequence) {
      const at = queue.findIndex((refusal) => refusal.sequence === sequence)
      const [told] = at < 0 ? [] : queue.splice(at, 1)
      const account = told === undefined ? undefined : accounts.get(told.guest)
      if (account !== undefined) account.waiting--
    },
    flush() {
      for (const [guest, account] of accounts) {
        putMissed(guest, account)
        if (account.missed === 0 && account.waiting === 0 && account.spent <= now()) accounts.delete(guest)
      }
    },
  }
}
