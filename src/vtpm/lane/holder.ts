import type { TenantConfig, TenantParent } from './types.ts'

/** A transient object of a tenant: its handle is the tenant's own, and where it is in the TPM changes. */
export interface VirtualObject {
  readonly holder: Holder
  /** What the tenant calls it. */
  readonly handle: number
  /** A sequence changes with each use, so that a context of it is good once only. */
  readonly isSequence: boolean
  /** For the parent key of an app, which is loaded and not made. */
  readonly source: TenantParent | undefined
  /** What the TPM calls it now; 0 while it is swapped out. */
  physical: number
  /** TPM2_ContextLoad of its saved context. */
  reload: Buffer | undefined
  /** Turn of its last use; what the running turn uses is not swapped out. */
  usedAt: number
}

/** A session of a tenant. Its handle is its Name, so tenants see the TPM's own. */
export interface LaneSession {
  readonly holder: Holder
  readonly handle: number
  isLoaded: boolean
  /** TPM2_ContextLoad of its saved context, good once; undefined while it is loaded. */
  reload: Buffer | undefined
  /** How many contexts the TPM had saved when it saved this one: the oldest decides over the gap. */
  savedAt: number
  /** For its tenant it is saved: only the context with this number brings it back. 0 while it is loaded. */
  parkedAs: number
  usedAt: number
}

/** Whoever holds objects and sessions: a registered tenant, or one client of the broker's own. */
export interface Holder {
  readonly config: TenantConfig
  readonly objects: Map<number, VirtualObject>
  readonly sessions: Map<number, LaneSession>
  readonly parent: VirtualObject | undefined
  /** Bytes of each NV index in its range; undefined until it was asked of the TPM. */
  nv: Map<number, number> | undefined
  /** Numbers the session contexts that it saved. */
  parked: number
  /** By the lane's clock. */
  lastUsedAt: number
  isGone: boolean
}

export function newHolder(config: TenantConfig, source?: TenantParent): Holder {
  const objects = new Map<number, VirtualObject>()
  const sessions = new Map<number, LaneSession>()
  const holder: Holder & { parent: VirtualObject | undefined } = {
    config,
    objects,
    sessions,
    parent: undefined,
    nv: undefined,
    parked: 0,
    lastUsedAt: 0,
    isGone: false,
  }
  if (source !== undefined) {
    holder.parent = { holder, handle: 0, isSequence: false, source, physical: 0, reload: undefined, usedAt: 0 }
  }
  return holder
}

const FIRST_TRANSIENT = 0x80000000

/** The lowest transient handle that the tenant does not use, as a TPM would give it. */
export function freeHandle({ objects }: Holder): number {
  let handle = FIRST_TRANSIENT
  while (objects.has(handle)) handle += 1
  return handle
}
