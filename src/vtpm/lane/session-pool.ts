import { TPM_RC } from '../../tpm/index.ts'
import type { Holder, LaneSession } from './holder.ts'
import { GONE, NOTHING_LEFT } from './object-pool.ts'
import { contextLoadOf, rawCommand, rcOf, TPM_CC } from './raw-commands.ts'
import type { Execute } from './types.ts'

/**
 * The sessions of all tenants: a few are loaded, the others saved (Part 1 section 30.4). A saved session is good once, and not
 * for ever: the TPM numbers contexts and bounds the gap between the oldest and the newest, so old ones are renewed in time.
 */
export interface SessionPool {
  /** Loads the session where it is not. Answers 0, {@link GONE}, or the code that the TPM insists on. */
  bringIn(session: LaneSession, turn: number): Promise<number>
  /** Makes sure of a free slot for one more session, as far as this turn allows. */
  makeRoom(turn: number): Promise<void>
  /** Saves one session that this turn does not use. Answers 0, {@link NOTHING_LEFT}, or the TPM's code. */
  evictOne(turn: number): Promise<number>
  /** Loads and saves the oldest saved session. Answers 0, {@link NOTHING_LEFT}, or the TPM's code. */
  refreshOldest(): Promise<number>
  /**
   * The session to give up when the TPM can track no more of them and `asking` wants one: the least recently used of
   * the tenant that holds most, when that is more than `asking` would hold. So nobody can take the last from others, but
   * who comes before apps takes the three from them that a command can have; and tenants never take one of the broker's.
   */
  excessive(asking: Holder, turn: number): LaneSession | undefined
  adopt(holder: Holder, handle: number, turn: number): void
  flush(session: LaneSession): Promise<void>
  /** Drops a session that the TPM has ended. */
  forget(session: LaneSession): void
  /** As for objects; `loaded` and `saved` are what the TPM reports. Answers those of them that belong to nobody. */
  reconcile(loaded: readonly number[], saved: readonly number[], wereReset: boolean): readonly number[]
}

/** Bits of a session handle that number it; the others are its type, which the TPM leaves open for saved ones. */
const SESSION_NUMBER = 0x00ffffff

/** A TPM that still reports a gap after that many renewals reports something else. */
const MOST_RENEWALS = 64

/** Sessions that one command can have: Part 1 section 18.6. */
const MOST_IN_A_COMMAND = 3

