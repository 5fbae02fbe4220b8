import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isTouchstoneError, TouchstoneError } from '../../../../core/index.ts'
import { oneAtATime } from '../../one-at-a-time.ts'
import type { SwtpmProgram } from '../features.ts'
import { isSameProcess } from '../process-identity.ts'
import type { KeeperNews, RefusedControl } from '../types.ts'
import { openKeeperFiles, type KeeperFiles } from './keeper-files.ts'
import { connectKeeper, type KeeperLink, type LinkEvents } from './link.ts'
import { KEEPER_FILES, type Exposure } from './protocol.ts'
import { startKeeper } from './start-keeper.ts'

export interface KeepersOptions {
  readonly runDir: string
  readonly program: SwtpmProgram
  /** Of which Touchstone this is: a keeper of another one is left as soon as it can be. */
  readonly build: string
  readonly onRefused: (refused: RefusedControl) => Promise<void>
  /** Whether guests are to be expected: the first one's start does not wait for the keeper's then. */
  readonly ahead: boolean
  readonly onReset: (guest: string, count: number) => void
  readonly onNews: (news: KeeperNews) => void
}

/** The broker's side of the control keeper: of the one that serves, and of older ones that still have machines. */
export interface Keepers {
  /** Guests whose control sockets some keeper serves. */
  readonly guests: readonly string[]
  keeps(guest: string): boolean
  /** Has the guest's control socket served from now on, also without this process. Rejects with `guest.keeper`. */
  serve(exposure: Exposure): Promise<void>
  /** The same of one that was served before: where it fails, that is told, and it is tried again until it works. */
  resume(exposure: Exposure): Promise<void>
  /**
   * Resolves with whether the TPM is shut down, when nobody but the caller speaks to its swtpm any more. Throws
   * `guest.attached` where a virtual machine is, unless forced.
   */
  withdraw(guest: string, force: boolean): Promise<boolean>
  /** A virtual machine has the guest's data channel. */
  isAttached(guest: string): boolean
  /** What is kept stays so. */
  close(): Promise<void>
}

interface Wanted {
  readonly exposure: Exposure
  /** For the keeper that gets it next. */
  power: Exposure['power']
  link: KeeperLink | undefined
  /** As it was known last. */
  attached: boolean
}

const PATIENCE = 15_000
/** Between two attempts to have one again. */
const PAUSES = [0, 500, 2_000, 10_000]
const MOST_TRIES = 3
/** For a connection that has just ended to be seen as such. */
const TURN = 10

