import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { parseManifest } from '../../src/ca/index.ts'
import { decode } from '../../src/codec/index.ts'
import { nameOf, spkiOf, TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import {
  attestationList,
  nodeDetail,
  nodeList,
  onboardingBinding,
  onboardingChallenge,
  onboardingProof,
  PCR_BANKS,
  recomputed,
} from '../../src/wire/index.ts'
import { manifestEntry, manifestText } from '../../swtpm/index.ts'
import { temporaryDirectory } from '../store/temporary-store.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { testNode } from './test-node.ts'
import { type ProblemError, refusedWith, send, testVerifier, type TestVerifierOptions } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0001' }
const { vendor, ekRoots } = await testVendor({ after })
const policies = [await honestPolicy()]
const box = await testBox({ after }, vendor, claim)
const impostorBox = await testBox({ after }, vendor, claim)
const node = await testNode(box.powered, claim)
const rsaNode = await testNode(box.powered, claim, 'L-1')
const impostor = await testNode(impostorBox.powered, claim)
for (const { close } of [node, rsaNode, impostor]) after(close)
const keys = await node.makeKeys()
const otherKeys = await node.makeKeys('2')
const rsaKeys = await rsaNode.makeKeys('3')
const impostorKeys = await impostor.makeKeys()

const entry = manifestEntry(box.box, { site: 'north' })
const manifest = parseManifest(manifestText('boxes', [entry]))
const banksListed = parseManifest(manifestText('boxes', [{ ...entry, pcrBanks: [...PCR_BANKS] }]))

function verifier(t: test.TestContext, settings: TestVerifierOptions['settings'] = {}, more: TestVerifierOptions = {}) {
  return testVerifier(t, { policies, ekRoots, settings: { admission: 'vendor-ek', ...settings }, ...more })
}

test('a node gets its id and certificates in two rounds, and openssl accepts the chain', async (t) => {
  const { app, root, operator } = await verifier(t)
  const result = await node.onboard(app, keys)
  const directory = temporaryDirectory(t)
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  const rootFile = file('root.pem', root)
  const issuing = file('issuing.pem', result.chain[0] ?? '')
  for (const pem of [result.deviceCertificate, result.akCertificate]) {
    execFileSync('openssl', [
      'verify',
      '-x509_strict',
      '-CAfile',
      rootFile,
      '-untrusted',
      issuing,
      file('leaf.pem', pem),
    ])
  }
  assert.equal(result.chain[1], root)
  const device = new X509Certificate(result.deviceCertificate)
  const spki = spkiOf(decode('k', TPM2B_PUBLIC, keys.device.publicArea))
  assert.ok(device.publicKey.equals(createPublicKey({ key: spki, format: 'der', type: 'spki' })))
  assert.ok(device.subject.includes(result.nodeId))

  const viewer = await operator('viewer')
  const detail = await viewer(nodeDetail, 'GET', `/v1/nodes/${result.nodeId}`)
  assert.equal(detail.status, 'active')
  assert.equal(detail.akName, keys.akName.toString('hex'))
  assert.equal(detail.lastAttestation?.status, 'affirming')
  assert.equal(detail.certificates.length, 2)
  assert.equal(detail.eks.length, 1)
  assert.ok(detail.eks[0]?.certificate)
  assert.deepEqual(
    detail.audit.map((entry) => entry.action),
    ['node.admit'],
  )
})

test('the same EK, AK and device key again are the same node with the same certificates', async (t) => {
  const { app, store } = await verifier(t)
  const first = await node.onboard(app, keys)
  const again = await node.onboard(app, keys)
  assert.deepEqual(again, first)
  assert.equal((await store.nodes.list({ limit: 9 })).length, 1)
})

test('a node that resumes late gets new certificates', async (t) => {
  const { app, advance } = await verifier(t, { certificateLifetime: 7200 })
  const first = await node.onboard(app, keys)
  advance(2 * 3600_000)
  const again = await node.onboard(app, keys)
  assert.equal(again.nodeId, first.nodeId)
  assert.notEqual(again.deviceCertificate, first.deviceCertificate)
})

test('whoever begins again with the same EK and AK is in the same session, also at the same moment', async (t) => {
  const { app } = await verifier(t)
  const begun = await Promise.all([1, 2, 3].map(() => node.begin(app, keys)))
  assert.equal(new Set(begun.map(({ session }) => session)).size, 1)
  assert.equal(new Set(begun.map(({ credentialBlob }) => credentialBlob.toString('hex'))).size, 3)
  const [first, , last] = begun
  assert.ok(first !== undefined && last !== undefined)
  const [one, other] = [await node.proveRound(first, keys), await node.proveRound(last, keys)]
  assert.deepEqual(one.secret, other.secret)
  await node.finish(app, other)
  assert.notEqual((await node.begin(app, keys)).session, first.session)
})

test('of two that finish one session at once, one is answered and one node is made', async (t) => {
  const { app, store } = await verifier(t)
  const rounds = [await node.begin(app, keys), await node.begin(app, keys)]
  const bodies = []
  for (const session of rounds) bodies.push(await node.proveRound(session, keys))
  const results = await Promise.allSettled(bodies.map((body) => node.finish(app, body)))
  assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  for (const result of results) {
    if (result.status === 'rejected') refusedWith('onboarding.session')(result.reason)
  }
  assert.equal((await store.nodes.list({ limit: 9 })).length, 1)
})

test('what another says in the name of an EK and AK is a session of its own', async (t) => {
  const { app } = await verifier(t)
  const { session } = await node.begin(app, keys)
  const lie = {
    ekPublic: node.ek.publicArea,
    ekCertificate: node.ekCertificate,
    akPublic: keys.ak.publicArea,
    ...claim,
  }
  const begin = (body: object) => send(app, '/v1/onboarding/begin', body, onboardingChallenge)
  assert.notEqual((await begin({ ...lie, serial: 'E1-0009' })).session, session)
  assert.notEqual((await begin({ ...lie, pcrBanks: ['sha256'] })).session, session)
  assert.equal((await node.begin(app, keys)).session, session)
})

test('a crash before the commit leaves nothing behind, one after it leaves a node that resumes', async (t) => {
  const { app, store } = await verifier(t)
  const body = await node.proveRound(await node.begin(app, keys), keys)
  const commit = store.transaction.bind(store)
  store.transaction = (work) =>
    commit(async (tx) => {
      await work(tx)
      throw new Error('power cut')
    })
  await assert.rejects(node.finish(app, body), refusedWith('http.internal'))
  assert.deepEqual(await store.nodes.list({ limit: 1 }), [])
  store.transaction = commit
  const second = await node.proveRound(await node.begin(app, keys), keys)
  store.transaction = async (work) => {
    await commit(work)
    throw new Error('killed before the answer')
  }
  await assert.rejects(node.finish(app, second), refusedWith('http.internal'))
  const [made] = await store.nodes.list({ limit: 2 })
  store.transaction = commit
  assert.equal((await node.onboard(app, keys)).nodeId, made?.nodeId)
  assert.equal((await store.nodes.list({ limit: 9 })).length, 1)
})

test('a session serves once', async (t) => {
  const { app } = await verifier(t)
  const body = await node.proveRound(await node.begin(app, keys), keys)
  await node.finish(app, body)
  await assert.rejects(node.finish(app, body), refusedWith('onboarding.session'))
})

test('a session that is over, and one that never was, are refused alike', async (t) => {
  const { app, advance } = await verifier(t)
  const body = await node.proveRound(await node.begin(app, keys), keys)
  advance(5 * 60_000)
  await assert.rejects(node.finish(app, body), refusedWith('onboarding.session'))
  const stranger = { ...body, session: '01900000-0000-7000-8000-000000000000' }
  await assert.rejects(node.finish(app, stranger), refusedWith('onboarding.session'))
})

test('a wrong proof is refused, and does not use up the session of whoever has the right one', async (t) => {
  const { app } = await verifier(t)
  const body = await node.proveRound(await node.begin(app, keys), keys)
  await assert.rejects(node.finish(app, { ...body, proof: Buffer.alloc(32) }), refusedWith('enrol.proof'))
  assert.ok((await node.finish(app, body)).nodeId)
})

test('a second round that carries another request than its quote is refused, with and without a fresh proof', async (t) => {
  const { app } = await verifier(t)
  const swap = async (prove: boolean) => {
    const body = await node.proveRound(await node.begin(app, keys), keys)
    const request = await node.request(keys)
    const binding = onboardingBinding({
      session: body.session,
      ekSpki: node.ekSpki,
      akName: keys.akName,
      deviceKeyName: nameOf(decode('k', TPM2B_PUBLIC, keys.device.publicArea)),
      request,
      eventLog: body.eventLog,
      imaLog: body.imaLog ?? Buffer.alloc(0),
      ...claim,
      pcrBanks: PCR_BANKS,
    })
    return { ...body, request, ...(prove ? { proof: onboardingProof(body.secret, binding) } : {}) }
  }
  await assert.rejects(async () => node.finish(app, await swap(false)), refusedWith('enrol.proof'))
  await assert.rejects(async () => node.finish(app, await swap(true)), refusedWith('enrol.certification_binding'))
})

test('a quote of another round is refused', async (t) => {
  const { app } = await verifier(t)
  const first = await node.proveRound(await node.begin(app, keys), keys)
  const second = await node.proveRound(await node.begin(app, keys), keys)
  const mixed = { ...second, quote: first.quote, quoteSignature: first.quoteSignature }
  await assert.rejects(node.finish(app, mixed), refusedWith('quote.nonce'))
})

test('a device key that the AK did not certify is refused', async (t) => {
  const { app } = await verifier(t)
  const body = await node.proveRound(await node.begin(app, keys), keys)
  await assert.rejects(
    node.finish(app, { ...body, devicePublic: otherKeys.device.publicArea }),
    refusedWith('enrol.proof'),
  )
})

test('an AK that is not restricted is refused in the first round', async (t) => {
  const { app } = await verifier(t)
  await assert.rejects(node.begin(app, { ak: keys.device }), refusedWith('enrol.key_attributes'))
})

test('an EK certificate of another TPM is refused, and the answer says which check failed', async (t) => {
  const { app } = await verifier(t)
  const body = {
    ekPublic: node.ek.publicArea,
    ekCertificate: impostor.ekCertificate,
    akPublic: keys.ak.publicArea,
    ...claim,
  }
  await assert.rejects(send(app, '/v1/onboarding/begin', body, onboardingChallenge), (error) => {
    refusedWith('admission.ek')(error)
    assert.equal((error as ProblemError).problem.checks?.[0]?.check, 'ek.key')
    return true
  })
})

test('a TPM of a vendor that nobody trusts is refused', async (t) => {
  const { app } = await verifier(t, {}, { ekRoots: (await testVendor(t)).ekRoots })
  await assert.rejects(node.begin(app, keys), refusedWith('admission.ek'))
})

test('a second TPM that claims the model and serial of a node is refused', async (t) => {
  const { app } = await verifier(t)
  await node.onboard(app, keys)
  await assert.rejects(impostor.begin(app, impostorKeys), refusedWith('onboarding.identity_claimed'))
})

test('of two TPMs that began with one model and serial, the first to finish is the node', async (t) => {
  const { app } = await verifier(t)
  const mine = await node.proveRound(await node.begin(app, keys), keys)
  const theirs = await impostor.proveRound(await impostor.begin(app, impostorKeys), impostorKeys)
  await node.finish(app, mine)
  await assert.rejects(impostor.finish(app, theirs), refusedWith('onboarding.identity_claimed'))
})

test('a node that comes back under another name is refused', async (t) => {
  const { app } = await verifier(t)
  await node.onboard(app, keys)
  const renamed = await testNode(box.powered, { ...claim, serial: 'E1-0002' })
  t.after(() => renamed.close())
  await assert.rejects(renamed.begin(app, keys), refusedWith('onboarding.identity_changed'))
})

test('a known TPM with other keys is refused unless the configuration allows it', async (t) => {
  const { app } = await verifier(t)
  await node.onboard(app, keys)
  await assert.rejects(node.begin(app, otherKeys), refusedWith('onboarding.re_enrolment'))
})

test('where it is allowed, other keys take over the same node, and the old certificates are revoked', async (t) => {
  const { app, operator } = await verifier(t, { reEnrolment: 'allow' })
  const first = await node.onboard(app, keys)
  const second = await node.onboard(app, otherKeys)
  assert.equal(second.nodeId, first.nodeId)
  const viewer = await operator('viewer')
  const detail = await viewer(nodeDetail, 'GET', `/v1/nodes/${first.nodeId}`)
  assert.equal(detail.akName, otherKeys.akName.toString('hex'))
  assert.equal(detail.certificates.filter((certificate) => certificate.revoked !== undefined).length, 2)
  assert.equal((await node.attest(app, first.nodeId, otherKeys)).status, 'affirming')
  await assert.rejects(node.attest(app, first.nodeId, keys), refusedWith('challenge.forged'))
})

test('where an operator must approve, other keys wait, and only those that were approved come in', async (t) => {
  const { app, operator } = await verifier(t, { reEnrolment: 'approve' })
  const first = await node.onboard(app, keys)
  await assert.rejects(node.onboard(app, otherKeys), refusedWith('onboarding.waiting'))
  const operate = await operator('operator')
  const url = `/v1/nodes/${first.nodeId}`
  assert.equal((await operate(nodeDetail, 'GET', url)).reEnrolment?.akName, otherKeys.akName.toString('hex'))
  assert.equal((await node.attest(app, first.nodeId, keys)).status, 'affirming')
  const approve = async (changes: object = {}) => {
    const { reEnrolment } = await operate(nodeDetail, 'GET', url)
    return operate(nodeDetail, 'POST', `${url}/approve`, { akName: reEnrolment?.akName, ...changes })
  }
  await approve()
  const third = await node.makeKeys('4')
  await assert.rejects(node.onboard(app, third), refusedWith('onboarding.waiting'))
  // The keys that the operator looked at must be the ones that ask.
  const seen = (await operate(nodeDetail, 'GET', url)).reEnrolment?.akName
  await assert.rejects(node.onboard(app, otherKeys), refusedWith('onboarding.waiting'))
  await assert.rejects(approve({ akName: seen }), refusedWith('node.state'))
  await assert.rejects(approve({ akName: undefined }), refusedWith('http.invalid'))
  await approve()
  assert.equal((await node.onboard(app, otherKeys)).nodeId, first.nodeId)
})

test('a manifest admits what it lists, with its labels and all EKs of the box', async (t) => {
  const { app, operator } = await verifier(t, { admission: 'manifest' }, { manifest })
  const { nodeId } = await node.onboard(app, keys)
  const viewer = await operator('viewer')
  const detail = await viewer(nodeDetail, 'GET', `/v1/nodes/${nodeId}`)
  assert.deepEqual(detail.labels, { site: 'north' })
  assert.equal(detail.eks.length, 2)
  await assert.rejects(rsaNode.begin(app, rsaKeys), refusedWith('onboarding.re_enrolment'))
  // Not that somebody else has the name already: a stranger learns nothing of who is enrolled.
  await assert.rejects(impostor.begin(app, impostorKeys), refusedWith('admission.not_listed'))
})

test('a manifest refuses what it does not list, and another name than it lists', async (t) => {
  const { app } = await verifier(t, { admission: 'manifest' }, { manifest })
  await assert.rejects(impostor.begin(app, impostorKeys), refusedWith('admission.not_listed'))
  const renamed = await testNode(box.powered, { ...claim, serial: 'E1-0002' })
  t.after(() => renamed.close())
  await assert.rejects(renamed.begin(app, keys), (error) => {
    refusedWith('admission.claim')(error)
    assert.ok(!JSON.stringify((error as ProblemError).problem).includes(claim.serial))
    return true
  })
})

test('a manifest that lists the banks of a TPM refuses a node that keeps one to itself', async (t) => {
  const { app } = await verifier(t, { admission: 'manifest' }, { manifest: banksListed })
  const body = {
    ekPublic: node.ek.publicArea,
    ekCertificate: node.ekCertificate,
    akPublic: keys.ak.publicArea,
    ...claim,
  }
  const begin = (pcrBanks: readonly string[]) =>
    send(app, '/v1/onboarding/begin', { ...body, pcrBanks }, onboardingChallenge)
  await assert.rejects(begin(['sha256']), refusedWith('admission.claim'))
  assert.ok((await begin(['sha512', 'sha384', 'sha256', 'sha1'])).session)
})

test('banks that somebody on the way took out of the first round are missed in the second', async (t) => {
  const { app } = await verifier(t)
  const body = {
    ekPublic: node.ek.publicArea,
    ekCertificate: node.ekCertificate,
    akPublic: keys.ak.publicArea,
    ...claim,
  }
  const session = await send(app, '/v1/onboarding/begin', { ...body, pcrBanks: ['sha256'] }, onboardingChallenge)
  // The node itself signs what it said: all banks.
  const round = await node.proveRound(session, keys)
  await assert.rejects(node.finish(app, round), refusedWith('enrol.proof'))
})

const loose = policyFor('loose', 'enrolment', '[]')
const strict = policyFor('strict', 'attestation', '[eve.rootfs]')
function policyFor(name: string, purpose: string, requiredFacts: string) {
  return `apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: ${name} }
spec:
  pcrs: sha256:0-15
  purpose: ${purpose}
  requiredFacts: ${requiredFacts}
  secureBoot: { enabled: { is: true } }
`
}

test('onboarding again is no way around attestation: the same certificates, and the bad verdict stays', async (t) => {
  const { app, operator, advance } = await verifier(t, { certificateLifetime: 7200 }, { policies: [loose, strict] })
  const viewer = await operator('viewer')
  const first = await node.onboard(app, keys)
  const bad = await node.attest(app, first.nodeId, keys, { renewal: await node.request(keys) })
  assert.equal(bad.status, 'contraindicated')
  assert.equal(bad.deviceCertificate, undefined)
  // Beyond half of their time, in which a good node would be given others.
  advance(3600_000)
  assert.deepEqual(await node.onboard(app, keys), first)
  const look = () => viewer(nodeDetail, 'GET', `/v1/nodes/${first.nodeId}`)
  const detail = await look()
  assert.equal(detail.lastAttestation?.status, 'contraindicated')
  assert.equal(detail.certificates.length, 2)
  const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${first.nodeId}`)
  assert.deepEqual(
    items.map(({ purpose }) => purpose),
    ['enrolment', 'attestation', 'enrolment'],
  )
  advance(3600_000)
  await assert.rejects(node.onboard(app, keys), refusedWith('onboarding.appraisal'))
  assert.equal((await look()).lastAttestation?.status, 'contraindicated')
})

test('a node whose IMA log is longer than an enrolment carries enrols where policy asks nothing of it, and is affirmed once all is there', async (t) => {
  const { app, operator } = await verifier(t, {}, { policies: [loose, policyFor('any', 'attestation', '[]')] })
  const viewer = await operator('viewer')
  const imaLog = node.imaLog?.subarray(0, 1000)
  const round = async () => {
    const session = await node.begin(app, keys)
    return node.proveRound(session, keys, { eventLog: node.eventLog, imaLog, imaMore: true })
  }
  const { imaMore: _imaMore, ...whole } = await round()
  await assert.rejects(node.finish(app, whole), refusedWith('enrol.proof'))
  const { nodeId } = await node.finish(app, await round())
  const detail = await viewer(nodeDetail, 'GET', `/v1/nodes/${nodeId}`)
  assert.equal(detail.lastAttestation?.status, 'warning')
  assert.equal((await node.attest(app, nodeId, keys)).status, 'affirming')
  const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${nodeId}`)
  assert.equal(items.length, 2)
  for (const { id } of items) {
    assert.equal((await viewer(recomputed, 'POST', `/v1/attestations/${id}/recompute`)).outcome, 'same')
  }
})

