import { readHandles, readTpmProfile, type TpmProfile } from './command-attributes.ts'
import type { Holder, VirtualObject } from './holder.ts'
import { objectPool, type ObjectPool } from './object-pool.ts'
import { rawCommand, TPM_CC } from './raw-commands.ts'
import { sessionPool, type SessionPool } from './session-pool.ts'
import type { Execute, HardwareChannel } from './types.ts'

/** What is loaded in the TPM, and whose it is. All of it is used and changed inside turns only. */
export interface TpmState {
  readonly profile: TpmProfile
  readonly objects: ObjectPool
  readonly sessions: SessionPool
  readonly holders: Set<Holder>
  /** True when the TPM was lost or reset since: then {@link reconcile} comes before anything else. */
  isStale(): boolean
  /** Compares what the lane believes with what the TPM has: what is gone is forgotten, what belongs to nobody is flushed. */
  reconcile(): Promise<void>
  /** Flushes the objects and sessions of one holder; its parent key too, when the holder ends. */
  free(holder: Holder): Promise<void>
}

const TRANSIENT = 0x80000000
const LOADED_SESSIONS = 0x02000000
const SAVED_SESSIONS = 0x03000000

/** Takes the TPM over: whatever is loaded was left behind by somebody who is gone, because the lane owns the TPM alone. */
export async function takeOver(channel: HardwareChannel, execute: Execute): Promise<TpmState> {
  const flush = (handle: number) => execute(rawCommand(TPM_CC.FLUSH_CONTEXT, handle))
  let { epoch, resetCount } = channel
  for (const first of [TRANSIENT, LOADED_SESSIONS, SAVED_SESSIONS]) {
    for (const handle of await readHandles(execute, first)) await flush(handle)
  }
  const profile = await readTpmProfile(execute)
  const objects = objectPool(execute, profile.objectSlots)
  const sessions = sessionPool(execute, profile.sessionSlots, profile.contextGap)
  const holders = new Set<Holder>()

  function* allObjects(): Iterable<VirtualObject> {
    for (const holder of holders) {
      if (holder.parent !== undefined) yield holder.parent
      yield* holder.objects.values()
    }
  }

  return {
    profile,
    objects,
    sessions,
    holders,
    isStale: () => channel.epoch !== epoch,
    async reconcile() {
      const seen = { epoch: channel.epoch, resetCount: channel.resetCount }
      const present = new Set(await readHandles(execute, TRANSIENT))
      const loaded = await readHandles(execute, LOADED_SESSIONS)
      const saved = await readHandles(execute, SAVED_SESSIONS)
      const wereReset = seen.resetCount !== resetCount
      const orphans = [
        ...objects.reconcile(present, wereReset, allObjects()),
        ...sessions.reconcile(loaded, saved, wereReset),
      ]
      for (const handle of orphans) await flush(handle)
      // Whether an index was defined by a command whose answer was lost, only the TPM knows.
      for (const holder of holders) holder.nv = undefined
      epoch = seen.epoch
      resetCount = seen.resetCount
    },
    async free(holder) {
      for (const object of [...holder.objects.values()]) await objects.flush(object)
      for (const session of [...holder.sessions.values()]) await sessions.flush(session)
      // An idle tenant's parent key makes way by itself, and would have to be loaded anew.
      if (holder.isGone && holder.parent !== undefined) await objects.flush(holder.parent)
    },
  }
}
