import type { Clock } from '../../core/index.ts'

/** Attestation before unsealing before apps: who waits when the TPM is busy. */
export type Priority = 'attestation' | 'unseal' | 'apps'

/**
 * Which rows of the command table apply: the broker's own work, the node agent's tools, an app's tools. The class belongs
 * to the socket, so a client cannot choose it.
 */
export type TenantClass = 'broker' | 'agent' | 'app'

/** What a tenant may hold and how fast it may ask; the whole lane is shared by all of them. */
export interface TenantQuota {
  /** Transient objects, sessions (loaded and saved), bytes of NV data. */
  readonly objects: number
  readonly sessions: number
  readonly nvBytes: number
  /** Commands a second, and how many may come at once. */
  readonly commandsPerSecond: number
  readonly burst: number
  /** Commands that write to NV memory, which wears; so many of an hour's may come at once as ten minutes have. */
  readonly nvWritesPerHour: number
}

export interface TenantConfig {
  /** Lower-case name, also of its directory: `[a-z0-9][a-z0-9-]{0,31}`. */
  readonly name: string
  readonly class: TenantClass
  readonly priority: Priority
  readonly quota: TenantQuota
  /** First and last NV index, and first and last persistent handle, that are this tenant's own. */
  readonly nvRange: readonly [number, number] | undefined
  readonly persistentRange: readonly [number, number] | undefined
  /** Milliseconds without a command after which its transient objects and sessions are freed. */
  readonly idleTimeoutMs: number
}

/** The one connection to the hardware TPM. Never two commands at once: the {@link Scheduler} sees to that. */
export interface HardwareChannel {
  /**
   * One whole command, one whole response, whatever its response code. Rejects with `device.unavailable` (it was not sent:
   * safe to repeat), `device.timeout` or `vtpm.tpm_lost` (it was sent, and nobody knows whether it was done: never
   * repeated by the lane). The channel then reconnects by itself, and {@link epoch} grows.
   */
  exchange(command: Buffer, timeoutMs: number): Promise<Buffer>
  /**
   * Grows whenever the TPM was lost and found again, or was reset: transient handles and loaded sessions of before are
   * gone; saved contexts too when {@link resetCount} moved.
   */
  readonly epoch: number
  /** resetCount of TPM2_ReadClock when the TPM was last found: how often it was reset in its life. */
  readonly resetCount: number
  /**
   * Compares resetCount and restartCount with those of before and lets {@link epoch} grow when they moved; for a turn
   * that got an unexpected handle error. Takes one exchange, so call it inside a turn.
   */
  checkReset(): Promise<void>
  /**
   * Asks the TPM to give up what it is working on, when that is a command that takes long (key creation, self-test); else
   * does nothing. The exchange then ends as ever: with TPM_RC_CANCELED, or with the result when the TPM does not stop.
   */
  cancel(): void
  close(): Promise<void>
}

/** Gives out turns at the TPM. A turn is one command with the swaps it needs; none is interrupted. */
export interface Scheduler {
  /**
   * Runs `turn` when it is this tenant's: by priority, and round robin between the tenants of one priority. Starts it
   * before returning when the TPM is idle. Rejects with `vtpm.lane_busy` at the tenant's bound of waiting turns, and with
   * `vtpm.lane_cancelled` when the tenant called a waiting turn off.
   */
  run<T>(priority: Priority, tenant: string, turn: () => Promise<T>): Promise<T>
  /** Whose turn it is, if anybody's. */
  readonly running: string | undefined
  /** Rejects the oldest waiting turn of this tenant with `vtpm.lane_cancelled`; a running one is the channel's to cancel. */
  cancelOldest(tenant: string): void
}

/** What is written down of a command that was refused or that speaks for an identity. */
export interface AuditRecord {
  readonly tenant: string
  /** TPM_CC of the command, and its name. */
  readonly code: number
  readonly command: string
  readonly outcome: 'refused' | 'done' | 'failed'
  /** The response code that the tenant got. */
  readonly rc: number
  /** Why it was refused: a code of the error table. */
  readonly reason?: string
  /** SHA-256 of the command's bytes, lower-case hex. */
  readonly digest: string
}