test('a policy over IMA is not answered by a part of the log, and the refusal says what to do', async (t) => {
  const judged = policyFor('judged', 'enrolment', '[]').replace('spec:', 'spec:\n  log: { ima: required }')
  const { app, store } = await verifier(t, {}, { policies: [judged] })
  const imaLog = node.imaLog?.subarray(0, 1000)
  const round = await node.proveRound(await node.begin(app, keys), keys, {
    eventLog: node.eventLog,
    imaLog,
    imaMore: true,
  })
  await assert.rejects(node.finish(app, round), refusedWith('onboarding.ima_partial'))
  assert.equal(await store.nodes.count('active'), 0)
})

test('the newest verdict is kept, however many others follow it', async (t) => {
  const limits = { ...(await verifier(t)).deps.settings.limits, attestationsPerNode: 1 }
  const { app, store } = await verifier(t, { limits }, { policies: [loose, strict] })
  const { nodeId } = await node.onboard(app, keys)
  await node.attest(app, nodeId, keys)
  await node.onboard(app, keys)
  await node.onboard(app, keys)
  assert.equal((await store.nodes.byId(nodeId))?.lastAttestation?.status, 'contraindicated')
})

test('admission by vendor cannot tell that two EKs are of one TPM, but one name stays one node', async (t) => {
  const { app } = await verifier(t)
  await node.onboard(app, keys)
  await assert.rejects(rsaNode.begin(app, rsaKeys), refusedWith('onboarding.identity_claimed'))
})

