import type { EkKind } from '../device/index.ts'

/** What the agent does, for whoever shows progress. Every event is also a line of the log. */
export type AgentEvent =
  /** The TPM answers; `ek` names the template of the EK in use. */
  | { readonly type: 'tpm'; readonly ek: EkKind; readonly ekDigest: string; readonly certificate: boolean }
  | { readonly type: 'keys-made'; readonly akName: string }
  | { readonly type: 'keys-loaded'; readonly akName: string }
  /** The TPM no longer knows the node's keys; new ones are made and the node asks to be admitted again. */
  | { readonly type: 'tpm-cleared'; readonly reason: string }
  | { readonly type: 'onboarding'; readonly step: 'begin' | 'activated' | 'certified' | 'finish' }
  /** `onboarded` is false where the enrolment was found on disk. */
  | {
      readonly type: 'enrolled'
      readonly nodeId: string
      readonly certificateExpires: string
      readonly onboarded: boolean
    }
  | {
      readonly type: 'attested'
      readonly status: 'none' | 'affirming' | 'warning' | 'contraindicated'
      readonly reason?: string
      readonly result: string
    }
  /** The broker did not link the guest's quote to its host; the evidence goes without. */
  | { readonly type: 'unlinked'; readonly address: string; readonly reason: string }
  /** systemd marks its log as one that lacks a record: what was measured is not in it. */
  | { readonly type: 'log-incomplete'; readonly file: string }
  | { readonly type: 'renewed'; readonly notAfter: string }
  /** `behind`: certificates of the verifier are not valid yet by this node's clock, so dates are not judged. */
  | { readonly type: 'clock'; readonly state: 'plausible' | 'behind' }
  | { readonly type: 'waiting'; readonly milliseconds: number }
  | { readonly type: 'failed'; readonly code: string; readonly message: string; readonly hint: string }

export type OnEvent = (event: AgentEvent) => void
