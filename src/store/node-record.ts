import type { Check, NodeId, Status } from '../core/index.ts'
import type { PcrBank } from './columns.ts'

export type NodeStatus = 'pending' | 'active' | 'suspended'

/** The counters of the last accepted quote, and when its nonce was issued. */
export interface PriorState {
  readonly nonceIssued: number
  readonly clock: bigint
  readonly resetCount: number
  readonly restartCount: number
  readonly safe: boolean
  readonly firmwareVersion: bigint
}

/** The keys that one record binds to a node: public areas as TPM2B_PUBLIC, Names in hex. */
export interface NodeKeys {
  /** The EK that the AK is a child of; one of the node's EKs. SHA-256 of its SubjectPublicKeyInfo, hex. */
  readonly ekSha256: string
  readonly ekPublic: Buffer
  readonly akPublic: Buffer
  readonly akName: string
  readonly devicePublic: Buffer
  readonly deviceKeyName: string
  /** Hash algorithms of PCR banks that the TPM implements, as it claimed at enrolment. */
  readonly pcrBanks: readonly PcrBank[]
}

export interface GuestBinding {
  /** UUID. */
  readonly guestId: string
  readonly hostNodeId: NodeId
}

export interface NodeRecord extends NodeKeys {
  readonly nodeId: NodeId
  /** Present for a guest: which one, and the node that it was bound to when it enrolled. */
  readonly guest?: GuestBinding
  readonly status: NodeStatus
  readonly model: string
  readonly serial: string
  /** Whether this model and serial belong to this node, rather than being claimed by it. */
  readonly holdsIdentity: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly admittedBy: string
  readonly created: number
  readonly enrolled: number
  readonly prior?: PriorState
  /** SHA-256 of the last firmware log that replayed. */
  readonly eventLog?: string
  readonly lastAttestation?: {
    readonly id: string
    readonly time: number
    readonly status: Status
    readonly firstFailure?: Check
  }
  readonly reEnrolment?: {
    readonly akName: string
    readonly deviceKeyName: string
    readonly requested: number
    readonly approved?: number
  }
}

export interface NewNode extends NodeKeys {
  readonly nodeId: NodeId
  readonly guest?: GuestBinding
  readonly status: NodeStatus
  readonly model: string
  readonly serial: string
  readonly holdsIdentity: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly admittedBy: string
}

export interface AcceptedEvidence {
  readonly akName: string
  readonly prior: PriorState
  /** Becomes the node's newest verdict; absent where that stays what it is. */
  readonly attestation?: string
  /** Present when the log replayed. */
  readonly eventLog?: string
}