test('an RSA EK works as well', async (t) => {
  const { app } = await verifier(t)
  assert.ok((await rsaNode.onboard(app, rsaKeys)).nodeId)
})

test('with approval, a proven node waits, gets nothing, and is let in by an operator', async (t) => {
  const { app, operator } = await verifier(t, { admission: 'approval' })
  await assert.rejects(node.onboard(app, keys), refusedWith('onboarding.waiting'))
  await assert.rejects(node.onboard(app, keys), refusedWith('onboarding.waiting'))
  const operate = await operator('operator')
  const { items } = await operate(nodeList, 'GET', '/v1/nodes?status=pending')
  const [pending] = items
  assert.ok(pending !== undefined && items.length === 1)
  assert.equal(pending.lastAttestation?.status, 'affirming')
  const detail = await operate(nodeDetail, 'POST', `/v1/nodes/${pending.nodeId}/approve`)
  assert.equal(detail.status, 'active')
  assert.deepEqual(detail.certificates, [])
  assert.equal((await node.onboard(app, keys)).nodeId, pending.nodeId)
})

test('with approval, an operator who lets a second TPM have a name must say whose it was', async (t) => {
  const { app, operator } = await verifier(t, { admission: 'approval' })
  const operate = await operator('operator')
  const approve = async (body: object) => {
    const { items } = await operate(nodeList, 'GET', '/v1/nodes?status=pending')
    return operate(nodeDetail, 'POST', `/v1/nodes/${items[0]?.nodeId ?? ''}/approve`, body)
  }
  await assert.rejects(node.onboard(app, keys), refusedWith('onboarding.waiting'))
  const first = await approve({})
  await node.onboard(app, keys)
  await assert.rejects(impostor.onboard(app, impostorKeys), refusedWith('onboarding.waiting'))
  await assert.rejects(approve({}), refusedWith('onboarding.identity_claimed'))
  const second = await approve({ replaces: first.nodeId })
  assert.equal(second.status, 'active')
  assert.equal((await operate(nodeDetail, 'GET', `/v1/nodes/${first.nodeId}`)).status, 'suspended')
  await assert.rejects(node.begin(app, keys), refusedWith('node.suspended'))
  await assert.rejects(
    operate(nodeDetail, 'POST', `/v1/nodes/${first.nodeId}/activate`),
    refusedWith('onboarding.identity_claimed'),
  )
  assert.equal((await impostor.onboard(app, impostorKeys)).nodeId, second.nodeId)
})

