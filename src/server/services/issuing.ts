import {
  hardwareIdentityOf,
  type IssuanceTransaction,
  issue,
  type IssuedPair,
  type IssueRules,
  parseRequest,
  readEkCertificate,
} from '../../ca/index.ts'
import { toPem } from '../../ca/path/index.ts'
import { fromHex, type NodeId, type Status, toHex } from '../../core/index.ts'
import type { CertificateRecord, NodeRecord, Repositories } from '../../store/index.ts'
import type { VerifierDeps } from './deps.ts'
import { readTpmKey } from './tpm-key.ts'

/** From the nonce to the certificate: the appraisal itself takes milliseconds, a wait for the store a few seconds. */
const MAX_VERDICT_AGE_MS = 10 * 60_000
/** For nodes whose clock is behind. */
const BACKDATE_MS = 3600_000
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
  const rules: IssueRules = {
    accept: input.accept,
    maxVerdictAge: MAX_VERDICT_AGE_MS,
    lifetime: settings.certificateLifetime * 1000,
    backdate: BACKDATE_MS,
  }
  const request = { nodeId: input.nodeId, request: input.request, now: clock.now(), random: random(32) }
  return certificatesOf(deps, await issue(issuanceTransaction(tx), request, ca.issuer, rules))
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
  const held = await tx.certificates.ofNode(node.nodeId, now, MAX_HELD)
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
function isEarly({ notBefore, notAfter }: CertificateRecord, now: number): boolean {
  return notAfter - now > (notAfter - notBefore - BACKDATE_MS) / 2
}

function certificatesOf({ ca }: VerifierDeps, { device, ak }: IssuedPair): NodeCertificates {
  return { deviceCertificate: toPem(device.der), akCertificate: toPem(ak.der), chain: [...ca.chain] }
}

/** The gate's view of a transaction of the store. */
function issuanceTransaction(tx: Repositories): IssuanceTransaction {
  return {
    subject: async (nodeId) => {
      const node = await tx.nodes.byId(nodeId)
      if (node === undefined) return undefined
      return { node: await issuanceNode(tx, node), verdict: await newestVerdict(tx, node) }
    },
    record: async (nodeId, certificates) => {
      const node = await tx.nodes.byId(nodeId)
      for (const { kind, certificate } of certificates) {
        await tx.certificates.insert({
          serial: toHex(certificate.serial),
          nodeId,
          kind,
          keyName: (kind === 'device' ? node?.deviceKeyName : node?.akName) ?? '',
          notBefore: certificate.notBefore,
          notAfter: certificate.notAfter,
          pem: toPem(certificate.der),
        })
      }
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
    state: node.status,
    nodeSerial: node.serial,
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
