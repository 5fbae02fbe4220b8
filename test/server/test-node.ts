import { readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import { makeCertificationRequest, readEkCertificate } from '../../src/ca/index.ts'
import { decode } from '../../src/codec/index.ts'
import { toHex } from '../../src/core/index.ts'
import {
  activateCredential,
  certifyCreation,
  createEk,
  createKey,
  loadKey,
  openTpmTools,
  quote,
  readEndorsementMaterial,
  readUntrustedPcrs,
  signDigest,
} from '../../src/device/index.ts'
import { nameOf, parsePcrSelection, spkiOf, TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import {
  attestationResult,
  challenge,
  evidenceQualifyingData,
  type EvidenceRequest,
  onboardingBinding,
  onboardingChallenge,
  type OnboardingFinish,
  onboardingProof,
  onboardingResult,
  PCR_BANKS,
  sha256,
} from '../../src/wire/index.ts'
import { send } from './test-verifier.ts'

interface Powered {
  readonly tcti: string
  readonly eventLog: string
  readonly imaLog: string
}

export type EkChoice = 'L-1' | 'H-3'

const nameOfBytes = (bytes: Buffer) => nameOf(decode('TPM2B_PUBLIC', TPM2B_PUBLIC, bytes))

/**
 * A node on a real (software) TPM that does what it is told, one step at a time, so that a test can change any step.
 * Call `close` before the TPM is switched off.
 */
export async function testNode(powered: Powered, claim: { model: string; serial: string }, ekKind: EkChoice = 'H-3') {
  const tools = await openTpmTools(powered.tcti)
  const ek = await createEk(tools, ekKind)
  const ekSpki = spkiOf(decode('TPM2B_PUBLIC', TPM2B_PUBLIC, ek.publicArea))
  const material = await readEndorsementMaterial(tools)
  const ekCertificate = material.certificates
    .map(({ content }) => content)
    .find((content) => readEkCertificate(content).certificate.spki.equals(ekSpki))
  const eventLog = await readFile(powered.eventLog)
  const imaLog = await readFile(powered.imaLog).catch(() => undefined)

  const makeStoredKeys = async () => ({
    ak: await createKey(tools, ek, 'attestation'),
    device: await createKey(tools, ek, 'signing'),
  })
  const loadKeys = async (stored: Awaited<ReturnType<typeof makeStoredKeys>>, slot = '1') => {
    const ak = await loadKey(tools, ek, `ak${slot}`, stored.ak)
    const device = await loadKey(tools, ek, `device${slot}`, stored.device)
    return { ak, device, creation: stored.device, stored: stored.ak, akName: nameOfBytes(ak.publicArea) }
  }
  const makeKeys = async (slot = '1') => loadKeys(await makeStoredKeys(), slot)
  type Keys = Awaited<ReturnType<typeof makeKeys>>

  const begin = (app: FastifyInstance, keys: Pick<Keys, 'ak'>, certificate = ekCertificate) =>
    send(
      app,
      '/v1/onboarding/begin',
      { ekPublic: ek.publicArea, ekCertificate: certificate, akPublic: keys.ak.publicArea, ...claim },
      onboardingChallenge,
    )

  const request = (keys: Keys) =>
    makeCertificationRequest(keys.device.publicArea, claim.serial, (digest) => signDigest(tools, keys.device, digest))

  /** The honest second round; `change` sees it before it is sent. */
  const proveRound = async (
    session: Awaited<ReturnType<typeof begin>>,
    keys: Keys,
    logs: { eventLog: Buffer; imaLog?: Buffer | undefined; imaMore?: true; userspaceLog?: Buffer } = {
      eventLog,
      imaLog,
    },
  ): Promise<OnboardingFinish & { secret: Buffer; binding: Buffer }> => {
    const secret = await activateCredential(tools, ek, keys.ak, session)
    const csr = await request(keys)
    const binding = onboardingBinding({
      session: session.session,
      ekSpki,
      akName: keys.akName,
      deviceKeyName: nameOfBytes(keys.device.publicArea),
      request: csr,
      eventLog: logs.eventLog,
      imaLog: logs.imaLog ?? Buffer.alloc(0),
      imaMore: logs.imaMore,
      userspaceLog: logs.userspaceLog,
      ...claim,
      pcrBanks: PCR_BANKS,
    })
    const certification = await certifyCreation(tools, keys.ak, keys.device, keys.creation, binding)
    const pcrs = parsePcrSelection(session.pcrs)
    const quoted = await quote(tools, keys.ak, pcrs, binding)
    return {
      session: session.session,
      proof: onboardingProof(secret, binding),
      request: csr,
      devicePublic: keys.device.publicArea,
      certification: certification.attest,
      certificationSignature: certification.signature,
      quote: quoted.attest,
      quoteSignature: quoted.signature,
      eventLog: logs.eventLog,
      userspaceLog: logs.userspaceLog,
      imaLog: logs.imaLog,
      ...(logs.imaMore === undefined
        ? {}
        : { imaMore: logs.imaMore, untrustedPcrs: await readUntrustedPcrs(tools, pcrs) }),
      secret,
      binding,
    }
  }

  const finish = (app: FastifyInstance, round: Awaited<ReturnType<typeof proveRound>>) => {
    const body: Partial<typeof round> = { ...round }
    delete body.secret
    delete body.binding
    return send(app, '/v1/onboarding/finish', body, onboardingResult)
  }

  const onboard = async (app: FastifyInstance, keys: Keys, certificate = ekCertificate) =>
    finish(app, await proveRound(await begin(app, keys, certificate), keys))

  const ask = (app: FastifyInstance, nodeId: string, keys: Pick<Keys, 'akName'>) =>
    send(app, '/v1/attestation/challenge', { nodeId, akName: keys.akName, ima: true }, challenge)

  const evidenceFor = async (
    nodeId: string,
    keys: Pick<Keys, 'ak'>,
    asked: Awaited<ReturnType<typeof ask>>,
    asks: EvidenceRequest = {},
    logs: { eventLog: Buffer; imaLog?: Buffer | undefined } = { eventLog, imaLog },
  ) => {
    const quoted = await quote(tools, keys.ak, parsePcrSelection(asked.pcrs), evidenceQualifyingData(asked.nonce, asks))
    const eventLogDigest = toHex(sha256(logs.eventLog))
    return {
      nodeId,
      nonce: asked.nonce,
      quote: quoted.attest,
      signature: quoted.signature,
      eventLog: asked.knownEventLog === eventLogDigest ? undefined : logs.eventLog,
      eventLogDigest,
      imaLog: logs.imaLog,
      request: asks,
    }
  }

  const submit = (app: FastifyInstance, body: object) => send(app, '/v1/attestation/evidence', body, attestationResult)

  const attest = async (app: FastifyInstance, nodeId: string, keys: Keys, asks: EvidenceRequest = {}) =>
    submit(app, await evidenceFor(nodeId, keys, await ask(app, nodeId, keys), asks))

  return {
    tools,
    ek,
    ekSpki,
    ekCertificate,
    eventLog,
    imaLog,
    makeStoredKeys,
    loadKeys,
    makeKeys,
    begin,
    request,
    proveRound,
    finish,
    onboard,
    ask,
    evidenceFor,
    submit,
    attest,
    close: () => tools.close(),
  }
}
