import assert from 'node:assert/strict'
import { createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { COMMANDS } from '../../../src/tpm/index.ts'
import { makeBox, makeFleet, releaseFor } from './fleet.ts'

test('agrees with a peer on what the peer computes, before and after a restart', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  const peer = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const peerSpki = peer.publicKey.export({ type: 'spki', format: 'der' })
  for (const start of ['first', 'second']) {
    const roots = await box.start(fleet)
    if (start === 'first') await roots.addRelease(await releaseFor(fleet, roots, 1, 'system'))
    await roots.unlock()
    const publicKey = createPublicKey({ key: roots.transportKey.spki, format: 'der', type: 'spki' })
    const expected = diffieHellman({ privateKey: peer.privateKey, publicKey })
    assert.deepEqual(await roots.transportKey.agree(peerSpki), expected, start)
  }
})

test('refuses a peer that is no P-256 key', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  const roots = await box.start(fleet)
  await roots.addRelease(await releaseFor(fleet, roots, 1, 'system'))
  await roots.unlock()
  const other = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ type: 'spki', format: 'der' })
  for (const spki of [Buffer.alloc(0), Buffer.from('no key'), other]) {
    await assert.rejects(roots.transportKey.agree(spki), { code: 'vtpm.transport_peer' })
  }
})

test('whoever reaches the TPM without the node secret agrees on nothing', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  const roots = await box.start(fleet)
  await roots.addRelease(await releaseFor(fleet, roots, 1, 'system'))
  await roots.unlock()
  await roots.transportKey.loaded(async (scope, key, authorisation) => {
    const { publicArea } = key
    const inPoint = publicArea.type === 'ecc' ? publicArea.unique : assert.fail()
    await assert.rejects(scope.run(COMMANDS.ECDH_ZGen, { keyHandle: key }, { inPoint }), { code: 'device.tpm' })
    const { outPoint } = await scope.run(COMMANDS.ECDH_ZGen, { keyHandle: key }, { inPoint }, [authorisation])
    assert.equal(outPoint.x.byteLength, 32)
  })
})