export interface AuditLog {
  /** Ordered and chained; durable soon after, and before `flush` resolves. Never throws at the caller. */
  append(record: AuditRecord): void
  /**
   * False while entries cannot be written (full disk) and memory for them runs out: the lane then refuses what would have
   * to be written down (`vtpm.audit_full`, TPM_RC_RETRY) before it reaches the TPM. Refusals themselves are counted then.
   */
  readonly accepting: boolean
  flush(): Promise<void>
}

/** Raw commands of one registered tenant: what its socket speaks to. */
export interface LaneTenant {
  readonly config: TenantConfig
  /**
   * Judges one whole command and answers it, with the TPM's response or with one of the lane. Takes over the buffer
   * (handles are rewritten in place) and never rejects: what was thrown becomes a return code by `responseCodeFor` of
   * error-response.ts (TPM_RC_RETRY only where the command was not sent, else TPM_RC_FAILURE), a turn that was called off
   * TPM_RC_CANCELED, a full queue TPM_RC_RETRY. Any bytes may be given; a socket stops reading at {@link Lane.maxCommandSize}
   * and submits the header alone of what is longer, which answers TPM_RC_COMMAND_SIZE. Promises are cheap enough for the
   * hot path (a hop through Node costs about 10 us, an await 0.2 us); what costs is timers, closures and copies.
   */
  submit(command: Buffer): Promise<Buffer>
  /** Frees everything that the tenant holds, and forgets it: later commands answer TPM_RC_RETRY. */
  remove(): Promise<void>
}

/** Sends one command to the TPM inside the turn that is running, with physical handles. */
export type Execute = (command: Buffer) => Promise<Buffer>

/**
 * The storage key under which an app's keys live, shown to it as persistent handle 0x81000001. `load` brings it into the TPM
 * and resolves to its transient handle; the lane asks once for each start of the TPM, and swaps the key like any other.
 */
export interface TenantParent {
  load(execute: Execute): Promise<number>
}

export interface ClientOptions {
  /** Name in the queue (turns go round between names) and in the audit log; need not be a registered tenant. */
  readonly tenant: string
  readonly priority: Priority
  /** Where it is written down what this client does; with the node's own unless told otherwise. */
  readonly audit?: AuditLog | undefined
}

/** In-process access for the broker's own work, of class `broker`: structurally the Transport of src/device. */
export interface LaneClient {
  /** A refusal is a TPM return code. Rejects only as {@link HardwareChannel.exchange} and {@link Scheduler.run} do, and stays usable. */
  send(command: Uint8Array): Promise<Buffer>
  /** Flushes every object and session that this client made. */
  close(): Promise<void>
}

export interface Lane {
  /**
   * Throws `vtpm.tenant_config` for a name that is taken or a range that cannot be. `parent` is for class `app`; what the
   * tenant does is written to `log`, or with the node's own.
   */
  register(config: TenantConfig, parent?: TenantParent, log?: AuditLog): LaneTenant
  client(options: ClientOptions): LaneClient
  /** TPM_PT_MAX_COMMAND_SIZE: longer ones are refused before they are buffered. */
  readonly maxCommandSize: number
  /** Frees what tenants hold that were idle for longer than they may be; the lane also does so by itself. */
  sweep(): Promise<void>
  /** Stops accepting and frees what all hold in the TPM. The channel is its owner's to close. */
  close(): Promise<void>
}

/** What `createLane(parts): Promise<Lane>` of lane.ts is made of; start-lane.ts puts them together. */
export interface LaneParts {
  readonly channel: HardwareChannel
  readonly scheduler: Scheduler
  readonly audit: AuditLog
  readonly clock: Clock
  /** 32 secret bytes that stay the same over restarts: they bind object contexts to their tenant. */
  readonly macKey: Uint8Array
  /** Waits before a command is sent again, and for a tenant's rate; a timer unless a test says otherwise. */
  readonly wait?: (ms: number) => Promise<void>
}
