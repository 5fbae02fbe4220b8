import {
  type AdmissionDecision,
  checkEk,
  decideAdmission,
  ekDigestOf,
  ekPolicyFor,
  type EkResult,
  readEkCertificate,
} from '../../ca/index.ts'
import { parseCertificate } from '../../ca/path/index.ts'
import type { NodeRecord } from '../../store/index.ts'
import type { PcrBank } from '../../wire/index.ts'
import { notPassed, Refusal } from '../http/refusal.ts'
import type { VerifierDeps } from './deps.ts'
import type { TpmKey } from './tpm-key.ts'

export interface AdmissionClaim {
  readonly ek: TpmKey
  readonly ekCertificate: Buffer | undefined
  /** DER certificates that the TPM carries. */
  readonly ekChain: readonly Buffer[]
  readonly model: string
  readonly serial: string
  readonly pcrBanks: readonly PcrBank[]
  /** The node that has this EK already. */
  readonly known: NodeRecord | undefined
}

export type Admission = Exclude<AdmissionDecision, { readonly decision: 'refuse' }> & {
  readonly ekSha256: string
  /** The certificate as sent, where it leads to a known root: only then is what it says worth keeping. */
  readonly provenCertificate: Buffer | undefined
}

type Deps = Pick<VerifierDeps, 'settings' | 'trust' | 'manifest' | 'clock'>

/** Who this EK is, and whether such a one may be a node. Throws a refusal with every check that did not pass. */
export function admit(deps: Deps, claim: AdmissionClaim): Admission {
  const ekDigest = ekDigestOf(claim.ek.pub)
  const ek = judgeEk(deps, claim)
  const decision = decideAdmission({
    mode: deps.settings.admission,
    ekChecks: ek.checks,
    ekDigest,
    claimed: { model: claim.model, serial: claim.serial, pcrBanks: claim.pcrBanks },
    manifest: deps.manifest,
    approval: claim.known?.status === 'active' ? 'approved' : undefined,
  })
  if (decision.decision === 'refuse') {
    throw new Refusal(decision.code, undefined, { checks: notPassed(decision.checks) })
  }
  const provenCertificate = ek.path === undefined ? undefined : claim.ekCertificate
  return { ...decision, ekSha256: ekDigest, provenCertificate }
}

function judgeEk({ settings, trust, clock }: Deps, { ek, ekCertificate, ekChain }: AdmissionClaim): EkResult {
  return checkEk({
    ekPublic: ek.pub,
    certificate: ekCertificate === undefined ? undefined : readEkCertificate(ekCertificate),
    chain: ekChain.map((der) => parseCertificate(der)),
    trust,
    now: clock.now(),
    policy: ekPolicyFor(settings.admission, settings.ekCertificates),
  })
}
