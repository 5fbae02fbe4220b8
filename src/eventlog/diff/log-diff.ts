import type { Binding } from '../annotate.ts'
import type { RegisterKind, ReplayBank } from '../log.ts'
import type { BootStage } from './boot-stage.ts'
import type { WordRun } from './words.ts'

/** How two logs differ in one bank: what the older one ("before") and the newer one ("after") measured. JSON-able. */
export interface LogDiff {
  readonly bank: ReplayBank
  readonly registers: RegisterKind
  /** Every register has the same value. What nothing measured may differ all the same: see `unmeasured`. */
  readonly same: boolean
  /** Every register that either log extends, by number. */
  readonly pcrs: readonly RegisterDiff[]
  /** EV_NO_ACTION events, and labels of equal digests, that differ: nobody vouches for either. */
  readonly unmeasured: readonly EventChange[]
}

export interface RegisterDiff {
  readonly register: number
  /** What the register is for, in a few words. */
  readonly name: string
  /** Values after replay; `null` where the log does not extend the register. */
  readonly before: string | null
  readonly after: string | null
  readonly equal: boolean
  /** How many events extend it. */
  readonly events: { readonly before: number; readonly after: number }
  /** In the order of the boot. Empty with values that differ: the register began with another value. */
  readonly changes: readonly EventChange[]
}

/** `moved`: the same measurement at another place. `relabelled`: the same measurement, and another payload or type. */
export type ChangeKind = 'added' | 'removed' | 'changed' | 'moved' | 'relabelled'

/** What an event is about; what `fields`, `added` and `removed` of its change then hold. */
export type SubjectKind =
  | 'boot-order' // field `order`; options by number and name
  | 'boot-option' // fields `description`, `path`, `active`, `data`
  | 'keys' // certificates by name, hashes in hex
  | 'variable' // field `value`
  | 'partitions' // field `disk`; partitions by name
  | 'text' // words
  | 'file' // EVE: fields `exists`, `content-hash`
  | 'image' // field `digest`
  | 'settings' // Windows: settings and modules
  | 'action'
  | 'separator'
  | 'other' // field `content` or `digest`

export interface EventChange {
  readonly change: ChangeKind
  readonly stage: BootStage
  readonly kind: SubjectKind
  /** The name by which people know what changed: `BootOrder`, `db`, `/config/grub.cfg`, `kernel_cmdline`. */
  readonly subject: string
  /** Digests vouch for what is said here. Otherwise they vouch for the difference, and names and texts are untrusted. */
  readonly bound: boolean
  /** Absent where the event was added. */
  readonly before?: DiffedEvent
  /** Absent where the event was removed. */
  readonly after?: DiffedEvent
  /** What differs, where both are there. */
  readonly fields: readonly FieldChange[]
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** Of two texts. */
  readonly words: readonly WordRun[]
}

export interface FieldChange {
  readonly name: string
  /** `null`: it is not there. */
  readonly before: string | null
  readonly after: string | null
}

export interface DiffedEvent {
  readonly index: number
  readonly pcr: number
  readonly type: string
  /** In the compared bank; `null` for an event without one. */
  readonly digest: string | null
  readonly binding: Binding
  readonly summary: string
}
