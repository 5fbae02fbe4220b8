import { decode } from '../codec/index.ts'
import { toHex, TouchstoneError } from '../core/index.ts'
import type { NodeId } from '../core/index.ts'
import { matchEkTemplate, nameOf, spkiOf, TPM2B_PUBLIC } from '../tpm/index.ts'
import { ekDigestOf } from './check-ek.ts'
import type { Lifetimes } from './issue-device.ts'
import type { Door } from './issue.ts'
import type { Certificate } from './path/index.ts'
import { makeGuestEkCertificate } from './profile/guests.ts'
import type { Issuer } from './profile/write-certificate.ts'

/** What the request says. */
export interface GuestEkAsk {
  readonly guest: string
  readonly tenant: string
  readonly generation: number
  /** TPM2B_PUBLIC. */
  readonly ekPublic: Uint8Array
}

/** Where the guest may run, and what is known of it. */
export interface GuestPlacement {
  readonly nodeId: NodeId
  readonly tenant: string
  readonly generation: number
  readonly destination?: NodeId | undefined
  readonly ekSha256?: string | undefined
}

/** A guest that may be given its certificate. */
export interface GuestEkGrant extends Omit<GuestEkAsk, 'ekPublic'> {
  readonly nodeId: NodeId
  readonly ekSha256: string
  /** TPM Name of the EK, hex. */
  readonly ekName: string
}

/** All of it in the transaction of the gate. */
export interface GuestEkDoor extends Lifetimes {
  /** The guest CA; `undefined` where the verifier has none. */
  readonly issuer: Issuer | undefined
  /** 16 bytes from a CSPRNG. */
  readonly random: Uint8Array
  /** Reads the very bytes that the quote covers. */
  readonly read: (request: Uint8Array) => GuestEkAsk
  /** `undefined` where the guest was placed nowhere, or was removed. */
  readonly placement: (guest: string) => Promise<GuestPlacement | undefined>
  /** How far a generation may be ahead of the highest that is known. */
  readonly maxLeap: number
  /** Whether a machine, or another guest, has this EK. */
  readonly isTaken: (ekSha256: string, guest: string) => Promise<boolean>
  /** What this guest holds for this EK on this node, if that is still good for long enough. */
  readonly held: (grant: GuestEkGrant) => Promise<Certificate | undefined>
  /** Binds the EK to the guest, the guest to this node and generation, and records the certificate if it is a new one. */
  readonly record: (grant: GuestEkGrant, fresh: Certificate | undefined) => Promise<void>
}

/**
 * A certificate for a guest's EK, by the guest CA: only for a guest that was placed on this node (or whose approved
 * migration ends here), for its tenant, and of no older generation than is known, nor one that is out of reach. `issue.not_placed`,
 * `issue.other_tenant`, `issue.generation`, `issue.guest_ek`, `issue.guest_ek_taken`, `issue.guest_ek_changed`,
 * `issue.no_guest_ca`. A guest that asks again with the same EK is given what it has.
 *
 * The guest's machine vouches for the EK: what it must be trusted with is in its verdict, which the gate required.
 */
export function guestEkDoor(door: GuestEkDoor): Door<Certificate> {
  return {
    kind: 'guestEk',
    open: async ({ node: { nodeId }, request, now }) => {
      if (door.issuer === undefined) throw new TouchstoneError('issue.no_guest_ca')
      const { ekPublic, ...ask } = door.read(request)
      const placement = await door.placement(ask.guest)
      requirePlacement(placement, nodeId, ask, door.maxLeap)
      const ek = decode('ekPublic', TPM2B_PUBLIC, ekPublic)
      const match = matchEkTemplate(ek)
      if ('difference' in match) throw new TouchstoneError('issue.guest_ek', match.difference)
      const grant: GuestEkGrant = { ...ask, nodeId, ekSha256: ekDigestOf(ek), ekName: toHex(nameOf(ek)) }
      if (await door.isTaken(grant.ekSha256, grant.guest)) throw new TouchstoneError('issue.guest_ek_taken')
      if (placement.ekSha256 !== undefined && placement.ekSha256 !== grant.ekSha256) {
        const details = { guest: grant.guest, ekSha256: grant.ekSha256 }
        throw new TouchstoneError('issue.guest_ek_changed', `the guest brings the EK ${grant.ekSha256}`, { details })
      }
      const held = await door.held(grant)
      const certificate =
        held ??
        (await makeGuestEkCertificate(door.issuer, {
          ...grant,
          spki: spkiOf(ek),
          serial: door.random,
          notBefore: now - door.backdate,
          notAfter: now + door.lifetime,
        }))
      await door.record(grant, held === undefined ? certificate : undefined)
      return certificate
    },
  }
}

function requirePlacement(
  placement: GuestPlacement | undefined,
  nodeId: NodeId,
  { guest, tenant, generation }: Omit<GuestEkAsk, 'ekPublic'>,
  maxLeap: number,
): asserts placement is GuestPlacement {
  const isHere = placement?.nodeId === nodeId
  if (placement === undefined || (!isHere && placement.destination !== nodeId)) {
    throw new TouchstoneError('issue.not_placed', `guest ${guest} is not placed on node ${nodeId}`)
  }
  if (placement.tenant !== tenant) throw new TouchstoneError('issue.other_tenant')
  // Where it arrives it goes on with a generation that its source never ran.
  const least = isHere ? placement.generation : placement.generation + 1
  if (generation < least) {
    throw new TouchstoneError('issue.generation', `generation ${generation} is over; ${least} is the least`)
  }
  if (generation > least + maxLeap) {
    throw new TouchstoneError('issue.generation', `generation ${generation} is too far ahead of ${least}`)
  }
}
