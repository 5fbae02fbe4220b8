import assert from 'node:assert/strict'
import { createPublicKey, X509Certificate } from 'node:crypto'
import test, { after } from 'node:test'
import { calculateJwkThumbprint, createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { decode } from '../../src/codec/index.ts'
import { spkiOf, TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import { applyResult, attestationDetail, attestationList, jwks, nodeDetail, sha256 } from '../../src/wire/index.ts'
import { attackHideCommandLine, readBoot } from '../../swtpm/index.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { testNode } from './test-node.ts'
import { refusedWith, send, testVerifier, type TestVerifierOptions } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0001' }
const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()
const box = await testBox({ after }, vendor, claim)
const node = await testNode(box.powered, claim)
after(node.close)
const keys = await node.makeKeys()
const DAY = 24 * 3600_000
const otherKeys = await node.makeKeys('2')

async function enrolled(t: test.TestContext, settings: TestVerifierOptions['settings'] = {}) {
  const verifier = await testVerifier(t, {
    policies: [policy],
    ekRoots,
    settings: { admission: 'vendor-ek', ...settings },
  })
  const { nodeId } = await node.onboard(verifier.app, keys)
  return { ...verifier, nodeId }
}

test('a good node is affirming, and its result verifies with the published keys alone', async (t) => {
  const { app, nodeId } = await enrolled(t)
  const answer = await node.attest(app, nodeId, keys, {
    audience: 'https://service.test',
    relyingPartyNonce: '12345678',
  })
  assert.equal(answer.status, 'affirming')
  assert.equal(answer.interval, 30)
  assert.equal(answer.reason, undefined)
  const published = jwks.parse(JSON.parse((await app.inject({ url: '/.well-known/jwks.json' })).payload))
  const { payload, protectedHeader } = await jwtVerify(answer.result, createLocalJWKSet(published as never), {
    issuer: 'https://verifier.test',
    audience: 'https://service.test',
    subject: nodeId,
    algorithms: ['ES256'],
  })
  const spki = spkiOf(decode('k', TPM2B_PUBLIC, keys.device.publicArea))
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
  assert.deepEqual(payload['cnf'], { jkt: await calculateJwkThumbprint(key) })
  assert.equal(payload['eat_nonce'], '12345678')
  // From the nonce on, not from the signature: the second between them may have turned.
  assert.ok([899, 900].includes((payload.exp ?? 0) - (payload.iat ?? 0)))
  assert.equal(protectedHeader.kid, decodeProtectedHeader(answer.result).kid)
})

test('every verdict is there for operators, with its checks, its inputs and its result', async (t) => {
  const { app, nodeId, operator } = await enrolled(t)
  const answer = await node.attest(app, nodeId, keys)
  const viewer = await operator('viewer')
  const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${nodeId}`)
  assert.deepEqual(
    items.map((item) => [item.purpose, item.status]),
    [
      ['attestation', 'affirming'],
      ['enrolment', 'affirming'],
    ],
  )
  const detail = await viewer(attestationDetail, 'GET', `/v1/attestations/${items[0]?.id ?? ''}`)
  assert.equal(detail.result, answer.result)
  assert.ok(detail.checks.length > 10)
  assert.equal(detail.inputs['eventLog'], sha256(node.eventLog).toString('hex'))
  await assert.rejects(
    viewer(attestationDetail, 'GET', '/v1/attestations/01900000-0000-7000-8000-000000000000'),
    refusedWith('attestation.not_found'),
  )
})

test('the firmware log travels once, and is asked for again when it is another', async (t) => {
  const { app, nodeId } = await enrolled(t)
  const asked = await node.ask(app, nodeId, keys)
  const evidence = await node.evidenceFor(nodeId, keys, asked)
  assert.equal(evidence.eventLog, undefined)
  assert.equal((await node.submit(app, evidence)).status, 'affirming')
  const second = await node.evidenceFor(nodeId, keys, await node.ask(app, nodeId, keys))
  await assert.rejects(
    node.submit(app, { ...second, eventLogDigest: 'ab'.repeat(32) }),
    refusedWith('attestation.log_unknown'),
  )
  await assert.rejects(
    node.submit(app, { ...second, eventLog: node.eventLog, eventLogDigest: 'ab'.repeat(32) }),
    refusedWith('attestation.log_digest'),
  )
})

test('evidence serves once, also when it comes twice at the same moment', async (t) => {
  const { app, nodeId } = await enrolled(t)
  const evidence = await node.evidenceFor(nodeId, keys, await node.ask(app, nodeId, keys))
  const answers = await Promise.allSettled([node.submit(app, evidence), node.submit(app, evidence)])
  assert.deepEqual(answers.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  await assert.rejects(node.submit(app, evidence), refusedWith('attestation.replayed'))
})

test('evidence for an older challenge is refused after that for a newer one', async (t) => {
  const { app, nodeId } = await enrolled(t)
  const older = await node.evidenceFor(nodeId, keys, await node.ask(app, nodeId, keys))
  await node.attest(app, nodeId, keys)
  await assert.rejects(node.submit(app, older), refusedWith('attestation.replayed'))
})

test('a quote for another challenge is refused', async (t) => {
  const { app, nodeId } = await enrolled(t)
  const evidence = await node.evidenceFor(nodeId, keys, await node.ask(app, nodeId, keys))
  const { nonce } = await node.ask(app, nodeId, keys)
  await assert.rejects(node.submit(app, { ...evidence, nonce }), refusedWith('quote.nonce'))
})

test('nobody on the way can change what the node asked for', async (t) => {
  const { app, nodeId } = await enrolled(t)
  const evidence = await node.evidenceFor(nodeId, keys, await node.ask(app, nodeId, keys), { audience: 'a' })
  await assert.rejects(node.submit(app, { ...evidence, request: { audience: 'b' } }), refusedWith('quote.nonce'))
  await assert.rejects(node.submit(app, { ...evidence, request: {} }), refusedWith('quote.nonce'))
})

test('a challenge is good for a minute', async (t) => {
  const { app, nodeId, advance } = await enrolled(t)
  const evidence = await node.evidenceFor(nodeId, keys, await node.ask(app, nodeId, keys))
  advance(60_000)
  await assert.rejects(node.submit(app, evidence), refusedWith('challenge.expired'))
})

test('somebody unknown is asked the same as a node, always, and learns nothing from the answer', async (t) => {
  const { app, nodeId } = await enrolled(t)
  const stranger = '01900000-0000-7000-8000-000000000000'
  const [known, first, second] = [
    await node.ask(app, nodeId, keys),
    await node.ask(app, stranger, keys),
    await node.ask(app, stranger, keys),
  ]
  assert.equal(first.pcrs, known.pcrs)
  assert.equal(first.nonce.byteLength, known.nonce.byteLength)
  assert.equal(first.knownEventLog, second.knownEventLog)
  assert.notEqual(first.knownEventLog, known.knownEventLog)
  // Nor does the node's own id, asked for with a guessed AK.
  const guessed = await node.ask(app, nodeId, otherKeys)
  assert.notEqual(guessed.knownEventLog, known.knownEventLog)
  const evidence = await node.evidenceFor(stranger, keys, first)
  await assert.rejects(node.submit(app, { ...evidence, eventLog: node.eventLog }), refusedWith('challenge.forged'))
})

test('a quote by another key of the same TPM is refused, restricted or not', async (t) => {
  const { app, nodeId } = await enrolled(t)
  const asked = await node.ask(app, nodeId, keys)
  for (const ak of [otherKeys.ak, keys.device]) {
    const evidence = await node.evidenceFor(nodeId, { ak }, asked)
    await assert.rejects(node.submit(app, evidence), refusedWith('attestation.unauthenticated'))
  }
})

test('a suspended node is refused, and works again when it is activated', async (t) => {
  const { app, nodeId, operator } = await enrolled(t)
  const operate = await operator('operator')
  const evidence = await node.evidenceFor(nodeId, keys, await node.ask(app, nodeId, keys))
  await operate(nodeDetail, 'POST', `/v1/nodes/${nodeId}/suspend`)
  await assert.rejects(node.submit(app, evidence), refusedWith('node.suspended'))
  await assert.rejects(node.begin(app, keys), refusedWith('node.suspended'))
  await assert.rejects(operate(nodeDetail, 'POST', `/v1/nodes/${nodeId}/suspend`), refusedWith('node.state'))
  await operate(nodeDetail, 'POST', `/v1/nodes/${nodeId}/activate`)
  assert.equal((await node.attest(app, nodeId, keys)).status, 'affirming')
})

test('a log that cannot be read behind a genuine quote is a verdict, recorded, and the log is not kept', async (t) => {
  const { app, nodeId, operator, store } = await enrolled(t)
  const eventLog = Buffer.from('this is not a log')
  const evidence = await node.evidenceFor(nodeId, keys, await node.ask(app, nodeId, keys), {}, { eventLog })
  const answer = await node.submit(app, evidence)
  assert.equal(answer.status, 'contraindicated')
  const viewer = await operator('viewer')
  const detail = await viewer(nodeDetail, 'GET', `/v1/nodes/${nodeId}`)
  assert.equal(detail.lastAttestation?.status, 'contraindicated')
  const verdict = await viewer(attestationDetail, 'GET', `/v1/attestations/${detail.lastAttestation.id}`)
  assert.deepEqual([verdict.checks[0]?.check, verdict.checks[0]?.outcome], ['log.readable', 'fail'])
  assert.match(answer.reason ?? '', /^log\.readable/)
  const structure = verdict.checks.find(({ check }) => check === 'log.structure')
  assert.equal(structure?.code, 'check.blocked', 'the log that stood in was judged')
  assert.equal(await store.logs.ofNode(detail.nodeId as never, evidence.eventLogDigest), undefined)
  assert.equal((await node.attest(app, nodeId, keys)).status, 'affirming')
})

test('certificates are renewed for a good node, by a request that its quote covers', async (t) => {
  const { app, nodeId, store, advance } = await enrolled(t)
  const before = await store.certificates.ofNode(nodeId as never, Date.now(), 9)
  advance(50 * DAY)
  const answer = await node.attest(app, nodeId, keys, { renewal: await node.request(keys) })
  assert.equal(answer.status, 'affirming')
  const certificate = new X509Certificate(answer.deviceCertificate ?? '')
  assert.ok(!before.some(({ serial }) => serial === certificate.serialNumber.toLowerCase()))
  assert.equal(answer.chain?.length, 2)
  assert.equal((await store.certificates.ofNode(nodeId as never, Date.now(), 9)).length, 4)
})

test('a node that asks for renewal in every round gets what it holds, until half of its time is over', async (t) => {
  const { app, nodeId, store, advance } = await enrolled(t)
  const renew = async () => {
    const { deviceCertificate, akCertificate } = await node.attest(app, nodeId, keys, {
      renewal: await node.request(keys),
    })
    assert.ok(deviceCertificate !== undefined && akCertificate !== undefined)
    return deviceCertificate
  }
  const first = await renew()
  assert.equal(await renew(), first)
  advance(44 * DAY)
  assert.equal(await renew(), first)
  advance(2 * DAY)
  const second = await renew()
  assert.notEqual(second, first)
  assert.equal(await renew(), second)
  assert.equal((await store.certificates.ofNode(nodeId as never, 0, 99)).length, 4)
})

test('what is short-lived is not renewed in every round either', async (t) => {
  const { app, nodeId, store } = await enrolled(t, { certificateLifetime: 60 })
  for (let round = 0; round < 3; round += 1) await node.attest(app, nodeId, keys, { renewal: await node.request(keys) })
  assert.equal((await store.certificates.ofNode(nodeId as never, 0, 99)).length, 2)
})

test('a renewal by another key is refused at the gate, and the verdict stays', async (t) => {
  const { app, nodeId, operator } = await enrolled(t)
  const renewal = await node.request(otherKeys)
  await assert.rejects(node.attest(app, nodeId, keys, { renewal }), refusedWith('issue.other_key'))
  const viewer = await operator('viewer')
  assert.equal((await viewer(attestationList, 'GET', '/v1/attestations')).items[0]?.purpose, 'attestation')
})

test('a policy that is applied is in force for the next evidence', async (t) => {
  const { app, nodeId, operator } = await enrolled(t)
  assert.equal((await node.attest(app, nodeId, keys)).status, 'affirming')
  const operate = await operator('operator')
  const stricter = `${policy}  requiredFacts: [eve.rootfs]
`
  const { items } = await operate(applyResult, 'PUT', '/v1/resources', { documents: [stricter] })
  assert.deepEqual(
    items.map(({ name, revision, change }) => [name, revision, change]),
    [['honest', 1, 'updated']],
  )
  const answer = await node.attest(app, nodeId, keys)
  assert.equal(answer.status, 'contraindicated')
  assert.ok(answer.reason)
})

// Last, because the box is restarted: keys of a TPM are loaded anew after a reset.
test('three tampered boots are caught, each by what was changed, and an honest one is affirming again', async (t) => {
  const tampered = await testBox(t, vendor, { ...claim, serial: 'E1-0002' })
  const { app, operator } = await testVerifier(t, { policies: [policy], ekRoots, settings: { admission: 'vendor-ek' } })
  const viewer = await operator('viewer')
  const first = await testNode(tampered.powered, { ...claim, serial: 'E1-0002' })
  const stored = await first.makeStoredKeys()
  const { nodeId } = await first.onboard(app, await first.loadKeys(stored))
  await first.close()

  const attestAfter = async (boot: 'honest' | 'cmdline' | 'secureboot-off', eventLog?: Buffer) => {
    const powered = await tampered.reboot(boot, eventLog === undefined ? undefined : { eventLog })
    const again = await testNode(powered, { ...claim, serial: 'E1-0002' })
    const answer = await again.attest(app, nodeId, await again.loadKeys(stored))
    await again.close()
    const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${nodeId}&limit=1`)
    return { status: answer.status, failure: items[0]?.firstFailure }
  }

  const commandLine = await attestAfter('cmdline')
  assert.equal(commandLine.status, 'contraindicated')
  assert.ok(commandLine.failure?.event)
  assert.equal(commandLine.failure.event.pcr, 8)

  const secureBoot = await attestAfter('secureboot-off')
  assert.equal(secureBoot.status, 'contraindicated')
  assert.match(secureBoot.failure?.claim ?? '', /^secureBoot\./)

  const hidden = attackHideCommandLine((await readBoot('cmdline')).eventLog, (await readBoot('honest')).eventLog)
  const log = await attestAfter('cmdline', Buffer.from(hidden))
  assert.equal(log.status, 'contraindicated')
  assert.equal(log.failure?.check, 'quote.digest')

  assert.deepEqual(await attestAfter('honest'), { status: 'affirming', failure: undefined })
})

test('a body that is not evidence is refused with every fault', async (t) => {
  const { app } = await enrolled(t)
  await assert.rejects(send(app, '/v1/attestation/evidence', { nodeId: 'x' }, jwks), refusedWith('http.invalid'))
})

test('an empty log is a verdict too: it must not leave the last good one standing', async (t) => {
  const { app, nodeId, operator } = await enrolled(t)
  const asked = await node.ask(app, nodeId, keys)
  const evidence = await node.evidenceFor(nodeId, keys, asked, {}, { eventLog: Buffer.alloc(0) })
  assert.equal((await node.submit(app, evidence)).status, 'contraindicated')
  const viewer = await operator('viewer')
  const detail = await viewer(nodeDetail, 'GET', `/v1/nodes/${nodeId}`)
  assert.equal(detail.lastAttestation?.firstFailure?.check, 'log.readable')
  assert.equal(detail.lastAttestation.stale, false)
})