/** `gap` is TPM_PT_CONTEXT_GAP_MAX. */
export function sessionPool(execute: Execute, slots: number, gap: number): SessionPool {
  const all = new Map<number, LaneSession>()
  let saves = 0
  /**
   * A quarter of the gap. Each save renews at most one session, so while n of them are old the oldest ages by 2n more:
   * with 64 sessions and the smallest gap (255) that stays in bounds.
   */
  const oldAge = Math.floor(gap / 4)

  const forget = (session: LaneSession): void => {
    session.isLoaded = false
    session.reload = undefined
    session.holder.sessions.delete(session.handle)
    if (all.get(session.handle & SESSION_NUMBER) === session) all.delete(session.handle & SESSION_NUMBER)
  }

  const loadedCount = (): number => {
    let count = 0
    for (const { isLoaded } of all.values()) if (isLoaded) count += 1
    return count
  }

  const oldestSaved = (): LaneSession | undefined => {
    let oldest: LaneSession | undefined
    for (const session of all.values()) {
      if (!session.isLoaded && (oldest === undefined || session.savedAt < oldest.savedAt)) oldest = session
    }
    return oldest
  }

  const saveOnce = async (session: LaneSession): Promise<number> => {
    const response = await execute(rawCommand(TPM_CC.CONTEXT_SAVE, session.handle))
    const rc = rcOf(response)
    if (rc === 0) {
      session.reload = contextLoadOf(response)
      session.isLoaded = false
      session.savedAt = ++saves
      return 0
    }
    if ((rc & 0x80) === 0) return rc
    // The TPM does not know it: it needs no saving, and no slot.
    forget(session)
    return 0
  }

  const loadOnce = async (session: LaneSession): Promise<number> => {
    if (session.reload === undefined) {
      forget(session)
      return GONE
    }
    const rc = rcOf(await execute(session.reload))
    if (rc === 0) {
      session.isLoaded = true
      session.reload = undefined
    } else if ((rc & 0x80) !== 0 || rc === TPM_RC.BAD_CONTEXT) {
      forget(session)
      return GONE
    }
    return rc
  }

  const refreshOldest = async (): Promise<number> => {
    const oldest = oldestSaved()
    if (oldest === undefined) return NOTHING_LEFT
    const rc = await loadOnce(oldest)
    if (rc === GONE) return 0
    return rc === 0 ? saveOnce(oldest) : rc
  }

  const save = async (session: LaneSession): Promise<number> => {
    let rc = await saveOnce(session)
    if (rc === TPM_RC.CONTEXT_GAP && (await refreshOldest()) === 0) rc = await saveOnce(session)
    if (rc !== 0) return rc
    const oldest = oldestSaved()
    if (oldest !== undefined && saves - oldest.savedAt > oldAge) await refreshOldest()
    return 0
  }

  const evictOne = async (turn: number): Promise<number> => {
    let answer = NOTHING_LEFT
    const candidates = [...all.values()]
      .filter(({ isLoaded, usedAt }) => isLoaded && usedAt !== turn)
      .sort((a, b) => a.usedAt - b.usedAt)
    for (const candidate of candidates) {
      answer = await save(candidate)
      if (answer === 0) return 0
    }
    return answer
  }

  const makeRoom = async (turn: number): Promise<void> => {
    while (loadedCount() >= slots) if ((await evictOne(turn)) !== 0) return
  }

  return {
    evictOne,
    makeRoom,
    refreshOldest,
    forget,
    async bringIn(session, turn) {
      session.usedAt = turn
      await makeRoom(turn)
      for (let renewals = 0; ; renewals++) {
        const rc = await loadOnce(session)
        if (rc === TPM_RC.SESSION_MEMORY || rc === TPM_RC.SESSION_HANDLES) {
          if ((await evictOne(turn)) !== 0) return rc
        } else if (rc === TPM_RC.CONTEXT_GAP) {
          if (renewals === MOST_RENEWALS || oldestSaved() === session || (await refreshOldest()) !== 0) return rc
        } else return rc
      }
    },
    excessive(asking, turn) {
      const holders = [...all.values()]
        .map(({ holder }) => holder)
        .filter(({ config }) => config.class !== 'broker' || asking.config.class === 'broker')
      // Many apps with a session each would otherwise leave none for a quote.
      const comesFirst = asking.config.priority !== 'apps' && asking.sessions.size < MOST_IN_A_COMMAND
      const apps = comesFirst ? holders.filter(({ config }) => config.priority === 'apps') : []
      let richest: Holder | undefined
      for (const holder of apps.length > 0 ? apps : holders) {
        if (richest === undefined || holder.sessions.size > richest.sessions.size) richest = holder
      }
      if (richest === undefined) return undefined
      if (apps.length === 0 && richest.sessions.size <= asking.sessions.size + 1) return undefined
      let victim: LaneSession | undefined
      for (const session of richest.sessions.values()) {
        if (session.usedAt !== turn && (victim === undefined || session.usedAt < victim.usedAt)) victim = session
      }
      return victim
    },
    adopt(holder, handle, turn) {
      const stale = all.get(handle & SESSION_NUMBER)
      if (stale !== undefined) forget(stale)
      const session: LaneSession = {
        holder,
        handle,
        isLoaded: true,
        reload: undefined,
        savedAt: 0,
        parkedAs: 0,
        usedAt: turn,
      }
      all.set(handle & SESSION_NUMBER, session)
      holder.sessions.set(handle, session)
    },
    async flush(session) {
      await execute(rawCommand(TPM_CC.FLUSH_CONTEXT, session.handle))
      forget(session)
    },
    reconcile(loaded, saved, wereReset) {
      const numbers = (handles: readonly number[]) => new Set(handles.map((handle) => handle & SESSION_NUMBER))
      const [isLoaded, isSaved] = [numbers(loaded), numbers(saved)]
      for (const [number, session] of [...all]) {
        if (!wereReset && isLoaded.has(number)) {
          session.isLoaded = true
          session.reload = undefined
        } else if (wereReset || session.reload === undefined || !isSaved.has(number)) forget(session)
        else session.isLoaded = false
      }
      return [...loaded, ...saved].filter((handle) => !all.has(handle & SESSION_NUMBER))
    },
  }
}
