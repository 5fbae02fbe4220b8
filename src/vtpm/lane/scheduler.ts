import { TouchstoneError } from '../../core/index.ts'
import type { Priority, Scheduler } from './types.ts'

export interface SchedulerOptions {
  /** Turns of one tenant that may wait; a connection has one at a time, so this is met by many connections only. */
  readonly maxWaiting?: number
}

const MAX_WAITING = 64

interface Waiting {
  start(): void
  cancel(error: TouchstoneError): void
}

/** The tenants of one priority that wait, in the order of their next turn; a Map keeps that order. */
type Round = Map<string, Waiting[]>

/**
 * One turn at a time. A turn that ends hands over to the highest priority that waits, and there to the tenant that has
 * waited longest for its turn: so nobody delays a quote by more than what is running, and a tenant with a hundred
 * connections gets as many turns as one with a single one.
 */
export function createScheduler(options: SchedulerOptions = {}): Scheduler {
  const { maxWaiting = MAX_WAITING } = options
  const rounds: Readonly<Record<Priority, Round>> = { attestation: new Map(), unseal: new Map(), apps: new Map() }
  const order = [rounds.attestation, rounds.unseal, rounds.apps]
  let running: string | undefined
  let waiting = 0

  const next = (): void => {
    running = undefined
    if (waiting === 0) return
    for (const round of order) {
      for (const [tenant, queue] of round) {
        const turn = queue.shift()
        round.delete(tenant)
        if (turn === undefined) continue
        if (queue.length > 0) round.set(tenant, queue)
        waiting -= 1
        running = tenant
        turn.start()
        return
      }
    }
  }

  const begin = <T>(turn: () => Promise<T>): Promise<T> => {
    let answer: Promise<T>
    try {
      answer = turn()
    } catch (error) {
      // Not awaited yet, so nobody else would give the turn back.
      next()
      throw error
    }
    answer.then(next, next)
    return answer
  }

  const enqueue = <T>(priority: Priority, tenant: string, turn: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const round = rounds[priority]
      const queue = round.get(tenant) ?? []
      if (queue.length >= maxWaiting) {
        reject(new TouchstoneError('vtpm.lane_busy', `${maxWaiting} commands of ${tenant} wait already`))
        return
      }
      round.set(tenant, queue)
      waiting += 1
      queue.push({
        start: () => {
          try {
            resolve(begin(turn))
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
        },
        cancel: reject,
      })
    })

  return {
    run(priority, tenant, turn) {
      if (running !== undefined) return enqueue(priority, tenant, turn)
      running = tenant
      return begin(turn)
    },
    get running() {
      return running
    },
    cancelOldest(tenant) {
      for (const round of order) {
        const queue = round.get(tenant)
        const turn = queue?.shift()
        if (queue === undefined || turn === undefined) continue
        if (queue.length === 0) round.delete(tenant)
        waiting -= 1
        turn.cancel(new TouchstoneError('vtpm.lane_cancelled'))
        return
      }
    },
  }
}
