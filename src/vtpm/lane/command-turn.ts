import {
  errorResponse,
  HEADER_BYTES,
  isSessionHandle,
  isTransientHandle,
  TPM_RC,
  TPM_RS_PW,
  TPMA_SESSION,
} from '../../tpm/index.ts'
import type { CommandFrame } from '../../tpm/index.ts'
import type { CapabilityView } from './capability-view.ts'
import type { CommandAttributes } from './command-attributes.ts'
import { nvDefinitionOf, type Refusal } from './command-checks.ts'
import { TIME_LIMITS, type CommandRule, type Permission } from './command-rules.ts'
import { isSequenceContext, type ContextCommands } from './context-commands.ts'
import type { Holder, LaneSession, VirtualObject } from './holder.ts'
import { hasNvRoom, nvCost } from './nv-account.ts'
import { GONE, NOTHING_LEFT } from './object-pool.ts'
import { rcOf, TPM_CC } from './raw-commands.ts'
import { remedyOf, type Remedy } from './return-code-policy.ts'
import { PARENT_HANDLE } from './tenant-ranges.ts'
import type { TpmState } from './tpm-state.ts'
import type { HardwareChannel } from './types.ts'

/** A command that was judged and let through, with what its turn needs. */
export interface Job {
  readonly holder: Holder
  readonly command: Buffer
  readonly frame: CommandFrame
  readonly rule: CommandRule
  readonly permission: Permission
  readonly attributes: CommandAttributes
}

/**
 * How a turn ended: with a response; with a refusal that only the turn could know (whose the handles are, what the quota
 * leaves); or with `undefined`, because the TPM wants to be asked again later.
 */
export type TurnEnd = Buffer | Refusal | undefined

export interface TurnParts {
  readonly channel: HardwareChannel
  readonly state: TpmState
  readonly capabilities: CapabilityView
  readonly contexts: ContextCommands
}

/** With as many remedies for one command, the TPM and the lane do not understand each other. */
const MOST_ATTEMPTS = 80

const NOTHING: readonly never[] = []

/**
 * Runs commands in their turns, with virtual handles, swaps and retries. What a command costs beside the TPM's own time:
 * about 1 us, two promises and two small arrays when all that it names is loaded; two or three commands more for
 * each object or session that has to be brought in.
 */
