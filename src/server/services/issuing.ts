import {
  deviceDoor,
  hardwareIdentityOf,
  type IssuanceTransaction,
  issue,
  type IssuedPair,
  type IssueRules,
  parseRequest,
  readEkCertificate,
} from '../../ca/index.ts'
import { type Certificate, toPem } from '../../ca/path/index.ts'
import { fromHex, type NodeId, type Status, toHex } from '../../core/index.ts'
import type { CertificateRecord, NodeRecord, Repositories } from '../../store/index.ts'
import type { VerifierDeps } from './deps.ts'
import { effectiveState } from './guest-admission.ts'
import { readTpmKey } from './tpm-key.ts'

/** From the nonce to the certificate: the appraisal itself takes milliseconds, a wait for the store a few seconds. */
const MAX_VERDICT_AGE_MS = 10 * 60_000
/** For nodes whose clock is behind. */
export const BACKDATE_MS = 3600_000
/** Newest first; of each key there are two at most that are not near their end. */
const MAX_HELD = 64

export interface NodeCertificates {
  /** PEM. */
  readonly deviceCertificate: string
  readonly akCertificate: string
  readonly chain: string[]
}

/** Everything goes through the gate of src/ca, inside the transaction that recorded the verdict. */
export async function issueCertificates(
  deps: VerifierDeps,
  tx: Repositories,
  input: { readonly nodeId: NodeId; readonly request: Buffer; readonly accept: readonly Status[] },
): Promise<NodeCertificates> {
  const { ca, clock, random, settings } = deps
  const door = deviceDoor({
    issuer: ca.issuer,
    random: random(32),
    lifetime: settings.certificateLifetime * 1000,
    backdate: BACKDATE_MS,
    record: (nodeId, certificates) => recordPair(tx, nodeId, certificates),
  })
  const request = { nodeId: input.nodeId, request: input.request, now: clock.now() }
  return certificatesOf(deps, await issue(issuanceTransaction(tx), request, rulesFor(input.accept), door))
}

/** From the nonce to what is issued: the same for every kind. */
export function rulesFor(accept: readonly Status[]): IssueRules {
  return { accept, maxVerdictAge: MAX_VERDICT_AGE_MS }
}

/** For the enrolled device key, as the gate requires: what the node has is enough until half of its time is over. */
export async function renewCertificates(
  deps: VerifierDeps,
  tx: Repositories,
  nodeId: NodeId,
  request: Buffer,
): Promise<NodeCertificates> {
  const node = await tx.nodes.byId(nodeId)
  const isOwn =
    node !== undefined && parseRequest(request).spki.equals(readTpmKey('devicePublic', node.devicePublic).spki)
  const held = isOwn && node.status === 'active' ? await heldCertificates(deps, tx, node, 'early') : undefined
  return held ?? issueCertificates(deps, tx, { nodeId, request, accept: ['affirming'] })
}

/**
 * What the node holds already for the keys it has: whatever is `valid` now, or only what is `early` in its life, with
 * more than half of it to come.
 */
export async function heldCertificates(
  { ca, clock }: VerifierDeps,
  tx: Pick<Repositories, 'certificates'>,
  node: Pick<NodeRecord, 'nodeId' | 'akName' | 'deviceKeyName'>,
  which: 'valid' | 'early',
): Promise<NodeCertificates | undefined> {
  const now = clock.now()
  const held = await tx.certificates.ofNode(node.nodeId, now, MAX_HELD, ['device', 'ak'])
  const find = (kind: CertificateRecord['kind'], keyName: string) =>
    held.find(
      (certificate) =>
        certificate.kind === kind &&
        certificate.keyName === keyName &&
        certificate.revoked === undefined &&
        (which === 'valid' || isEarly(certificate, now)),
    )
  const device = find('device', node.deviceKeyName)
  const ak = find('ak', node.akName)
  if (device === undefined || ak === undefined) return undefined
  return { deviceCertificate: device.pem, akCertificate: ak.pem, chain: [...ca.chain] }
}

/** Counted from when it was issued, or short-lived ones would never be early. */
export function isEarly({ notBefore, notAfter }: CertificateRecord, now: number): boolean {
  return notAfter - now > (notAfter - notBefore - BACKDATE_MS) / 2
}

function certificatesOf({ ca }: VerifierDeps, { device, ak }: IssuedPair): NodeCertificates {
  return { deviceCertificate: toPem(device.der), akCertificate: toPem(ak.der), chain: [...ca.chain] }
}

async function recordPair(
  tx: Repositories,
  nodeId: NodeId,
  certificates: Parameters<Parameters<typeof deviceDoor>[0]['record']>[1],
): Promise<void> {
  const node = await tx.nodes.byId(nodeId)
  for (const { kind, certificate } of certificates) {
    const keyName = (kind === 'device' ? node?.deviceKeyName : node?.akName) ?? ''
    await tx.certificates.insert(certificateRow(nodeId, kind, keyName, certificate))
  }
}

/** What the store keeps of a certificate. */
export function certificateRow(
  nodeId: NodeId,
  kind: CertificateRecord['kind'],
  keyName: string,
  certificate: Certificate,
): CertificateRecord {
  const { serial, notBefore, notAfter, der } = certificate
  return { serial: toHex(serial), nodeId, kind, keyName, notBefore, notAfter, pem: toPem(der) }
}

/** The gate's view of a transaction of the store. */
export function issuanceTransaction(tx: Repositories): IssuanceTransaction {
  return {
    subject: async (nodeId) => {
      const node = await tx.nodes.byId(nodeId)
      if (node === undefined) return undefined
      return { node: await issuanceNode(tx, node), verdict: await newestVerdict(tx, node) }
    },
  }
}

async function issuanceNode(tx: Repositories, node: NodeRecord) {
  const eks = await tx.eks.ofNode(node.nodeId)
  const der = eks.find(({ spkiSha256 }) => spkiSha256 === node.ekSha256)?.certificate
  const ekCertificate = der === undefined ? undefined : readEkCertificate(der)
  const ek = readTpmKey('ekPublic', node.ekPublic)
  const ak = readTpmKey('akPublic', node.akPublic)
  return {
    nodeId: node.nodeId,
    state: await effectiveState(tx, node),
    // A guest's is what its hypervisor says, and may be a machine's.
    nodeSerial: node.guest?.guestId ?? node.serial,
    hardware: hardwareIdentityOf(ek.spki, ekCertificate),
    tpm: ekCertificate?.tpm,
    akName: ak.name,
    akSpki: ak.spki,
    deviceSpki: readTpmKey('devicePublic', node.devicePublic).spki,
    resetCount: node.prior?.resetCount ?? -1,
  }
}

async function newestVerdict(tx: Repositories, node: NodeRecord) {
  const newest = node.lastAttestation === undefined ? undefined : await tx.attestations.byId(node.lastAttestation.id)
  if (newest === undefined) return undefined
  return {
    status: newest.status,
    freshFrom: newest.freshFrom,
    akName: fromHex(newest.akName) ?? Buffer.alloc(0),
    resetCount: newest.resetCount,
    requestDigest: newest.requestSha256 === null ? undefined : fromHex(newest.requestSha256),
  }
}
