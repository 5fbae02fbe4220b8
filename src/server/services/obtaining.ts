import { appKeyDoor, type Door, guestEkDoor, type GuestEkGrant, guestIdentityOf, issue } from '../../ca/index.ts'
import { type Certificate, parsePem, toPem } from '../../ca/path/index.ts'
import { isTouchstoneError, toHex, TouchstoneError, view } from '../../core/index.ts'
import type { NodeRecord, Repositories } from '../../store/index.ts'
import { decodeIssueRequest, type Issued, MAX_GENERATION_LEAP, type ObtainRequest, sha256 } from '../../wire/index.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'
import { BACKDATE_MS, certificateRow, isEarly, issuanceTransaction, rulesFor } from './issuing.ts'
import { grantDoor } from './grants.ts'
import { releaseDoor } from './releases.ts'
import { readTpmKey } from './tpm-key.ts'

const MAX_HELD = 8

interface Context {
  readonly deps: VerifierDeps
  readonly tx: Repositories
  readonly node: NodeRecord
}

/** Gives a node's broker what it asked for with evidence that has just been recorded, if the gate lets it. */
export async function issueObtained(deps: VerifierDeps, node: NodeRecord, ask: ObtainRequest): Promise<Issued> {
  if (node.guest !== undefined) throw new TouchstoneError('issue.not_placed', 'a guest has no broker of its own')
  try {
    const issued = await deps.store.transaction((tx) => obtain({ deps, tx, node }, ask))
    // Only now: what was learnt of the node's roots is what a release is signed for elsewhere.
    if (issued === 'offline') throw new TouchstoneError('release.offline')
    return issued
  } catch (error) {
    if (isTouchstoneError(error, 'issue.guest_ek_changed')) await rememberAskedEk(deps, error)
    throw error
  }
}

async function obtain(context: Context, { kind, request }: ObtainRequest): Promise<Issued | 'offline'> {
  const { deps, tx, node } = context
  const through = <T>(door: Door<T>) =>
    issue(
      issuanceTransaction(tx),
      { nodeId: node.nodeId, request, now: deps.clock.now() },
      rulesFor(['affirming']),
      door,
    )
  switch (kind) {
    case 'guestEk': {
      const certificate = toPem((await through(guestEk(context))).der)
      const guestCa = deps.ca.guest === undefined ? [] : [toPem(deps.ca.guest.certificate.der)]
      return { kind, certificate, chain: [...guestCa, toPem(deps.ca.root.der)] }
    }
    case 'appKey':
      return { kind, certificate: toPem((await through(appKey(context))).der), chain: [...deps.ca.chain] }
    case 'release': {
      const releases = await through(releaseDoor(deps, tx))
      if (releases === 'offline') return releases
      return { kind, releases, ...fleetKeys(deps) }
    }
    case 'fleet':
      return { kind, ...(await through(fleetDoor(deps))) }
    case 'grant':
      await through(grantDoor(deps, tx))
      return { kind }
  }
}

function fleetKeys({ releaseKey, grantKey }: VerifierDeps) {
  return { releaseKey: releaseKey.publicKey, grantKey: grantKey.publicKey }
}

function fleetDoor(deps: VerifierDeps): Door<ReturnType<typeof fleetKeys>> {
  return {
    kind: 'fleet',
    open: ({ request }) => {
      decodeIssueRequest('fleet', request)
      return Promise.resolve(fleetKeys(deps))
    },
  }
}

function guestEk({ deps, tx }: Context): Door<Certificate> {
  const { ca, random, settings, clock } = deps
  return guestEkDoor({
    issuer: ca.guest,
    random: random(16),
    lifetime: settings.guestCertificateLifetime * 1000,
    backdate: BACKDATE_MS,
    read: (request) => decodeIssueRequest('guestEk', request),
    placement: async (guest) => {
      const found = await tx.placements.byGuest(guest)
      return found?.state === 'removed' ? undefined : found
    },
    maxLeap: MAX_GENERATION_LEAP,
    isTaken: async (ekSha256, guest) => {
      // Listed as a machine's, which need not have come yet.
      if (deps.manifest?.byEk.has(ekSha256) === true) return true
      const machine = await tx.nodes.byEk(ekSha256)
      const other = await tx.placements.byEk(ekSha256)
      return (
        (machine !== undefined && machine.guest?.guestId !== guest) || (other !== undefined && other.guest !== guest)
      )
    },
    held: async ({ guest, nodeId, tenant, ekName }) => {
      const held = await tx.certificates.ofSubject('guestEk', guest, clock.now(), MAX_HELD)
      const good = held.find(
        (one) =>
          one.nodeId === nodeId && one.keyName === ekName && one.revoked === undefined && isEarly(one, clock.now()),
      )
      // A tenant that changed is in the certificate, and so asks for another one.
      const [certificate] = good === undefined ? [] : parsePem(good.pem)
      return certificate !== undefined && guestIdentityOf(certificate)?.tenant === tenant ? certificate : undefined
    },
    record: (grant, fresh) => recordGuestEk(deps, tx, grant, fresh),
  })
}

