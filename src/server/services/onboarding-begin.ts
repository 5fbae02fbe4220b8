import { selectionToAsk } from '../../attest/index.ts'
import { checkAk, ekDigestOf } from '../../ca/index.ts'
import { toRfc3339, uuidV7 } from '../../core/index.ts'
import { formatPcrSelection, makeCredential } from '../../tpm/index.ts'
import type { OnboardingBegin, OnboardingChallenge } from '../../wire/index.ts'
import { Refusal, refuseFailed } from '../http/refusal.ts'
import { admit } from './admission.ts'
import type { VerifierDeps } from './deps.ts'
import { admitGuest, refuseUncertifiedGuest } from './guest-admission.ts'
import { basisOf } from './resumption.ts'
import { rebinding, standingOf } from './standing.ts'
import { readTpmKey } from './tpm-key.ts'

/** Long enough for a slow TPM and a slow line; a node that is interrupted begins again. */
const SESSION_LIFETIME_MS = 5 * 60_000
const SECRET_SIZE = 32
const FULL_RETRY_SECONDS = 30

/**
 * First round: who the node's TPM says it is, answered with a secret that only a TPM with this EK and this AK can
 * recover. Nothing is proven yet: what is refused here is refused early, and all of it is asked again in the second
 * round.
 */
export async function beginOnboarding(deps: VerifierDeps, body: OnboardingBegin): Promise<OnboardingChallenge> {
  const { store, settings, clock, random } = deps
  // Cheap first: structures and attributes, then what the store knows, then signatures of certificates.
  const ek = readTpmKey('ekPublic', body.ekPublic)
  const ak = readTpmKey('akPublic', body.akPublic)
  refuseFailed(checkAk(ak.pub))
  const { model, serial } = body
  const claimant = { ekSha256: ekDigestOf(ek.pub), model, serial, akName: ak.nameHex }
  const claim = { ek, ekCertificate: body.ekCertificate, ekChain: body.ekChain, model, serial, pcrBanks: body.pcrBanks }
  const guest = await admitGuest(deps, store, claim)
  // A manifest decides before the store is asked: whoever is not listed learns nothing of who is enrolled.
  const isListed = guest === undefined && settings.admission === 'manifest'
  const listed = isListed ? admit(deps, { ...claim, known: undefined }) : undefined
  if (guest === undefined) await refuseUncertifiedGuest(store, claimant.ekSha256)
  const standing = await standingOf(store, { ...claimant, guest }, settings)
  if (standing.kind === 'rebind') rebinding(standing.node, claimant, settings)
  const known = standing.kind === 'new' ? undefined : standing.node
  const provenCertificate =
    guest === undefined ? (listed ?? admit(deps, { ...claim, known })).provenCertificate : body.ekCertificate
  const basis = await basisOf(deps, store, standing, body.pcrBanks)
  const policy = (await deps.policies.current()).policyFor(basis.purpose, guest === undefined ? 'node' : 'guest')

  const now = clock.now()
  const session = {
    id: uuidV7(now, random(10)),
    ...claimant,
    ekPublic: ek.bytes,
    ...(provenCertificate === undefined ? {} : { ekCertificate: provenCertificate }),
    akPublic: ak.bytes,
    pcrs: formatPcrSelection(selectionToAsk(policy.pcrs, basis.pcrBanks)),
    pcrBanks: body.pcrBanks,
    secret: random(SECRET_SIZE),
    created: now,
    expires: now + SESSION_LIFETIME_MS,
  }
  const { pendingSessions: total, pendingSessionsPerEk: perEk } = settings.limits
  // The public part of an EK is no secret. So that nobody can lock a node out by beginning again and again in its name,
  // the node itself, known by its AK, is not counted against its EK, nor against the whole.
  const isOfNode = standing.kind === 'resume' && standing.node.status === 'active'
  const bound = isOfNode ? { after: standing.node.prior?.nonceIssued ?? 0 } : { cap: { total, perEk } }
  const opened = await store.transaction((tx) => tx.sessions.open(session, bound))
  if (opened === undefined) throw new Refusal('onboarding.full', undefined, { retryAfter: FULL_RETRY_SECONDS })
  // Made anew each time, also for a session that was pending: the same secret, under fresh randomness.
  const credential = makeCredential({ ek: ek.pub, akName: ak.name, secret: opened.secret, random })
  return { session: opened.id, ...credential, pcrs: opened.pcrs, expires: toRfc3339(opened.expires) }
}
