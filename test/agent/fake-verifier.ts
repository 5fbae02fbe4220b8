import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import { createServer } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { once } from 'node:events'
import { FlattenedSign } from 'jose'
import {
  makeIssuingCertificate,
  makeResultsCertificate,
  makeRootCertificate,
  makeServerCertificate,
  parseRequest,
  signerOf,
  type Issuer,
} from '../../src/ca/index.ts'
import { toPem, type Certificate } from '../../src/ca/path/index.ts'
import { makeAkCertificate, makeDeviceCertificate } from '../../src/ca/profile/nodes.ts'
import { decode, type Codec } from '../../src/codec/index.ts'
import { parseNodeId, toBase64Url, toHex, uuidV7, type NodeId } from '../../src/core/index.ts'
import {
  makeCredential,
  nameOf,
  qualifiedNameUnderEndorsement,
  spkiOf,
  TPM2B_PUBLIC,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
  verifySignature,
  type TpmsAttest,
  type TpmtPublic,
} from '../../src/tpm/index.ts'
import {
  challengeRequest,
  decodeBody,
  encodeBody,
  evidence,
  evidenceQualifyingData,
  MEDIA,
  onboardingBegin,
  onboardingBinding,
  onboardingFinish,
  onboardingProof,
  sha256,
  SIGNATURE_HEADER,
} from '../../src/wire/index.ts'

const DAY = 86_400_000

/** What stands in for the usual answer to one request; `signedBy` names the key of the signature. */
export interface Answer {
  readonly status?: number
  readonly body: unknown
  readonly type?: string
  readonly headers?: Record<string, string>
  readonly signedBy?: 'results' | 'node' | 'nobody' | 'wrong'
  /** What the signature names as the request: by default the one that is answered. */
  readonly signedFor?: 'another' | 'none'
  /** Changes the bytes after they were signed. */
  readonly tampered?: boolean
  /** Never sent. */
  readonly delayed?: boolean
}

export interface FakeVerifier {
  readonly url: string
  readonly anchor: string
  /** Paths of the requests, in order. */
  readonly paths: string[]
  /** Evidence as it was accepted. */
  readonly accepted: ReturnType<typeof evidence.parse>[]
  /** Called before the usual answer; what it gives is sent instead of it. */
  intercept: ((path: string, nth: number) => Answer | undefined) | undefined
  /** Seconds, and lifetime of device certificates in milliseconds. */
  interval: number
  lifetime: number
  status: 'affirming' | 'warning' | 'contraindicated'
  /** How much of the IMA log it has; `undefined`: nothing, or nothing any more. */
  ima: { known: string; bytes: number } | undefined
  /** This path does its work and ends the connection instead of answering. */
  losesAnswerTo: string | undefined
  /** PEM that stands in for a renewed device certificate. */
  renewsWith: string | undefined
  /** Fields of the answer to the second round of onboarding that stand in for the right ones. */
  issuesInstead: Readonly<Record<string, unknown>>
  /** AK Names that began to onboard, and nodes that were admitted. */
  readonly akNames: string[]
  readonly nodeIds: Set<string>
  /** What nodes said that their TPMs implement, in both protocols. */
  readonly banks: (readonly string[])[]
  /** Second rounds of onboarding. */
  readonly finished: unknown[]
  /** Ends the connection of the next request without an answer. */
  hangUpNext(): void
  close(): Promise<void>
}

interface Key {
  readonly certificate: Certificate
  readonly privateKey: KeyObject
}

/**
 * As much of a verifier as an agent needs to meet: the two rounds of onboarding and of attestation, with every binding
 * checked, and answers that the real one never gives. `from` is the first day of its certificates.
 */
