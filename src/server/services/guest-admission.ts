import { checkGuestEk, ekDigestOf, isOfGuestCa, readEkCertificate } from '../../ca/index.ts'
import { toHex } from '../../core/index.ts'
import type { GuestBinding, NodeRecord, Repositories } from '../../store/index.ts'
import { notPassed, Refusal } from '../http/refusal.ts'
import type { VerifierDeps } from './deps.ts'
import type { TpmKey } from './tpm-key.ts'

type Deps = Pick<VerifierDeps, 'settings' | 'ca' | 'clock'>
type Known = Pick<Repositories, 'placements' | 'certificates'>

/** Newest first; each start of a guest may bring one, until the older ones end. */
const MAX_CERTIFICATES = 256

interface EkClaim {
  readonly ek: TpmKey
  readonly ekCertificate: Buffer | undefined
}

/**
 * Whether it is a guest that wants to enrol, and then which one and on which node: a certificate of the fleet's guest CA
 * says so, and the placement must say the same. Admission modes are for machines and do not matter here. `undefined`
 * for everybody else. Throws `guest.certificate_untrusted`, `guest.not_placed`, `guest.other_ek`,
 * `guest.placed_elsewhere`.
 */
export async function admitGuest(deps: Deps, known: Known, claim: EkClaim): Promise<GuestBinding | undefined> {
  const { ca, clock, settings } = deps
  const certificate = claim.ekCertificate === undefined ? undefined : readEkCertificate(claim.ekCertificate)
  if (certificate === undefined || !isOfGuestCa(certificate.certificate)) return undefined
  if (ca.guest === undefined) throw new Refusal('guest.certificate_untrusted', 'this verifier has no guest CA')
  const { checks, identity } = checkGuestEk({
    ekPublic: claim.ek.pub,
    certificate,
    authority: ca.guest.certificate,
    root: ca.root,
    now: clock.now(),
    expired: settings.ekCertificates.expired,
  })
  if (identity === undefined) {
    throw new Refusal('guest.certificate_untrusted', undefined, { checks: notPassed(checks) })
  }
  const { guest: guestId, nodeId: hostNodeId } = identity
  const placement = await known.placements.byGuest(guestId)
  if (placement === undefined || placement.state === 'removed') throw new Refusal('guest.not_placed')
  if (placement.ekSha256 !== ekDigestOf(claim.ek.pub)) throw new Refusal('guest.other_ek')
  if (placement.nodeId !== hostNodeId) throw new Refusal('guest.placed_elsewhere')
  const issued = await known.certificates.bySerial('guestEk', toHex(certificate.certificate.serial))
  if (issued?.revoked !== undefined) {
    throw new Refusal('guest.certificate_untrusted', 'the certificate was revoked')
  }
  return { guestId, hostNodeId }
}

/** A guest does not become a machine by leaving its certificate at home. Throws `guest.certificate`. */
export async function refuseUncertifiedGuest({ placements }: Known, ekSha256: string): Promise<void> {
  if ((await placements.byEk(ekSha256)) !== undefined) throw new Refusal('guest.certificate')
}

/** The state of a record for the gate: a guest is not active where it is not placed, or its host is not active. */
export async function effectiveState(
  { placements, nodes }: Pick<Repositories, 'placements' | 'nodes'>,
  { status, guest }: NodeRecord,
): Promise<string> {
  if (guest === undefined || status !== 'active') return status
  const placement = await placements.byGuest(guest.guestId)
  if (placement === undefined || placement.state === 'removed') return 'a guest that is placed nowhere'
  if (placement.nodeId !== guest.hostNodeId) return 'a guest that is placed on another node'
  const host = await nodes.byId(placement.nodeId)
  return host?.status === 'active' ? status : 'a guest of a host that is not active'
}

/** Whether the broker of that node has obtained a certificate for this EK of the guest, which holds still. */
export async function isCertifiedOn(
  { certificates }: Pick<Repositories, 'certificates'>,
  guestId: string,
  nodeId: string,
  ekName: string,
): Promise<boolean> {
  const issued = await certificates.ofSubject('guestEk', guestId, 0, MAX_CERTIFICATES)
  return issued.some((one) => one.nodeId === nodeId && one.keyName === ekName && one.revoked === undefined)
}