/** Finds the keepers that run, and removes what dead ones left. Rejects with `guest.keeper` where one cannot be talked to. */
export async function openKeepers(options: KeepersOptions): Promise<Keepers> {
  const { build, program, onNews, onReset, onRefused } = options
  const files = await openKeeperFiles(options.runDir)
  const links = new Set<KeeperLink>()
  const wanted = new Map<string, Wanted>()
  const turns = oneAtATime()
  const closing = new AbortController()
  const isClosing = () => closing.signal.aborted
  let starting: Promise<KeeperLink> | undefined
  let mending: Promise<void> | undefined
  let settling = Promise.resolve()

  const isCurrent = (link: KeeperLink): boolean => link.build === build
  const take = (link: KeeperLink, dir: string): KeeperLink => {
    links.add(link)
    void link.closed.then(() => {
      settling = settling.then(() => onClosed(link, dir)).catch(() => undefined)
    })
    return link
  }
  /** Either the keeper ended, or the connection alone. */
  const onClosed = async (link: KeeperLink, dir: string): Promise<void> => {
    if (!links.delete(link) || isClosing()) return
    for (const each of wanted.values()) if (each.link === link) each.link = undefined
    // One that runs and cannot be talked to keeps its guests from whoever could serve them.
    const again = await find(files, dir, events).catch(() => files.kill(dir))
    if (again !== undefined) take(again, dir)
    else {
      onNews({ what: 'lost', pid: link.pid, detail: await files.lastWords(dir) })
      await files.remove(dir)
    }
    mend()
  }
  const events: LinkEvents = {
    onRefused,
    onReset,
    onState({ guest, attached }, link) {
      const item = wanted.get(guest)
      if (item?.link !== link || attached || isCurrent(link)) return
      // The machine that an older keeper still had has left: from now on the new one serves the guest.
      void turns.run(guest, () => place(item)).catch(() => mend())
    },
  }

  const begin = async (): Promise<KeeperLink> => {
    let dir: string | undefined
    let ended: string | undefined
    try {
      dir = await files.make()
      startKeeper({ dir, build, program }, (why) => (ended = why))
      const link = take(await whenThere(dir, () => ended !== undefined), dir)
      onNews({ what: 'started', pid: link.pid })
      return link
    } catch (cause) {
      const words = dir === undefined ? '' : await files.lastWords(dir)
      if (dir !== undefined) await files.remove(dir)
      const why = [ended ?? messageOf(cause), words].filter((part) => part !== '').join(': ')
      throw new TouchstoneError('guest.keeper', `the control keeper did not start: ${why}`, { cause })
    }
  }
  const whenThere = async (dir: string, hasEnded: () => boolean): Promise<KeeperLink> => {
    const deadline = performance.now() + PATIENCE
    for (;;) {
      try {
        return await connectKeeper(join(dir, KEEPER_FILES.socket), events, PATIENCE)
      } catch (error) {
        if (hasEnded() || performance.now() > deadline || isClosing()) throw error
        await delay(2)
      }
    }
  }
  const current = async (): Promise<KeeperLink> => {
    await settling
    return [...links].find(isCurrent) ?? (await (starting ??= begin().finally(() => (starting = undefined))))
  }

  const holderOf = ({ guest, swtpm }: Exposure): KeeperLink | undefined =>
    [...links].find((link) => {
      const state = link.guests.get(guest)
      return state?.pid === swtpm.pid && state.startTime === swtpm.startTime
    })
  /** Takes it from an older keeper, and remembers how it was left. False where a virtual machine is. */
  const takeFrom = async (holder: KeeperLink, item: Wanted): Promise<boolean> => {
    const { guest } = item.exposure
    try {
      item.power = (await holder.retract(guest, false)) ? 'off' : 'unknown'
    } catch (error) {
      if (!isTouchstoneError(error, 'guest.attached')) throw error
      return false
    }
    if (holder.guests.size === 0) leave(holder)
    return true
  }
  /** It ends by itself. */
  const leave = (holder: KeeperLink): void => {
    links.delete(holder)
    holder.close()
  }
  /** Has one keeper serve it, and no other. In the guest's turn. */
  const place = async (item: Wanted): Promise<void> => {
    const { exposure } = item
    if (wanted.get(exposure.guest) !== item) return
    await settling
    const holder = holderOf(exposure)
    if (holder !== undefined && !isCurrent(holder) && !(await takeFrom(holder, item))) {
      item.link = holder
      return
    }
    const link = holder !== undefined && isCurrent(holder) ? holder : await current()
    await link.expose({ ...exposure, power: item.power })
    item.link = link
    // From now on somebody may use it.
    item.power = 'unknown'
  }
  const mendAll = async (): Promise<void> => {
    for (let tries = 0; !isClosing(); tries++) {
      await settling
      const homeless = [...wanted].filter(([, { link }]) => link === undefined)
      // Where guests are to be expected, one is kept ready.
      const isMissing = options.ahead && ![...links].some(isCurrent)
      if (homeless.length === 0 && !isMissing) return
      try {
        await delay(PAUSES[Math.min(tries, PAUSES.length - 1)], undefined, { ref: false, signal: closing.signal })
        if (isMissing) await current()
        for (const [guest, item] of homeless) await turns.run(guest, () => place(item))
      } catch (error) {
        if (!isClosing()) onNews({ what: 'failed', detail: messageOf(error) })
      }
    }
  }
  const mend = (): void => {
    mending ??= mendAll().finally(() => (mending = undefined))
  }
  const want = (exposure: Exposure): Wanted => {
    const before = wanted.get(exposure.guest)
    if (before?.exposure.swtpm.pid === exposure.swtpm.pid) return before
    const item: Wanted = { exposure, power: exposure.power, link: undefined, attached: exposure.attachment === 'qemu' }
    wanted.set(exposure.guest, item)
    return item
  }
  const stateOf = (item: Wanted) => item.link?.guests.get(item.exposure.guest)

  for (const dir of await files.dirs()) {
    const link = await find(files, dir, events)
    if (link === undefined) {
      await files.remove(dir)
      continue
    }
    take(link, dir)
    onNews({ what: 'adopted', pid: link.pid, detail: `of Touchstone ${link.build}, with ${link.guests.size} guests` })
    if (!isCurrent(link) && link.guests.size === 0) leave(link)
  }
  if (options.ahead) mend()
  return {
    get guests() {
      return [...links].flatMap((link) => [...link.guests.keys()])
    },
    keeps: (guest) => [...links].some(({ guests }) => guests.has(guest)),
    async serve(exposure) {
      const item = want(exposure)
      try {
        await turns.run(exposure.guest, () => place(item))
      } catch (error) {
        wanted.delete(exposure.guest)
        throw error
      }
    },
    async resume(exposure) {
      const item = want(exposure)
      try {
        await turns.run(exposure.guest, () => place(item))
      } catch (error) {
        onNews({ what: 'failed', detail: messageOf(error) })
        mend()
      }
    },
    withdraw: (guest, force) =>
      turns.run(guest, async () => {
        for (let tries = 1; ; tries++) {
          // The next broker's, from then on.
          if (isClosing()) return false
          await settling
          const item = wanted.get(guest)
          try {
            // Only a keeper can say whether a virtual machine is there: where it died, the next one is asked.
            if (item !== undefined && item.link === undefined) await place(item)
            const link = item?.link ?? [...links].find(({ guests }) => guests.has(guest))
            const shutDown = (await link?.retract(guest, force)) ?? false
            wanted.delete(guest)
            return shutDown
          } catch (error) {
            if (isTouchstoneError(error, 'guest.attached')) throw error
            if (tries < MOST_TRIES) {
              await delay(TURN)
              continue
            }
            if (!force) throw error
            wanted.delete(guest)
            return false
          }
        }
      }),
    isAttached(guest) {
      const item = wanted.get(guest)
      if (item === undefined) return false
      item.attached = stateOf(item)?.attached ?? item.attached
      return item.attached
    },
    async close() {
      closing.abort()
      await turns.idle()
      await mending
      for (const link of links) link.close()
    },
  }
}

/** The keeper of this directory; undefined where it has ended. Rejects with `guest.keeper` where it cannot be talked to. */
async function find(files: KeeperFiles, dir: string, events: LinkEvents): Promise<KeeperLink | undefined> {
  const identity = await files.process(dir)
  const deadline = performance.now() + PATIENCE
  for (;;) {
    if (identity === undefined || !(await isSameProcess(identity))) return undefined
    try {
      return await connectKeeper(join(dir, KEEPER_FILES.socket), events, PATIENCE)
    } catch (error) {
      const isForeign = isTouchstoneError(error, 'guest.keeper') && 'protocol' in error.details
      if (isForeign || performance.now() > deadline) throw error
      // It may be about to end, for want of guests.
      await delay(20)
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
