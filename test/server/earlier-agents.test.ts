import assert from 'node:assert/strict'
import test from 'node:test'
import { z } from 'zod'
import { quote } from '../../src/device/index.ts'
import { parsePcrSelection } from '../../src/tpm/index.ts'
import {
  attestationResult,
  bytesSchema,
  challenge,
  evidenceQualifyingData,
  hexSchema,
  onboardingResult,
} from '../../src/wire/index.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { testNode } from './test-node.ts'
import { send, testVerifier } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0006' }

/** As agents of version 0.1.0 read them: with nothing that they do not know. */
const answers010 = {
  challenge: z.strictObject({ nonce: bytesSchema(128), pcrs: z.string(), knownEventLog: hexSchema() }),
  result: z.strictObject({
    status: z.string(),
    result: z.string(),
    interval: z.number(),
    reason: z.string().optional(),
  }),
}

test('an agent of version 0.1.0 attests as before: verifiers are updated first', async (t) => {
  const { vendor, ekRoots } = await testVendor(t)
  const box = await testBox(t, vendor, claim)
  const node = await testNode(box.powered, claim)
  t.after(node.close)
  const keys = await node.makeKeys()
  const verifier = await testVerifier(t, {
    policies: [await honestPolicy()],
    ekRoots,
    settings: { admission: 'vendor-ek' },
  })
  const { nodeId } = await node.onboard(verifier.app, keys)
  const asked = await send(
    verifier.app,
    '/v1/attestation/challenge',
    { nodeId, akName: keys.akName },
    answers010.challenge,
  )
  const quoted = await quote(
    node.tools,
    keys.ak,
    parsePcrSelection(asked.pcrs),
    evidenceQualifyingData(asked.nonce, {}),
  )
  const { eventLogDigest } = await node.evidenceFor(nodeId, keys, { ...asked, knownIma: undefined })
  const body = {
    nodeId,
    nonce: asked.nonce,
    quote: quoted.attest,
    signature: quoted.signature,
    eventLog: node.eventLog,
    eventLogDigest,
    imaLog: node.imaLog,
    request: {},
  }
  const result = await send(verifier.app, '/v1/attestation/evidence', body, answers010.result)
  assert.equal(result.status, 'affirming')
})

test('what a later verifier adds to an answer does not keep an agent from reading it', () => {
  const more = { addedLater: 1 }
  const nonce = Buffer.alloc(57)
  assert.ok(challenge.safeParse({ nonce, pcrs: 'sha256:0', knownEventLog: '00'.repeat(32), ...more }).success)
  assert.ok(attestationResult.safeParse({ status: 'none', result: 'x', interval: 1, ...more }).success)
  const certificates = { deviceCertificate: 'x', akCertificate: 'x', chain: [] }
  assert.ok(onboardingResult.safeParse({ nodeId: 'x', ...certificates, interval: 1, ...more }).success)
})
