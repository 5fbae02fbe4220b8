import { selectionToAsk } from '../../attest/index.ts'
import { checkAk, ekDigestOf } from '../../ca/index.ts'
import { toRfc3339, uuidV7 } from '../../core/index.ts'
import { formatPcrSelection, makeCredential } from '../../tpm/index.ts'
import type { OnboardingBegin, OnboardingChallenge } from '../../wire/index.ts'
import { Refusal, refuseFailed } from '../http/refusal.ts'
import { admit } from './admission.ts'
import type { VerifierDeps } from './deps.ts'
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
  const standing = await standingOf(store, claimant, settings)
  if (standing.kind === 'rebind') rebinding(standing.node, claimant, settings)
  const admission = admit(deps, {
    ek,
    ekCertificate: body.ekCertificate,
    ekChain: body.ekChain,
    model,
    serial,
    known: standing.kind === 'new' ? undefined : standing.node,
  })
  const policy = (await deps.policies.current()).policyFor('enrolment')

  const now = clock.now()
  const expires = now + SESSION_LIFETIME_MS
  const secret = random(SECRET_SIZE)
  const credential = makeCredential({ ek: ek.pub, akName: ak.name, secret, random })
  const session = {
    id: uuidV7(now, random(10)),
    ...claimant,
    ekPublic: ek.bytes,
    ...(admission.provenCertificate === undefined ? {} : { ekCertificate: admission.provenCertificate }),
    akPublic: ak.bytes,
    pcrs: formatPcrSelection(selectionToAsk(policy.pcrs, body.pcrBanks)),
    pcrBanks: body.pcrBanks,
    secret,
    created: now,
    expires,
  }
  const { pendingSessions: total, pendingSessionsPerEk: perEk } = settings.limits
  // The public part of an EK is no secret. So that nobody can lock a node out by beginning again and again in its name,
  // the node itself, known by its AK, is not counted against its EK.
  const cap = standing.kind === 'resume' ? { total } : { total, perEk }
  const opened = await store.transaction((tx) => tx.sessions.open(session, cap))
  if (!opened) throw new Refusal('onboarding.full', undefined, { retryAfter: FULL_RETRY_SECONDS })
  return { session: session.id, ...credential, pcrs: session.pcrs, expires: toRfc3339(expires) }
}