/** The guest is here, with this EK and at this generation: an approved migration ends with it. */
async function recordGuestEk(
  deps: VerifierDeps,
  tx: Repositories,
  { guest, nodeId, tenant, generation, ekSha256, ekName }: GuestEkGrant,
  fresh: Certificate | undefined,
): Promise<void> {
  const before = await tx.placements.byGuest(guest)
  if (before === undefined) throw new TouchstoneError('issue.not_placed')
  const actor = `node:${nodeId}`
  const { destination, askedEkSha256: _, ...rest } = before
  const hasArrived = destination === nodeId && before.nodeId !== nodeId
  const stays = destination !== undefined && !hasArrived
  await tx.placements.put({
    ...rest,
    ...(stays ? { destination } : { state: 'placed' as const }),
    nodeId,
    generation: Math.max(generation, before.generation),
    ekSha256,
  })
  if (hasArrived) {
    await tx.certificates.revokeGuest(guest, deps.clock.now())
    const detail = { from: before.nodeId, to: nodeId, generation: String(generation) }
    await writeAudit(tx, deps, { actor, action: 'guest.arrive', subject: guest, detail })
  }
  if (fresh === undefined) return
  await tx.certificates.insert({ ...certificateRow(nodeId, 'guestEk', ekName, fresh), subject: guest })
  const detail = { node: nodeId, tenant, generation: String(generation), ek: ekSha256, serial: toHex(fresh.serial) }
  await writeAudit(tx, deps, { actor, action: 'guest.certify', subject: guest, detail })
}

/** Written apart, because what was refused has left nothing behind. */
async function rememberAskedEk({ store }: VerifierDeps, { details }: TouchstoneError): Promise<void> {
  const { guest, ekSha256 } = details
  if (typeof guest !== 'string' || typeof ekSha256 !== 'string') return
  await store.transaction(async (tx) => {
    const placement = await tx.placements.byGuest(guest)
    if (placement !== undefined) await tx.placements.put({ ...placement, askedEkSha256: ekSha256 })
  })
}

function appKey({ deps, tx, node }: Context): Door<Certificate> {
  const { ca, random, settings, clock } = deps
  return appKeyDoor({
    issuer: ca.issuer,
    random: random(16),
    lifetime: settings.certificateLifetime * 1000,
    backdate: BACKDATE_MS,
    read: (request) => decodeIssueRequest('appKey', request),
    keysOf: () => ({
      ek: readTpmKey('ekPublic', node.ekPublic).pub,
      ak: readTpmKey('akPublic', node.akPublic).pub,
    }),
    record: async (nodeId, { tenant, key, certified }, certificate) => {
      const most = settings.limits.appKeysPerNode
      const held = await tx.certificates.ofNode(nodeId, clock.now(), most, ['appKey'])
      if (held.length >= most) throw new TouchstoneError('issue.too_many')
      const subject = `${tenant}/${key}`
      // Without a public area there is no Name; the digest of the key stands for it.
      const keyName =
        certified === undefined
          ? toHex(sha256(certificate.spki))
          : readTpmKey('publicArea', view(certified.publicArea)).nameHex
      await tx.certificates.insert({ ...certificateRow(nodeId, 'appKey', keyName, certificate), subject })
      const detail = { key: subject, serial: toHex(certificate.serial) }
      await writeAudit(tx, deps, { actor: `node:${nodeId}`, action: 'node.certify-key', subject: nodeId, detail })
    },
  })
}