export function commandTurns({ channel, state, capabilities, contexts }: TurnParts): (job: Job) => Promise<TurnEnd> {
  let turn = 0

  const run = async (job: Job, isAgain = false): Promise<TurnEnd> => {
    const { command, rule, attributes } = job
    const objects = objectsOf(job)
    if ('rc' in objects) return objects
    const sessions = sessionsOf(job)
    if ('rc' in sessions) return sessions
    const refusal = await refusedByQuota(job)
    if (refusal !== undefined) return refusal
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      let rc = await bringInAll(objects, sessions)
      // It is forgotten by now, and looking it up again says which one it was.
      if (rc === GONE) return isAgain ? errorResponse(TPM_RC.FAILURE) : run(job, true)
      let response: Buffer | undefined
      if (rc === 0) {
        if (attributes.returnsHandle || rule.time === 'keys') await makeRoomFor(rule)
        writeHandles(command, objects)
        response = await channel.exchange(command, TIME_LIMITS[rule.time])
        rc = rcOf(response)
        if (rc === 0) return finish(job, response, objects)
      }
      const remedy = remedyOf(rc)
      if (remedy === 'later') return undefined
      if (remedy === 'reconcile') {
        if (isAgain) return response ?? errorResponse(rc)
        // The TPM lost what the lane believes to be there; what is really gone is then answered for.
        await channel.checkReset()
        await state.reconcile()
        return run(job, true)
      }
      if (remedy === undefined) return response ?? errorResponse(rc)
      const outcome = await apply(remedy, job.holder, rc)
      if (outcome !== 0) return remedyOf(outcome) === 'later' ? undefined : (response ?? errorResponse(rc))
    }
    return errorResponse(TPM_RC.RETRY)
  }

  const bringInAll = async (
    objects: readonly (VirtualObject | undefined)[],
    sessions: readonly LaneSession[],
  ): Promise<number> => {
    // All of them are marked before the first is brought in, so that none makes way for another.
    let isComplete = true
    for (const object of objects) {
      if (object === undefined) continue
      object.usedAt = turn
      isComplete &&= object.physical !== 0
    }
    for (const session of sessions) {
      session.usedAt = turn
      isComplete &&= session.isLoaded
    }
    if (isComplete) return 0
    for (const object of objects) {
      if (object?.physical !== 0) continue
      const rc = await state.objects.bringIn(object, turn)
      if (rc !== 0) return rc
    }
    for (const session of sessions) {
      if (session.isLoaded) continue
      const rc = await state.sessions.bringIn(session, turn)
      if (rc !== 0) return rc
    }
    return 0
  }

  const makeRoomFor = (rule: CommandRule): Promise<void> =>
    rule.code === START_AUTH_SESSION ? state.sessions.makeRoom(turn) : state.objects.makeRoom(1, turn)

  /** Answers 0 when something changed, so that the command may work now; else why nothing did. */
  const apply = async (remedy: Exclude<Remedy, 'later' | 'reconcile'>, holder: Holder, rc: number): Promise<number> => {
    switch (remedy) {
      case 'evictObject': {
        const outcome = await state.objects.evictOne(turn)
        return outcome !== 0 && rc === TPM_RC.MEMORY ? state.sessions.evictOne(turn) : outcome
      }
      case 'evictSession':
        return state.sessions.evictOne(turn)
      case 'refreshOldest':
        return state.sessions.refreshOldest()
      case 'freeSession': {
        const victim = state.sessions.excessive(holder, turn)
        if (victim === undefined) return NOTHING_LEFT
        await state.sessions.flush(victim)
        return 0
      }
    }
  }

  const refusedByQuota = async ({ holder, command, frame, permission }: Job): Promise<Refusal | undefined> => {
    if (frame.code === START_AUTH_SESSION && holder.sessions.size >= holder.config.quota.sessions) {
      return { rc: TPM_RC.SESSION_HANDLES, reason: 'vtpm.session_quota' }
    }
    if (permission.check !== 'nvDefine') return undefined
    const definition = nvDefinitionOf(command, frame)
    const fits = definition !== undefined && (await hasNvRoom(channelExecute, holder, definition.dataSize))
    return fits ? undefined : { rc: TPM_RC.NV_SPACE, reason: 'vtpm.nv_quota' }
  }

  const channelExecute = (command: Buffer) => channel.exchange(command, TIME_LIMITS.quick)

  /** Keeps the books after a command succeeded; the response then has the tenant's handle in it. */
  const finish = async (
    { holder, command, frame, rule, attributes }: Job,
    response: Buffer,
    objects: readonly (VirtualObject | undefined)[],
  ): Promise<Buffer> => {
    if (attributes.flushes) {
      for (const object of objects) if (object !== undefined) state.objects.forget(object)
    }
    for (const { handle, attributes: bits } of frame.sessions) {
      if ((bits & TPMA_SESSION.continueSession) !== 0 || handle === TPM_RS_PW) continue
      const session = holder.sessions.get(handle)
      if (session !== undefined) state.sessions.forget(session)
    }
    if (attributes.returnsHandle) await takeOver(holder, command, rule, response)
    else if (frame.code === NV_DEFINE_SPACE) {
      const definition = nvDefinitionOf(command, frame)
      if (definition !== undefined) holder.nv?.set(definition.index, nvCost(definition.dataSize))
    } else if (frame.code === NV_UNDEFINE_SPACE) holder.nv?.delete(frame.handles[1] ?? 0)
    return response
  }

  const takeOver = async (holder: Holder, command: Buffer, rule: CommandRule, response: Buffer): Promise<void> => {
    const handle = response.readUInt32BE(HEADER_BYTES)
    if (isSessionHandle(handle)) state.sessions.adopt(holder, handle, turn)
    if (!isTransientHandle(handle)) return
    const isContext = rule.code === TPM_CC.CONTEXT_LOAD
    const isSequence = isContext ? isSequenceContext(command) : rule.makesSequence
    const object = state.objects.adopt(holder, handle, isSequence, turn)
    if (isContext && !isSequence) object.reload = command
    response.writeUInt32BE(object.handle, HEADER_BYTES)
    if (holder.objects.size <= holder.config.quota.objects) return
    const oldest = leastRecentlyUsed(holder.objects.values(), turn)
    if (oldest !== undefined) await state.objects.flush(oldest)
  }

  const special = async (job: Job): Promise<TurnEnd> => {
    const { holder, command, frame, rule } = job
    switch (rule.special) {
      case 'getCapability':
        return (await capabilities(holder, command, frame)) ?? run(job)
      case 'flushContext':
        return contexts.flush(holder, command, frame)
      case 'contextSave':
        return contexts.save(holder, command, frame, turn)
      case 'contextLoad': {
        const opened = contexts.load(holder, command, frame)
        return 'context' in opened ? run({ ...job, command: opened.context, frame: NO_PARTS }) : opened
      }
      case undefined:
        return run(job)
    }
  }

  return async (job) => {
    if (state.isStale()) await state.reconcile()
    turn += 1
    if (job.rule.special === undefined) return run(job)
    const end = await special(job)
    return Buffer.isBuffer(end) && remedyOf(rcOf(end)) === 'later' ? undefined : end
  }
}

