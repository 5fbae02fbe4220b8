import type { Check, ErrorCode } from '../core/index.ts'
import type { EkPolicy } from './check-ek.ts'
import type { Manifest, ManifestNode } from './manifest.ts'

/**
 * Who may become a node. `manifest`: boxes that were listed with every EK. `vendor-ek`: any TPM of a manufacturer whose
 * root is configured; it cannot stop a box from coming back under another EK of the same TPM. `approval`: whoever an
 * operator approves. `open`, insecure: anybody; for laboratories.
 */
export type AdmissionMode = 'manifest' | 'vendor-ek' | 'approval' | 'open'

export const ADMISSION_MODES: readonly AdmissionMode[] = ['manifest', 'vendor-ek', 'approval', 'open']

export interface AdmissionInput {
  readonly mode: AdmissionMode
  /** From `checkEk`, made under `ekPolicyFor(mode)`. */
  readonly ekChecks: readonly Check[]
  /** From `ekDigestOf`. */
  readonly ekDigest: string
  /** What the node says of itself. */
  readonly claimed: { readonly model: string; readonly serial: string; readonly pcrBanks: readonly string[] }
  readonly manifest: Manifest | undefined
  /** What an operator decided of this very EK, model and serial. */
  readonly approval: 'approved' | 'denied' | undefined
}

export type AdmissionDecision =
  | {
      readonly decision: 'admit'
      readonly checks: readonly Check[]
      /** The listed box, in mode `manifest`: its EKs are all the node's, its labels too. */
      readonly node: ManifestNode | undefined
    }
  | { readonly decision: 'wait' | 'refuse'; readonly checks: readonly Check[]; readonly code: ErrorCode }

/** What a mode asks of an EK certificate. */
export function ekPolicyFor(mode: AdmissionMode, options: Pick<EkPolicy, 'expired' | 'allowSha1'>): EkPolicy {
  return { ...options, certificate: mode === 'vendor-ek' ? 'required' : 'optional' }
}

/**
 * Admits, refuses, or has the node wait for an operator. A failed EK check refuses in every mode. The answer's checks are
 * those of the EK and `admission.*`. That an identity is not taken already by another EK is for the store to say, in the
 * transaction that makes the node.
 */
export function decideAdmission(input: AdmissionInput): AdmissionDecision {
  const failure = input.ekChecks.find(({ outcome }) => outcome === 'fail' || outcome === 'indeterminate')
  const { checks, ...rest } = byMode(input)
  const all = [...input.ekChecks, ...checks]
  if (failure !== undefined) return { decision: 'refuse', checks: all, code: 'admission.ek' }
  return { ...rest, checks: all }
}

function byMode(input: AdmissionInput): AdmissionDecision {
  switch (input.mode) {
    case 'manifest':
      return byManifest(input)
    case 'approval':
      return byApproval(input)
    case 'vendor-ek':
      return admit({ check: 'admission.vendor', outcome: 'pass' })
    case 'open':
      return admit({ check: 'admission.open', outcome: 'warn', code: 'admission.open' })
  }
}

function byManifest({ ekDigest, claimed, manifest }: AdmissionInput): AdmissionDecision {
  const check = 'admission.manifest'
  const node = manifest?.byEk.get(ekDigest)
  if (node === undefined) {
    return refuse({ check, outcome: 'fail', code: 'admission.not_listed', actual: ekDigest }, 'admission.not_listed')
  }
  const actual = { model: claimed.model, serial: claimed.serial, pcrBanks: [...claimed.pcrBanks] }
  if (claimed.model !== node.model || claimed.serial !== node.serial || !isListed(node.pcrBanks, claimed.pcrBanks)) {
    // Without what was expected: whoever asks has proven nothing, and would be told whose EK this is.
    return refuse({ check, outcome: 'fail', code: 'admission.claim', actual }, 'admission.claim')
  }
  return admit({ check, outcome: 'pass', actual }, node)
}

/** A node that keeps a bank to itself is not asked for it; so a list that names banks names all of them. */
function isListed(listed: readonly string[] | undefined, claimed: readonly string[]): boolean {
  return listed === undefined || listed.toSorted().join() === claimed.toSorted().join()
}

function byApproval({ approval }: AdmissionInput): AdmissionDecision {
  const check = 'admission.approval'
  if (approval === 'approved') return admit({ check, outcome: 'pass' })
  if (approval === 'denied') return refuse({ check, outcome: 'fail', code: 'admission.denied' }, 'admission.denied')
  return {
    decision: 'wait',
    checks: [{ check, outcome: 'indeterminate', code: 'admission.waiting' }],
    code: 'admission.waiting',
  }
}

function admit(check: Check, node?: ManifestNode): AdmissionDecision {
  return { decision: 'admit', checks: [check], node }
}

function refuse(check: Check, code: ErrorCode): AdmissionDecision {
  return { decision: 'refuse', checks: [check], code }
}
