import { z } from 'zod'
import {
  checkHosting,
  earClaims,
  earCwtClaims,
  type EarFormat,
  type EarInput,
  type EarProfile,
  keyThumbprint,
  policyId,
  signCwtResult,
  signResult,
} from '../../attest/index.ts'
import { type Status, toBase64Url, TouchstoneError, type Verdict } from '../../core/index.ts'
import type { NodeRecord } from '../../store/index.ts'
import { Refusal } from '../http/refusal.ts'
import type { VerifierDeps } from './deps.ts'
import { guestContextOf } from './guest-context.ts'
import { readTpmKey } from './tpm-key.ts'

/** What a result is made of: a verdict, by which policies, over evidence of when. */
interface Judged {
  readonly verdict: Verdict
  readonly policyIds: readonly string[]
  /** When the nonce of its evidence was issued, in milliseconds: freshness counts from there. */
  readonly freshFrom: number
}

/** For whom, and in which spelling. */
interface Wanted {
  readonly audience?: string | undefined
  readonly relyingPartyNonce?: string | undefined
  readonly profile?: EarProfile | undefined
  readonly format?: EarFormat | undefined
}

type ResultDeps = Pick<VerifierDeps, 'settings' | 'results' | 'clock' | 'version'>
type HostedDeps = Pick<VerifierDeps, 'settings' | 'clock' | 'store'>

/**
 * The verdict as an EAR token: a JWT, or a CWT in base64url. It names the node's device key as the one that must confirm
 * it, and for whom and for which nonce it was asked, so that nobody else can present it. It ends when its evidence is no
 * longer fresh, however late it was made. Throws `result.stale` where that is now, and `result.nonce`.
 */
export async function makeResult(
  { settings, results, clock, version }: ResultDeps,
  node: NodeRecord,
  { verdict, policyIds, freshFrom }: Judged,
  { audience, relyingPartyNonce: nonce, profile = settings.resultProfile, format = 'jwt' }: Wanted,
): Promise<string> {
  const issuedAt = Math.floor(clock.now() / 1000)
  const expiresAt = Math.floor(freshFrom / 1000) + settings.resultLifetime
  if (expiresAt <= issuedAt) throw new Refusal('result.stale')
  const { spki } = readTpmKey('devicePublic', node.devicePublic)
  const common: Omit<EarInput, 'confirmation'> = {
    profile,
    verdict,
    submodule: node.guest === undefined ? 'node' : 'guest',
    subject: node.nodeId,
    issuer: settings.issuer,
    verifier: { developer: 'Touchstone', build: version },
    policyIds,
    issuedAt,
    expiresAt,
    ...(audience === undefined ? {} : { audience }),
    ...(nonce === undefined ? {} : { nonce }),
  }
  const { key, kid } = results.signing()
  if (format === 'cwt') return toBase64Url(signCwtResult(earCwtClaims({ ...common, confirmationKey: spki }), key, kid))
  return signResult(earClaims({ ...common, confirmation: await keyThumbprint(spki) }), key, kid)
}

/**
 * A result of the node's newest verdict, for a relying party that asks the verifier itself. Throws `node.not_found`,
 * `result.none`, and as {@link makeResult} does.
 */
export async function resultOfNode(deps: ResultDeps & HostedDeps, nodeId: string, wanted: Wanted): Promise<string> {
  const { nodes, attestations } = deps.store
  const node = await nodes.byId(nodeId)
  if (node === undefined) throw new Refusal('node.not_found')
  const last = node.lastAttestation && (await attestations.byId(node.lastAttestation.id))
  if (last === undefined) throw new Refusal('result.none')
  // The policy of enrolment may be the laxer one.
  if (last.purpose !== 'attestation') throw new Refusal('result.none')
  // Suspended since, another key, or seen in a later boot: the verdict speaks of what is no longer so.
  const isCurrent = last.akName === node.akName && last.resetCount === node.prior?.resetCount
  if (node.status !== 'active' || !isCurrent) throw new Refusal('result.none')
  if (!(await isHostedAsGood(deps, node, last.status))) throw new Refusal('result.none')
  const policy = judgedBy.safeParse(last.inputs['policy'])
  if (!policy.success) throw new TouchstoneError('store.row', `attestation ${last.id} names no policy`)
  const { status, vector, checks, freshFrom } = last
  const policyIds = [policyId(policy.data)]
  return makeResult(deps, node, { verdict: { status, vector, checks }, policyIds, freshFrom }, wanted)
}

/** Of a guest whose placement or host is no longer good, a good verdict is not said again. */
async function isHostedAsGood(deps: HostedDeps, node: NodeRecord, status: Status): Promise<boolean> {
  const { guest, ekPublic, ekSha256 } = node
  if (guest === undefined) return true
  const subject = { guest, ek: readTpmKey('ekPublic', ekPublic), ekSha256, link: undefined }
  const checks = checkHosting(await guestContextOf(deps, deps.store, subject))
  if (checks.every(({ outcome }) => outcome === 'pass')) return true
  const isWarning = checks.every(({ outcome }) => outcome === 'pass' || outcome === 'warn')
  return status === 'contraindicated' || (status === 'warning' && isWarning)
}

const judgedBy = z.object({ name: z.string(), digest: z.string() })
