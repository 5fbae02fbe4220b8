import { earClaims, keyThumbprint, type Policy, policyId, signResult } from '../../attest/index.ts'
import type { Verdict } from '../../core/index.ts'
import type { NodeRecord } from '../../store/index.ts'
import type { EvidenceRequest } from '../../wire/index.ts'
import type { VerifierDeps } from './deps.ts'
import { readTpmKey } from './tpm-key.ts'

/**
 * The verdict as an EAR token. It names the node's device key as the one that must confirm it, and for whom and for
 * which nonce it was asked, so that nobody else can present it.
 */
export async function makeResult(
  { settings, results, clock, version }: VerifierDeps,
  node: NodeRecord,
  verdict: Verdict,
  policy: Policy,
  { audience, relyingPartyNonce }: EvidenceRequest,
): Promise<string> {
  const issuedAt = Math.floor(clock.now() / 1000)
  const claims = earClaims({
    profile: settings.resultProfile,
    verdict,
    submodule: node.guest === undefined ? 'node' : 'guest',
    subject: node.nodeId,
    issuer: settings.issuer,
    verifier: { developer: 'Touchstone', build: version },
    policyIds: [policyId(policy)],
    issuedAt,
    expiresAt: issuedAt + settings.resultLifetime,
    confirmation: await keyThumbprint(readTpmKey('devicePublic', node.devicePublic).spki),
    ...(audience === undefined ? {} : { audience }),
    ...(relyingPartyNonce === undefined ? {} : { nonce: relyingPartyNonce }),
  })
  return signResult(claims, results.key, results.kid)
}
