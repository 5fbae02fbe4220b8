import type { GuestContext, KnownHost } from '../../attest/index.ts'
import { decode } from '../../codec/index.ts'
import { type Check, type JsonValue, toHex, toRfc3339 } from '../../core/index.ts'
import type { AttestationRow, GuestBinding, NodeRecord, Repositories } from '../../store/index.ts'
import { formatPcrSelection, TPMS_ATTEST } from '../../tpm/index.ts'
import { type LinkedEvidence, sha256 } from '../../wire/index.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'
import { isCertifiedOn } from './guest-admission.ts'
import { readTpmKey, type TpmKey } from './tpm-key.ts'
import { userspaceOf } from './userspace-log.ts'

/** Intervals that a host may let pass: one round may fail, and the next one be late. */
const HOST_INTERVALS = 3
const MIN_HOST_AGE_MS = 120_000
/** A host that a link shows unchanged is still judged by policies and references of at most this age. */
const LINKED_HOST_AGE_MS = 24 * 3600_000
/** Registers below grow while the system runs; see `link.host-state`. */
const GROWING_PCR = 10

export interface GuestSubject {
  readonly guest: GuestBinding
  readonly ek: TpmKey
  readonly ekSha256: string
  readonly link: LinkedEvidence | undefined
}

type Known = Pick<Repositories, 'nodes' | 'placements' | 'attestations' | 'certificates' | 'logs'>

/** Everything beyond its own evidence and policy that a guest is judged by, as the store has it now. */
export async function guestContextOf(
  { clock, settings }: Pick<VerifierDeps, 'clock' | 'settings'>,
  known: Known,
  { guest, ek, ekSha256, link }: GuestSubject,
): Promise<GuestContext> {
  const { guestId, hostNodeId } = guest
  const found = await known.placements.byGuest(guestId)
  const placement = found === undefined || found.state === 'removed' ? undefined : found
  const host = placement === undefined ? undefined : await knownHost(known, placement.nodeId, link !== undefined)
  // Where its new node has obtained a certificate for this very EK, an approved migration has ended, and it follows.
  const hasMoved =
    placement !== undefined &&
    placement.nodeId !== hostNodeId &&
    (await isCertifiedOn(known, guestId, placement.nodeId, ek.nameHex))
  return {
    guest: guestId,
    ekSha256,
    ekName: ek.name,
    boundTo: hasMoved ? placement.nodeId : hostNodeId,
    placement: placement && {
      nodeId: placement.nodeId,
      generation: placement.generation,
      ekSha256: placement.ekSha256,
    },
    host,
    link,
    linkHost: link && (link.host === host?.nodeId ? host : await knownHost(known, link.host, false)),
    now: clock.now(),
    maxHostAge: Math.max(HOST_INTERVALS * settings.interval * 1000, MIN_HOST_AGE_MS),
    maxLinkedHostAge: LINKED_HOST_AGE_MS,
  }
}

async function knownHost(known: Known, nodeId: string, withLog: boolean): Promise<KnownHost | undefined> {
  const node = await known.nodes.byId(nodeId)
  if (node === undefined) return undefined
  const { verdict, row } = await newestVerdict(known, node)
  const log = row?.inputs['eventLog']
  const needsLog = withLog && verdict?.registers.selection.some(({ pcrs }) => pcrs.includes(GROWING_PCR)) === true
  const userspace = needsLog && row !== undefined ? await userspaceOf(known.logs, row) : undefined
  return {
    nodeId,
    status: node.status,
    ek: readTpmKey('ekPublic', node.ekPublic).pub,
    ak: readTpmKey('akPublic', node.akPublic).pub,
    akName: node.akName,
    resetCount: node.prior?.resetCount,
    verdict,
    eventLog: needsLog && typeof log === 'string' ? await known.logs.ofNode(node.nodeId, log) : undefined,
    ...(userspace === undefined ? {} : { userspace }),
  }
}

interface NewestVerdict {
  readonly verdict: KnownHost['verdict']
  /** It names the logs that it was made of: a node that onboards again may have shown others since. */
  readonly row: AttestationRow | undefined
}

const NO_VERDICT: NewestVerdict = { verdict: undefined, row: undefined }

