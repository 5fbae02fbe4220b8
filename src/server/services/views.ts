import { countStandings, type PolicyException } from '../../attest/index.ts'
import { toPem } from '../../ca/path/index.ts'
import { toRfc3339 } from '../../core/index.ts'
import type { AttestationRow, AttestationSummaryRow, NodeRecord, Store } from '../../store/index.ts'
import type {
  AttestationDetail,
  AttestationSummary,
  ExceptionSummary,
  NodeDetail,
  NodeSummary,
  ResourceSummary,
} from '../../wire/index.ts'
import { readEkCertificate } from '../../ca/index.ts'
import type { LoadedResource } from './policies.ts'

const AUDIT_ENTRIES = 50
/** That have not ended; a node has a handful. */
const CERTIFICATES = 50

/** When it is looked at, in milliseconds, and how long results are good for, in seconds. */
interface Freshness {
  readonly now: number
  readonly resultLifetime: number
}

/** What operators are shown of the store's rows. */
export function nodeSummaryOf(node: NodeRecord, { now, resultLifetime }: Freshness): NodeSummary {
  const { nodeId, guest, status, model, serial, labels, created, lastAttestation } = node
  return {
    nodeId,
    status,
    model,
    serial,
    labels: { ...labels },
    ...(guest === undefined ? {} : { guest: { guest: guest.guestId, host: guest.hostNodeId } }),
    admitted: toRfc3339(created),
    ...(lastAttestation === undefined
      ? {}
      : {
          lastAttestation: {
            id: lastAttestation.id,
            time: toRfc3339(lastAttestation.time),
            status: lastAttestation.status,
            stale: now - lastAttestation.time > resultLifetime * 1000,
            ...(lastAttestation.firstFailure === undefined ? {} : { firstFailure: lastAttestation.firstFailure }),
          },
        }),
  }
}

export async function nodeDetailOf(store: Store, node: NodeRecord, freshness: Freshness): Promise<NodeDetail> {
  const { nodeId, akName, deviceKeyName, prior, eventLog, reEnrolment } = node
  const eks = await store.eks.ofNode(nodeId)
  const certificates = await store.certificates.ofNode(nodeId, freshness.now, CERTIFICATES)
  const audit = await store.audit.ofSubject(nodeId, AUDIT_ENTRIES)
  return {
    ...nodeSummaryOf(node, freshness),
    eks: eks.map(({ spkiSha256, certificate }) => ({
      spkiSha256,
      ...(certificate === undefined ? {} : { certificate: toPem(readEkCertificate(certificate).certificate.der) }),
    })),
    akName,
    deviceKeyName,
    ...(prior === undefined
      ? {}
      : {
          clock: {
            clock: prior.clock.toString(),
            resetCount: prior.resetCount,
            restartCount: prior.restartCount,
            safe: prior.safe,
            firmwareVersion: `0x${prior.firmwareVersion.toString(16)}`,
          },
        }),
    ...(eventLog === undefined ? {} : { eventLogDigest: eventLog }),
    certificates: certificates.map(({ serial, kind, subject, notBefore, notAfter, revoked, pem }) => ({
      serial,
      kind,
      ...(subject === undefined ? {} : { subject }),
      notBefore: toRfc3339(notBefore),
      notAfter: toRfc3339(notAfter),
      ...(revoked === undefined ? {} : { revoked: toRfc3339(revoked) }),
      pem,
    })),
    ...(reEnrolment === undefined
      ? {}
      : {
          reEnrolment: {
            akName: reEnrolment.akName,
            deviceKeyName: reEnrolment.deviceKeyName,
            requested: toRfc3339(reEnrolment.requested),
            ...(reEnrolment.approved === undefined ? {} : { approved: toRfc3339(reEnrolment.approved) }),
          },
        }),
    audit: audit.map(({ time, actor, action, detail }) => ({ time: toRfc3339(time), actor, action, detail })),
  }
}

export function attestationSummaryOf(row: AttestationSummaryRow): AttestationSummary {
  const { id, nodeId, purpose, time, status, vector, firstFailure } = row
  return {
    id,
    nodeId,
    purpose,
    time: toRfc3339(time),
    status,
    vector: { ...vector },
    ...(firstFailure === null ? {} : { firstFailure }),
  }
}

export function attestationDetailOf(row: AttestationRow): AttestationDetail {
  return {
    ...attestationSummaryOf(row),
    checks: row.checks,
    inputs: row.inputs,
    ...(row.result === null ? {} : { result: row.result }),
  }
}

export function resourceSummaryOf(resource: LoadedResource, now: number): ResourceSummary {
  const { parsed } = resource
  const summary = identityOf(resource)
  if (parsed.kind !== 'ReferenceSet') return summary
  const { provenance } = parsed
  if (provenance === undefined) return { ...summary, standings: { ...countStandings(parsed, now) } }
  const { at, ...source } = provenance
  const from = { ...source, ...(at === undefined ? {} : { at: toRfc3339(at) }) }
  return { ...summary, standings: { ...countStandings(parsed, now) }, provenance: from }
}

function identityOf({ kind, name, revision, source, digest, updated }: LoadedResource): ResourceSummary {
  return { kind, name, revision, source, digest, updated: toRfc3339(updated) }
}

export function exceptionSummaryOf(
  resource: LoadedResource,
  { policy, rules, nodes, owner, reason, expires }: PolicyException,
  now: number,
): ExceptionSummary {
  return {
    ...identityOf(resource),
    state: now < expires ? 'live' : 'expired',
    ...(policy === undefined ? {} : { policy }),
    rules: [...rules],
    nodes,
    owner,
    reason,
    expires: toRfc3339(expires),
  }
}