const START_AUTH_SESSION = 0x176
const NV_DEFINE_SPACE = 0x12a
const NV_UNDEFINE_SPACE = 0x122

/** Of a TPM2_ContextLoad: it has parameters only. */
const NO_PARTS: CommandFrame = {
  code: TPM_CC.CONTEXT_LOAD,
  handles: NOTHING,
  sessions: NOTHING,
  parametersAt: HEADER_BYTES,
}

/** The objects behind the handles of a command, in the places of the handles; or whose they are not. */
function objectsOf({ holder, frame }: Job): readonly (VirtualObject | undefined)[] | Refusal {
  const { handles } = frame
  if (handles.length === 0) return NOTHING
  const objects: (VirtualObject | undefined)[] = []
  for (const handle of handles) {
    if (isTransientHandle(handle)) {
      const object = holder.objects.get(handle)
      if (object === undefined) return { rc: TPM_RC.REFERENCE_H0 + objects.length, reason: 'vtpm.not_own' }
      objects.push(object)
    } else if (handle === PARENT_HANDLE && holder.parent !== undefined) objects.push(holder.parent)
    else objects.push(undefined)
  }
  return objects
}

/** The sessions of a command, as handles and as authorisations. One that is saved is as good as not there. */
function sessionsOf({ holder, frame }: Job): readonly LaneSession[] | Refusal {
  let sessions: LaneSession[] | undefined
  for (let index = 0; index < frame.handles.length; index++) {
    const handle = frame.handles[index] ?? 0
    if (!isSessionHandle(handle)) continue
    const session = holder.sessions.get(handle)
    if (session?.parkedAs !== 0) return { rc: TPM_RC.REFERENCE_H0 + index, reason: 'vtpm.not_own' }
    ;(sessions ??= []).push(session)
  }
  for (let index = 0; index < frame.sessions.length; index++) {
    const handle = frame.sessions[index]?.handle ?? TPM_RS_PW
    if (handle === TPM_RS_PW) continue
    const session = holder.sessions.get(handle)
    if (session?.parkedAs !== 0) return { rc: TPM_RC.REFERENCE_S0 + index, reason: 'vtpm.not_own' }
    ;(sessions ??= []).push(session)
  }
  return sessions ?? NOTHING
}

function writeHandles(command: Buffer, objects: readonly (VirtualObject | undefined)[]): void {
  for (let index = 0; index < objects.length; index++) {
    const object = objects[index]
    if (object !== undefined) command.writeUInt32BE(object.physical, HEADER_BYTES + 4 * index)
  }
}

function leastRecentlyUsed(objects: Iterable<VirtualObject>, turn: number): VirtualObject | undefined {
  let oldest: VirtualObject | undefined
  for (const object of objects) {
    if (object.usedAt !== turn && (oldest === undefined || object.usedAt < oldest.usedAt)) oldest = object
  }
  return oldest
}