async function newestVerdict(known: Known, { lastAttestation }: NodeRecord): Promise<NewestVerdict> {
  if (lastAttestation === undefined) return NO_VERDICT
  const row = await known.attestations.byId(lastAttestation.id)
  // The policy of enrolment may be the laxer one: what it let in has yet to show that it may carry guests.
  if (row?.purpose !== 'attestation') return NO_VERDICT
  const attest = decode('TPMS_ATTEST', TPMS_ATTEST, row.quote)
  if (attest.type !== 'quote') return NO_VERDICT
  const { id, status, freshFrom, akName, resetCount } = row
  const { pcrSelect: selection, pcrDigest: digest } = attest.attested
  return {
    verdict: { id, status, freshFrom, akName, resetCount, registers: { selection, digest } },
    row,
  }
}

/** Whether the store still says of placement and hosts what the verdict was made by. */
export async function isStillSo(deps: VerifierDeps, tx: Known, subject: GuestSubject, judged: GuestContext) {
  const current = await guestContextOf(deps, tx, subject)
  return JSON.stringify(guestInputs({ ...current, now: judged.now })) === JSON.stringify(guestInputs(judged))
}

/** What a verdict on the guest leaves behind: the newest generation, and the node that it follows to. */
export async function recordGuest(
  deps: VerifierDeps,
  tx: Repositories,
  node: NodeRecord,
  { guest, boundTo, link, placement }: GuestContext,
  checks: readonly Check[],
): Promise<void> {
  // Only a host that is good and unchanged is believed: another could end its guests' lives by naming a high one.
  const isProven = checks.every(({ check, outcome }) => outcome === 'pass' || !/^(?:guest|link)\./.test(check))
  if (link !== undefined && isProven) await tx.placements.sawGeneration(guest, link.ledger.generation)
  if (placement?.nodeId === boundTo) await bindGuest(deps, tx, node, { guestId: guest, hostNodeId: placement.nodeId })
}

/** Binds the record to the node that the guest runs on now. */
export async function bindGuest(
  deps: VerifierDeps,
  tx: Repositories,
  { nodeId, guest }: NodeRecord,
  { guestId, hostNodeId }: { readonly guestId: string; readonly hostNodeId: string },
): Promise<void> {
  if (guest === undefined || guest.hostNodeId === hostNodeId) return
  await tx.nodes.setHost(nodeId, hostNodeId)
  const detail = { guest: guestId, from: guest.hostNodeId, to: hostNodeId }
  await writeAudit(tx, deps, { actor: `node:${nodeId}`, action: 'guest.follow', subject: nodeId, detail })
}

/** The context as a verdict pins it: all of it by value, keys by their Names and the host's log by its digest. */
export function guestInputs(context: GuestContext): JsonValue {
  const { guest, ekSha256, ekName, boundTo, placement, host, link, linkHost, now, maxHostAge, maxLinkedHostAge } =
    context
  return {
    guest,
    ekSha256,
    ekName: toHex(ekName),
    boundTo,
    placement: placement === undefined ? null : { ...placement, ekSha256: placement.ekSha256 ?? null },
    host: hostInputs(host),
    link: link === undefined ? null : inHex(link),
    linkHost: hostInputs(linkHost),
    judged: toRfc3339(now),
    maxHostAge,
    maxLinkedHostAge,
  }
}

function hostInputs(host: KnownHost | undefined): JsonValue {
  if (host === undefined) return null
  const { nodeId, status, akName, resetCount, verdict, eventLog, userspace } = host
  return {
    nodeId,
    status,
    akName,
    resetCount: resetCount ?? null,
    eventLog: eventLog === undefined ? null : toHex(sha256(eventLog)),
    ...(userspace === undefined
      ? {}
      : { userspaceLog: { digest: toHex(sha256(userspace.log)), records: userspace.records } }),
    verdict:
      verdict === undefined
        ? null
        : {
            id: verdict.id,
            status: verdict.status,
            freshFrom: toRfc3339(verdict.freshFrom),
            akName: verdict.akName,
            resetCount: verdict.resetCount,
            selection: formatPcrSelection(verdict.registers.selection),
            digest: toHex(verdict.registers.digest),
          },
  }
}

function inHex(value: unknown): JsonValue {
  if (value instanceof Uint8Array) return toHex(value)
  if (Array.isArray(value)) return value.map(inHex)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, inHex(field)]))
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null
}
