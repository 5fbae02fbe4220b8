import { HEADER_BYTES, TPM_RC } from '../../tpm/index.ts'
import { freeHandle, type Holder, type VirtualObject } from './holder.ts'
import { contextLoadOf, rawCommand, rcOf, TPM_CC } from './raw-commands.ts'
import type { Execute } from './types.ts'

/** Answers of the pools beside return codes: there is nothing that could be swapped out; the thing no longer exists. */
export const NOTHING_LEFT = -1
export const GONE = -2

/**
 * The TPM's slots for transient objects, shared by all tenants: what was used longest ago is swapped out when another
 * needs its place, and swapped in with its next use. Everything here happens inside a turn, so nothing is in between.
 */
export interface ObjectPool {
  /** Loads the object where it is not. Answers 0, {@link GONE}, or the code that the TPM insists on. */
  bringIn(object: VirtualObject, turn: number): Promise<number>
  /** Swaps objects out until `count` slots are free, as far as this turn does not need them. */
  makeRoom(count: number, turn: number): Promise<void>
  /** Swaps one object out that this turn does not use. Answers 0, {@link NOTHING_LEFT}, or the TPM's code. */
  evictOne(turn: number): Promise<number>
  /** Takes over what the TPM loaded for a tenant. */
  adopt(holder: Holder, physical: number, isSequence: boolean, turn: number): VirtualObject
  /** The saved context of an object that is loaded, kept for later where it stays good. Answers the TPM's response. */
  save(object: VirtualObject): Promise<Buffer>
  flush(object: VirtualObject): Promise<void>
  /** Drops an object of which the TPM has rid itself. */
  forget(object: VirtualObject): void
  /**
   * After the TPM may have been reset: `present` are its transient handles. What was only loaded is gone; contexts are
   * good until `wereReset`. Answers the handles of `present` that belong to nobody.
   */
  reconcile(present: ReadonlySet<number>, wereReset: boolean, all: Iterable<VirtualObject>): readonly number[]
}

/** `slots` is a first guess: a TPM that has less room says so, and gets it. */
export function objectPool(execute: Execute, slots: number): ObjectPool {
  const loaded: VirtualObject[] = []

  const unload = (object: VirtualObject): void => {
    object.physical = 0
    const at = loaded.indexOf(object)
    if (at >= 0) loaded.splice(at, 1)
  }

  const forget = (object: VirtualObject): void => {
    unload(object)
    object.reload = undefined
    if (object.source === undefined) object.holder.objects.delete(object.handle)
  }

  const place = (object: VirtualObject, physical: number): void => {
    // Two objects cannot have one handle: the TPM was reset unseen, and the older one is no longer there.
    const stale = loaded.find((other) => other.physical === physical)
    if (stale !== undefined) unload(stale)
    object.physical = physical
    loaded.push(object)
  }

  const save = async (object: VirtualObject): Promise<Buffer> => {
    const response = await execute(rawCommand(TPM_CC.CONTEXT_SAVE, object.physical))
    if (rcOf(response) === 0) object.reload = contextLoadOf(response)
    return response
  }

  /** Saves before it flushes, so that a failure in between loses nothing. */
  const swapOut = async (object: VirtualObject): Promise<number> => {
    if (object.reload === undefined) {
      const rc = rcOf(await save(object))
      if (rc !== 0) return rc
    }
    const rc = rcOf(await execute(rawCommand(TPM_CC.FLUSH_CONTEXT, object.physical)))
    // A format-one code says that the TPM does not know the handle: then it is out already.
    if (rc !== 0 && (rc & 0x80) === 0) return rc
    unload(object)
    return 0
  }

  const evictOne = async (turn: number): Promise<number> => {
    let answer = NOTHING_LEFT
    const candidates = loaded.filter(({ usedAt }) => usedAt !== turn).sort((a, b) => a.usedAt - b.usedAt)
    for (const candidate of candidates) {
      answer = await swapOut(candidate)
      if (answer === 0) return 0
    }
    return answer
  }

  const makeRoom = async (count: number, turn: number): Promise<void> => {
    while (loaded.length + count > slots) if ((await evictOne(turn)) !== 0) return
  }

  /** Runs a command that loads something, and makes room as long as the TPM asks for it. */
  const executeWithRoom = async (command: Buffer, turn: number): Promise<Buffer> => {
    for (;;) {
      const response = await execute(command)
      const rc = rcOf(response)
      if (rc !== TPM_RC.OBJECT_MEMORY && rc !== TPM_RC.OBJECT_HANDLES && rc !== TPM_RC.MEMORY) return response
      if ((await evictOne(turn)) !== 0) return response
    }
  }

  const bringIn = async (object: VirtualObject, turn: number): Promise<number> => {
    object.usedAt = turn
    if (object.reload === undefined) {
      if (object.source === undefined) {
        forget(object)
        return GONE
      }
      // One slot for the key, one for its own parent while it is being loaded.
      await makeRoom(2, turn)
      place(object, await object.source.load((command) => executeWithRoom(command, turn)))
      return 0
    }
    await makeRoom(1, turn)
    const response = await executeWithRoom(object.reload, turn)
    const rc = rcOf(response)
    if (rc !== 0) {
      if ((rc & 0x80) === 0 && rc !== TPM_RC.BAD_CONTEXT) return rc
      // Contexts end with a reset of the TPM. A parent key can be loaded again, all else is gone.
      forget(object)
      return object.source === undefined ? GONE : bringIn(object, turn)
    }
    place(object, response.readUInt32BE(HEADER_BYTES))
    if (object.isSequence) object.reload = undefined
    return 0
  }

  return {
    bringIn,
    makeRoom,
    evictOne,
    save,
    forget,
    adopt(holder, physical, isSequence, turn) {
      const object: VirtualObject = {
        holder,
        handle: freeHandle(holder),
        isSequence,
        source: undefined,
        physical: 0,
        reload: undefined,
        usedAt: turn,
      }
      holder.objects.set(object.handle, object)
      place(object, physical)
      return object
    },
    async flush(object) {
      if (object.physical !== 0) await execute(rawCommand(TPM_CC.FLUSH_CONTEXT, object.physical))
      forget(object)
    },
    reconcile(present, wereReset, all) {
      for (const object of all) {
        if (wereReset) object.reload = undefined
        if (object.physical !== 0 && (wereReset || !present.has(object.physical))) unload(object)
        if (object.physical === 0 && object.reload === undefined) forget(object)
      }
      const known = new Set(loaded.map(({ physical }) => physical))
      return [...present].filter((handle) => !known.has(handle))
    },
  }
}
