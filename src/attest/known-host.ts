import type { Status } from '../core/index.ts'
import type { PcrSelection, TpmtPublic } from '../tpm/index.ts'

/** The newest verdict of a host, and what its quote said. */
export interface HostVerdict {
  readonly id: string
  readonly status: Status
  /** When its nonce was issued, milliseconds since the Unix epoch. */
  readonly freshFrom: number
  /** Name of the AK that quoted, hex. */
  readonly akName: string
  readonly resetCount: number
  readonly registers: { readonly selection: PcrSelection; readonly digest: Buffer }
}

/** A node as the verifier knows it, for judging what runs on it. */
export interface KnownHost {
  readonly nodeId: string
  readonly status: 'pending' | 'active' | 'suspended'
  readonly ek: TpmtPublic
  readonly ak: TpmtPublic
  /** Name of its enrolled AK, hex. */
  readonly akName: string
  /** resetCount of the newest evidence that was accepted from it: which boot it is in. */
  readonly resetCount: number | undefined
  readonly verdict: HostVerdict | undefined
  /** The firmware log behind that verdict, where it is needed and there. */
  readonly eventLog: Buffer | undefined
  /** The log of systemd behind it, and how many of its records that verdict's quote covers; absent: none came. */
  readonly userspace?: { readonly log: Buffer; readonly records: number } | undefined
}