test('a full house refuses newcomers, says when to come back, and keeps those that are there', async (t) => {
  const limits = { ...(await verifier(t)).deps.settings.limits, pendingSessions: 1 }
  const { app } = await verifier(t, { limits })
  const session = await node.begin(app, keys)
  await assert.rejects(node.begin(app, otherKeys), (error) => {
    refusedWith('onboarding.full')(error)
    assert.equal((error as ProblemError).problem.retryAfter, 30)
    return true
  })
  await node.finish(app, await node.proveRound(session, keys))
})

test('beginning again and again in the name of an EK does not lock out the node that has it', async (t) => {
  const limits = { ...(await verifier(t)).deps.settings.limits, pendingSessionsPerEk: 1 }
  const { app } = await verifier(t, { limits, reEnrolment: 'allow' })
  await node.onboard(app, keys)
  await node.begin(app, otherKeys)
  await node.begin(app, otherKeys)
  await assert.rejects(node.begin(app, await node.makeKeys('5')), refusedWith('onboarding.full'))
  await node.onboard(app, keys)
})

test('beginning in the name of an enrolled node takes no room from anybody', async (t) => {
  const limits = { ...(await verifier(t)).deps.settings.limits, pendingSessions: 1 }
  const { app } = await verifier(t, { limits })
  await node.onboard(app, keys)
  const body = {
    ekPublic: node.ek.publicArea,
    ekCertificate: node.ekCertificate,
    akPublic: keys.ak.publicArea,
    ...claim,
  }
  for (const pcrBanks of [['sha256'], ['sha1'], ['sha384'], ['sha1', 'sha256']]) {
    await send(app, '/v1/onboarding/begin', { ...body, pcrBanks }, onboardingChallenge)
  }
  const newcomer = await testNode(impostorBox.powered, { ...claim, serial: 'E1-0002' })
  t.after(() => newcomer.close())
  const session = await newcomer.begin(app, impostorKeys)
  await assert.rejects(rsaNode.begin(app, rsaKeys), refusedWith('onboarding.identity_claimed'))
  await node.onboard(app, keys)
  await newcomer.finish(app, await newcomer.proveRound(session, impostorKeys))
})

test('a session that was begun before the node last attested is not handed out to it', async (t) => {
  const { app } = await verifier(t)
  const { nodeId } = await node.onboard(app, keys)
  const { session } = await node.begin(app, keys)
  await node.attest(app, nodeId, keys)
  assert.notEqual((await node.begin(app, keys)).session, session)
  await node.onboard(app, keys)
})

test('without a policy nobody is admitted', async (t) => {
  const { app } = await verifier(t, {}, { policies: [] })
  await assert.rejects(node.begin(app, keys), refusedWith('policy.none'))
})

test('evidence that does not satisfy the enrolment policy makes no node, and the answer names what was measured', async (t) => {
  const { app, store } = await verifier(t)
  const body = await impostor.proveRound(await impostor.begin(app, impostorKeys), impostorKeys, {
    eventLog: node.eventLog.subarray(0, -40),
    imaLog: impostor.imaLog,
  })
  await assert.rejects(impostor.finish(app, body), refusedWith('onboarding.appraisal'))
  assert.deepEqual(await store.nodes.list({ limit: 1 }), [])
})