export async function fakeVerifier(
  options: { readonly from?: number; readonly host?: string; readonly pcrs?: string; readonly listen?: number } = {},
): Promise<FakeVerifier> {
  const from = options.from ?? Date.now() - DAY
  const pcrs = options.pcrs ?? 'sha256:0-15+sha1:0-7'
  const authority = await makeAuthority(from)
  const tls = await authority.issue((spki, issuance) =>
    makeServerCertificate(authority.issuer, { ...issuance, spki, hosts: [options.host ?? '127.0.0.1'] }),
  )
  const results = await authority.issue((spki, issuance) =>
    makeResultsCertificate(authority.issuer, { ...issuance, spki, commonName: 'results' }),
  )
  const someNode = await authority.issue((spki, issuance) =>
    makeDeviceCertificate(authority.issuer, { ...issuance, ...node(newNodeId()), spki }),
  )
  const sessions = new Map<string, { begin: ReturnType<typeof onboardingBegin.parse>; secret: Buffer }>()
  const nodes = new Map<string, { nodeId: NodeId; akPublic: TpmtPublic; ekPublic: TpmtPublic; eventLog?: string }>()
  const nonces = new Map<string, string>()

  const deviceCertificate = async (nodeId: NodeId, spki: Buffer): Promise<string> => {
    const issuance = { ...authority.issuance(), notBefore: from, notAfter: from + fake.lifetime }
    return toPem((await makeDeviceCertificate(authority.issuer, { ...issuance, ...node(nodeId), spki })).der)
  }
  const akCertificateOf = async (nodeId: NodeId, spki: Buffer): Promise<string> => {
    const issuance = { ...authority.issuance(), notBefore: from, notAfter: from + fake.lifetime }
    return toPem((await makeAkCertificate(authority.issuer, { ...issuance, nodeId, tpm: undefined, spki })).der)
  }
  const routes: Readonly<Record<string, (body: unknown) => Promise<unknown>>> = {
    '/v1/onboarding/begin': async (body) => {
      const begin = onboardingBegin.parse(body)
      const session = uuidV7(Date.now(), randomBytes(10))
      const secret = randomBytes(32)
      sessions.set(session, { begin, secret })
      const akName = nameOf(publicOf(begin.akPublic))
      fake.banks.push(begin.pcrBanks)
      fake.akNames.push(toHex(akName))
      const credential = makeCredential({ ek: publicOf(begin.ekPublic), akName, secret, random: randomBytes })
      return Promise.resolve({ session, ...credential, pcrs, expires: new Date(Date.now() + 60_000).toISOString() })
    },
    '/v1/onboarding/finish': async (body) => {
      fake.finished.push(body)
      const finish = onboardingFinish.parse(body)
      const session = sessions.get(finish.session)
      assert.ok(session !== undefined, 'the session is known')
      sessions.delete(finish.session)
      const { begin, secret } = session
      const ekPublic = publicOf(begin.ekPublic)
      const akPublic = publicOf(begin.akPublic)
      const devicePublic = publicOf(finish.devicePublic)
      const binding = onboardingBinding({
        session: finish.session,
        ekSpki: spkiOf(ekPublic),
        akName: nameOf(akPublic),
        deviceKeyName: nameOf(devicePublic),
        request: finish.request,
        eventLog: finish.eventLog,
        imaLog: finish.imaLog ?? Buffer.alloc(0),
        imaMore: finish.imaMore,
        userspaceLog: finish.userspaceLog,
        model: begin.model,
        serial: begin.serial,
        pcrBanks: begin.pcrBanks,
      })
      assert.ok(finish.proof.equals(onboardingProof(secret, binding)), 'the proof fits')
      for (const [attest, signature] of [
        [finish.certification, finish.certificationSignature],
        [finish.quote, finish.quoteSignature],
      ] as const) {
        const { extraData } = attested(ekPublic, akPublic, attest, signature)
        assert.ok(extraData.equals(binding), 'the attestation is bound')
      }
      const request = parseRequest(finish.request)
      assert.equal(request.signatureProblem, undefined)
      assert.ok(request.spki.equals(spkiOf(devicePublic)))
      const akName = toHex(nameOf(akPublic))
      const nodeId = nodes.get(akName)?.nodeId ?? newNodeId()
      nodes.set(akName, { nodeId, akPublic, ekPublic, eventLog: toHex(sha256(finish.eventLog)) })
      fake.nodeIds.add(nodeId)
      const certificate = await deviceCertificate(nodeId, request.spki)
      const { interval } = fake
      const akCertificate = await akCertificateOf(nodeId, spkiOf(akPublic))
      const issued = { nodeId, deviceCertificate: certificate, akCertificate, chain: authority.chain, interval }
      return { ...issued, ...fake.issuesInstead }
    },
    '/v1/attestation/challenge': async (body) => {
      const asked = challengeRequest.parse(body)
      const akName = toHex(asked.akName)
      fake.banks.push(asked.pcrBanks)
      const nonce = randomBytes(40)
      nonces.set(toHex(nonce), akName)
      const knownEventLog = nodes.get(akName)?.eventLog ?? toHex(randomBytes(32))
      return Promise.resolve({ nonce, pcrs, knownEventLog, knownIma: fake.ima?.known ?? toHex(randomBytes(32)) })
    },
    '/v1/attestation/evidence': async (body) => {
      const sent = evidence.parse(body)
      const akName = nonces.get(toHex(sent.nonce))
      const known = akName === undefined ? undefined : nodes.get(akName)
      assert.ok(known !== undefined, 'nonce and node are known')
      nonces.delete(toHex(sent.nonce))
      const carried = sent.ima && { part: sent.ima, log: sent.imaLog ?? Buffer.alloc(0) }
      const { extraData } = attested(known.ekPublic, known.akPublic, sent.quote, sent.signature)
      assert.ok(
        extraData.equals(evidenceQualifyingData(sent.nonce, sent.request, carried, sent.userspaceLog)),
        'the quote is bound',
      )
      if (sent.eventLog === undefined) assert.equal(sent.eventLogDigest, known.eventLog)
      fake.accepted.push(sent)
      if (sent.ima !== undefined) {
        if (sent.ima.known !== undefined) assert.equal(sent.ima.known, fake.ima?.known)
        const from = sent.ima.known === undefined ? 0 : (fake.ima?.bytes ?? 0)
        fake.ima = { known: toHex(randomBytes(32)), bytes: from + (sent.imaLog?.byteLength ?? 0) }
      }
      const renewed =
        sent.request.renewal === undefined
          ? {}
          : {
              deviceCertificate:
                fake.renewsWith ?? (await deviceCertificate(known.nodeId, parseRequest(sent.request.renewal).spki)),
            }
      const ima = sent.ima === undefined ? {} : { ima: fake.ima }
      return { status: fake.status, result: 'header.payload.signature', interval: fake.interval, ...ima, ...renewed }
    },
  }

  const answerTo = async (incoming: IncomingMessage, parts: Buffer[]): Promise<Answer> => {
    const path = incoming.url ?? ''
    for await (const part of incoming) if (Buffer.isBuffer(part)) parts.push(part)
    fake.paths.push(path)
    const instead = fake.intercept?.(path, fake.paths.filter((seen) => seen === path).length)
    if (instead !== undefined) return instead
    const route = routes[path]
    if (route === undefined) return { status: 404, body: {} }
    const usual = { body: await route(decodeBody(MEDIA.cbor, Buffer.concat(parts))) }
    if (path === fake.losesAnswerTo) incoming.socket.destroy()
    return usual
  }
  const keys = { results, node: someNode, wrong: { ...results, privateKey: someNode.privateKey } }
  const server = createServer({
    cert: toPem(tls.certificate.der) + (authority.chain[0] ?? ''),
    key: tls.privateKey.export({ type: 'pkcs8', format: 'pem' }),
  })
  let hangsUp = false
  server.on('request', (incoming, outgoing) => {
    if (hangsUp) {
      hangsUp = false
      incoming.socket.destroy()
      return
    }
    const parts: Buffer[] = []
    void answerTo(incoming, parts)
      .catch((error: unknown): Answer => {
        return problemAnswer(500, 'internal', error instanceof Error ? error.message : String(error))
      })
      .then(async (answer) => {
        if (answer.delayed === true) return
        const { status = 200, type = MEDIA.cbor, signedBy = 'results', signedFor, tampered = false } = answer
        const body = encodeBody(type === MEDIA.cbor ? MEDIA.cbor : MEDIA.json, answer.body)
        const signature =
          signedBy === 'nobody'
            ? undefined
            : await sign(keys[signedBy], authority, body, requestNamed(signedFor, parts))
        if (tampered) body.writeUInt8(body.readUInt8(body.byteLength - 1) ^ 1, body.byteLength - 1)
        outgoing.writeHead(status, {
          'content-type': type,
          'content-length': body.byteLength,
          ...(signature === undefined ? {} : { [SIGNATURE_HEADER]: signature }),
          ...answer.headers,
        })
        outgoing.end(body)
      })
  })
  server.listen(options.listen ?? 0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const fake: FakeVerifier = {
    url: `https://127.0.0.1:${address.port}`,
    anchor: authority.chain[1] ?? '',
    paths: [],
    accepted: [],
    intercept: undefined,
    interval: 300,
    lifetime: 30 * DAY,
    status: 'affirming',
    ima: undefined,
    losesAnswerTo: undefined,
    issuesInstead: {},
    renewsWith: undefined,
    akNames: [],
    nodeIds: new Set(),
    banks: [],
    finished: [],
    hangUpNext() {
      hangsUp = true
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return fake
}

export function problemAnswer(status: number, code: string, detail: string, retryAfter?: number): Answer {
  const body = { type: `/errors#${code}`, title: code, status, code, detail, hint: 'a hint', requestId: 'r-1' }
  return {
    status,
    type: MEDIA.problem,
    body: retryAfter === undefined ? body : { ...body, retryAfter },
  }
}

/** PEM of some root, for those who only need one. */
export async function makeRoot(): Promise<string> {
  return (await makeAuthority(Date.now())).chain[1] ?? ''
}

interface Authority {
  readonly issuer: Issuer
  /** PEM, issuing CA then root. */
  readonly chain: readonly string[]
  issuance(): { serial: Buffer; notBefore: number; notAfter: number }
  issue(
    make: (spki: Buffer, issuance: { serial: Buffer; notBefore: number; notAfter: number }) => Promise<Certificate>,
  ): Promise<Key>
}

async function makeAuthority(from: number): Promise<Authority> {
  const issuance = () => ({ serial: randomBytes(16), notBefore: from, notAfter: from + 400 * DAY })
  const [rootSigner, signer] = [newKey(), newKey()].map((key) => signerOf(key))
  assert.ok(rootSigner !== undefined && signer !== undefined)
  const name = { organization: 'test', ...issuance() }
  const root = await makeRootCertificate(rootSigner, { ...name, commonName: 'root' })
  const issuing = await makeIssuingCertificate({ certificate: root, signer: rootSigner }, signer.spki, {
    ...name,
    serial: randomBytes(16),
    commonName: 'issuing',
  })
  return {
    issuer: { certificate: issuing, signer },
    chain: [toPem(issuing.der), toPem(root.der)],
    issuance,
    async issue(make) {
      const privateKey = newKey()
      return { privateKey, certificate: await make(signerOf(privateKey).spki, issuance()) }
    },
  }
}

function newKey(): KeyObject {
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  return createPrivateKey(privateKey)
}

function requestNamed(signedFor: Answer['signedFor'], parts: readonly Buffer[]): { rqd?: string } {
  if (signedFor === 'none') return {}
  return { rqd: toBase64Url(sha256(signedFor === 'another' ? Buffer.from('another') : Buffer.concat(parts))) }
}

async function sign(key: Key, authority: Authority, body: Buffer, named: { rqd?: string }): Promise<string> {
  const x5c = [key.certificate.der, authority.issuer.certificate.der].map((der) => der.toString('base64'))
  const jws = await new FlattenedSign(body).setProtectedHeader({ alg: 'ES256', x5c, ...named }).sign(key.privateKey)
  return `${jws.protected ?? ''}..${jws.signature}`
}

function attested(ek: TpmtPublic, ak: TpmtPublic, attest: Buffer, signature: Buffer): TpmsAttest {
  assert.deepEqual(verifySignature(ak, attest, whole(TPMT_SIGNATURE, signature)), { ok: true })
  const decoded = whole(TPMS_ATTEST, attest)
  assert.ok(decoded.qualifiedSigner.equals(qualifiedNameUnderEndorsement(ek, ak)), 'the AK is a child of the EK')
  return decoded
}

function publicOf(bytes: Buffer): TpmtPublic {
  return whole(TPM2B_PUBLIC, bytes)
}

function whole<T>(codec: Codec<T>, bytes: Buffer): T {
  return decode('bytes', codec, bytes)
}

function newNodeId(): NodeId {
  const nodeId = parseNodeId(uuidV7(Date.now(), randomBytes(10)))
  assert.ok(nodeId !== undefined)
  return nodeId
}

function node(nodeId: NodeId) {
  const hardware = { serial: randomBytes(8), permanentIdentifier: 'test' }
  return { nodeId, nodeSerial: 'S1', hardware }
}
