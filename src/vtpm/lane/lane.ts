import { hash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import type { ErrorCode } from '../../core/index.ts'
import { errorResponse, HEADER_BYTES, TPM_RC } from '../../tpm/index.ts'
import { capabilityView } from './capability-view.ts'
import { commandJudge, isJob, type Judged } from './command-judge.ts'
import { TIME_LIMITS } from './command-rules.ts'
import { commandTurns, type Job, type TurnEnd } from './command-turn.ts'
import { contextCommands } from './context-commands.ts'
import { responseCodeFor } from './error-response.ts'
import { newHolder, type Holder } from './holder.ts'
import { rcOf } from './raw-commands.ts'
import { pauseBefore } from './return-code-policy.ts'
import { tenantContexts } from './tenant-contexts.ts'
import { assertTenant } from './tenant-ranges.ts'
import { tenantRate } from './tenant-rate.ts'
import { takeOver } from './tpm-state.ts'
import type { AuditLog, AuditRecord, Lane, LaneParts, Priority, TenantConfig, TenantQuota } from './types.ts'

const SWEEP_EVERY = 5_000
/**
 * Milliseconds until a tenant that asks too fast is told so. At once would not hold it back: its next command would be there
 * in the same moment, and answering it would take the event loop from everybody else.
 */
const RETRY_AFTER = 1_000
/** Commands of one tenant that wait or work; whoever asks and leaves would otherwise fill the memory with them. */
const MOST_HELD = 256
/** Tokens of a refusal: it is the lane's work for nothing, and mostly a line of the audit log. */
const REFUSAL_COST = 20
/** The broker's own clients free what they make; this is against mistakes. */
const CLIENT_QUOTA: TenantQuota = {
  objects: 64,
  sessions: 32,
  nvBytes: 0,
  commandsPerSecond: Infinity,
  burst: Infinity,
  nvWritesPerHour: Infinity,
}

/**
 * Takes the TPM over and serves it to tenants. Every command is split, judged by the table of command-rules.ts, given its
 * turn, and answered; see command-turn.ts for what that costs. Rejects as the channel does, or with `device.protocol`
 * for a TPM that does not say what it is able to do.
 */
export async function createLane(parts: LaneParts): Promise<Lane> {
  const { channel, scheduler, audit, clock, macKey, wait = (ms: number) => delay(ms) } = parts
  const execute = (command: Buffer) => channel.exchange(command, TIME_LIMITS.quick)
  const state = await scheduler.run('attestation', 'lane', () => takeOver(channel, execute))
  const contexts = contextCommands(state, tenantContexts(macKey))
  const perform = commandTurns({ channel, state, contexts, capabilities: capabilityView(execute, state.profile) })
  const judge = commandJudge(state.profile)
  const tenants = new Map<string, TenantConfig>()
  let isClosed = false

  const record = (
    log: AuditLog,
    holder: Holder,
    judged: Judged,
    command: Buffer,
    rc: number,
    reason?: ErrorCode,
  ): void => {
    const outcome: AuditRecord['outcome'] = reason !== undefined ? 'refused' : rc === 0 ? 'done' : 'failed'
    // Handles were rewritten for the TPM; the digest is of what the tenant sent.
    if (isJob(judged)) {
      judged.frame.handles.forEach((handle, index) => command.writeUInt32BE(handle, HEADER_BYTES + 4 * index))
    }
    const { code, name } = isJob(judged) ? judged.rule : judged
    const digest = hash('sha256', command)
    const tenant = holder.config.name
    log.append({ tenant, code, command: name, outcome, rc, digest, ...(reason === undefined ? {} : { reason }) })
  }

  /** Gives the job turns until the TPM answers for good. */
  const inTurns = async (job: Job, priority: Priority): Promise<NonNullable<TurnEnd>> => {
    const { holder } = job
    const name = turnName(holder.config)
    const turn = () => (isClosed || holder.isGone ? Promise.reject(closed()) : perform(job))
    for (let repeat = 0; ; repeat++) {
      const end = await scheduler.run(priority, name, turn)
      if (end !== undefined) return end
      const pause = pauseBefore(repeat)
      if (pause === undefined) return errorResponse(TPM_RC.RETRY)
      await wait(pause)
    }
  }

  /** Answers a judged command, and writes down what has to be. Rejects where the TPM or the queue does. */
  const answer = async (
    log: AuditLog,
    holder: Holder,
    judged: Judged,
    command: Buffer,
    priority: Priority,
    onRefused: () => void = () => undefined,
  ): Promise<Buffer> => {
    if (!isJob(judged)) {
      onRefused()
      record(log, holder, judged, command, judged.refusal.rc, judged.refusal.reason)
      return errorResponse(judged.refusal.rc)
    }
    const { isAudited } = judged.rule
    if (isAudited && !log.accepting) return errorResponse(TPM_RC.RETRY)
    let end: NonNullable<TurnEnd>
    try {
      end = await inTurns(judged, priority)
    } catch (error) {
      if (isAudited) record(log, holder, judged, command, responseCodeFor(error))
      throw error
    }
    if (Buffer.isBuffer(end)) {
      if (isAudited) record(log, holder, judged, command, rcOf(end))
      return end
    }
    onRefused()
    record(log, holder, judged, command, end.rc, end.reason)
    return errorResponse(end.rc)
  }

  const free = async (holder: Holder, isStillDue: () => boolean = () => true): Promise<void> => {
    await scheduler.run('apps', turnName(holder.config), async () => {
      if (!isStillDue()) return
      if (state.isStale()) await state.reconcile()
      await state.free(holder)
    })
  }

  /** What cannot be freed now, because the TPM is away, is left to the sweep. */
  const retire = async (holder: Holder): Promise<void> => {
    holder.isGone = true
    try {
      await free(holder)
      state.holders.delete(holder)
    } catch (error) {
      if (!isTouchstoneError(error)) throw error
    }
  }

  const sweep = async (): Promise<void> => {
    for (const holder of [...state.holders]) {
      // Asked again when its turn has come: its tenant may have come back in between.
      const isIdle = () => clock.now() - holder.lastUsedAt > holder.config.idleTimeoutMs
      if (holder.isGone) await retire(holder)
      else if (isIdle() && holdsAnything(holder)) await free(holder, isIdle)
    }
  }

  let sweeping: Promise<void> | undefined
  const timer = setInterval(() => {
    // A TPM that is away is no news here: whoever sends a command learns of it.
    sweeping ??= sweep()
      .catch(() => undefined)
      .finally(() => (sweeping = undefined))
  }, SWEEP_EVERY)
  timer.unref()

  return {
    maxCommandSize: state.profile.maxCommandSize,

    register(config, parent, log = audit) {
      assertTenant(config, tenants.values(), parent !== undefined)
      const holder = newHolder(config, parent)
      const rate = tenantRate(config.quota.commandsPerSecond, config.quota.burst, clock.now())
      tenants.set(config.name, config)
      state.holders.add(holder)
      const { nvWritesPerHour } = config.quota
      const wear = tenantRate(nvWritesPerHour / 3600, Math.ceil(nvWritesPerHour / 6), clock.now())
      const onRefused = (): void => void rate.take(REFUSAL_COST, clock.now())
      const notNow = (): Promise<Buffer> => wait(RETRY_AFTER).then(() => errorResponse(TPM_RC.RETRY))
      let held = 0
      const work = async (judged: Judged, command: Buffer, pause: number): Promise<Buffer> => {
        held += 1
        try {
          if (pause > 0) await wait(pause)
          return await answer(log, holder, judged, command, config.priority, onRefused)
        } catch (error) {
          return errorResponse(responseCodeFor(error))
        } finally {
          held -= 1
        }
      }
      /** Not async, so that nothing keeps the command of a tenant that has to ask again. */
      const submit = (command: Buffer): Promise<Buffer> => {
        const now = clock.now()
        holder.lastUsedAt = now
        if (held >= MOST_HELD) return notNow()
        const judged = judge(holder, command)
        const pause = rate.take(isJob(judged) ? judged.rule.cost : 1, now)
        if (pause === undefined) return notNow()
        if (!isJob(judged) || !judged.rule.wearsNv) return work(judged, command, pause)
        const rest = wear.take(1, now)
        // Repeating at once is what a tool does that is told to retry; of this it makes an error.
        return rest === undefined
          ? work(tooMuchWear(judged), command, pause)
          : work(judged, command, Math.max(pause, rest))
      }
      return {
        config,
        submit,
        async remove() {
          tenants.delete(config.name)
          await retire(holder)
        },
      }
    },

    client({ tenant, priority, audit: log = audit }) {
      const config: TenantConfig = {
        name: tenant,
        class: 'broker',
        priority,
        quota: CLIENT_QUOTA,
        nvRange: undefined,
        persistentRange: undefined,
        idleTimeoutMs: Infinity,
      }
      const holder = newHolder(config)
      state.holders.add(holder)
      return {
        send(command) {
          // The caller's bytes stay as they are.
          const own = Buffer.from(command)
          return answer(log, holder, judge(holder, own), own, priority)
        },
        close: () => retire(holder),
      }
    },

    sweep,

    async close() {
      if (isClosed) return
      isClosed = true
      clearInterval(timer)
      await sweeping
      for (const holder of [...state.holders]) await retire(holder)
    },
  }
}

/** As a TPM says that limits its writes itself. */
function tooMuchWear({ rule: { code, name } }: Job): Judged {
  return { refusal: { rc: TPM_RC.NV_RATE, reason: 'vtpm.nv_rate' }, code, name }
}

/** In the queue. A client of the broker may be called what a tenant is called, whose control socket cancels by name. */
function turnName({ class: of, name }: TenantConfig): string {
  return of === 'broker' ? `broker/${name}` : name
}

function holdsAnything({ objects, sessions }: Holder): boolean {
  return objects.size > 0 || sessions.size > 0
}

function closed(): TouchstoneError {
  return new TouchstoneError('vtpm.lane_closed')
}
