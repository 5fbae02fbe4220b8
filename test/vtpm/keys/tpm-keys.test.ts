import assert from 'node:assert/strict'
import { createHash, createHmac, randomBytes, verify } from 'node:crypto'
import test, { type TestContext } from 'node:test'
import { encode } from '../../../src/codec/index.ts'
import type { Transport } from '../../../src/device/index.ts'
import {
  COMMANDS,
  decodeResponse,
  encodeCommand,
  objectAttributes,
  publicKeyOf,
  TPM2B_PRIVATE,
  TPM2B_PUBLIC,
} from '../../../src/tpm/index.ts'
import { openTpmClient, type Roots, type SealedBlob, type TpmClient } from '../../../src/vtpm/hardware/index.ts'
import type { KeyHardware, WrappedKey } from '../../../src/vtpm/keys/key-hardware.ts'
import { openTpmKeys } from '../../../src/vtpm/keys/tpm-keys.ts'
import { makeBox, makeFleet, releaseFor, type Box } from '../hardware/fleet.ts'
import { hasCode } from './has-code.ts'

interface Bare {
  readonly box: Box
  readonly transport: Transport
  readonly roots: Roots
  readonly client: TpmClient
  readonly hardware: KeyHardware
  readonly parent: SealedBlob
}

const noAttestation = () => Promise.reject(new Error('no AK here'))

/** Without the lane: three objects fit, and nothing hides that the TPM was reset. */
async function bareTpm(t: TestContext): Promise<Bare> {
  const box = await makeBox(t)
  const fleet = makeFleet()
  await box.boot('os')
  let transport: Transport | undefined
  const roots = await box.start(fleet, (opened) => (transport = opened))
  await roots.addRelease(await releaseFor(fleet, roots, 1, 'os'))
  await roots.unlock()
  assert.ok(transport)
  const client = openTpmClient(transport)
  const hardware = openTpmKeys({ tenant: 'shop', client, roots, attestation: noAttestation })
  const parent = await hardware.prepare(undefined)
  assert.ok(parent)
  return { box, transport, roots, client, hardware, parent }
}

function signed(key: WrappedKey, message: Buffer, signature: Buffer): boolean {
  return verify('sha256', message, { key: publicKeyOf(key.publicArea), dsaEncoding: 'ieee-p1363' }, signature)
}

const sha256 = (message: Buffer) => createHash('sha256').update(message).digest()

async function handlesOf(transport: Transport): Promise<readonly number[]> {
  const command = encodeCommand(
    COMMANDS.GetCapability,
    {},
    { capability: 'handles', property: 0x8000_0000, propertyCount: 32 },
  )
  const answer = decodeResponse(COMMANDS.GetCapability, await transport.send(command))
  return answer.ok && answer.response.capabilityData.capability === 'handles'
    ? answer.response.capabilityData.handles
    : []
}

const flushAll = async (transport: Transport) => {
  for (const flushHandle of await handlesOf(transport)) {
    await transport.send(encodeCommand(COMMANDS.FlushContext, {}, { flushHandle }))
  }
}

test('more keys than the TPM has room for take turns in it', async (t) => {
  const { hardware } = await bareTpm(t)
  const message = Buffer.from('turns')
  const digest = sha256(message)
  const keys: WrappedKey[] = []
  for (let version = 1; version <= 5; version += 1) {
    keys.push(await hardware.create({ name: 'k', version }, 'ecdsa-p256', ['sign']))
  }
  for (let round = 0; round < 2; round += 1) {
    for (const [index, key] of keys.entries()) {
      const signature = await hardware.sign({ name: 'k', version: index + 1 }, key, digest)
      assert.ok(signed(key, message, signature))
    }
  }
})

test('the HMAC of the TPM is that of node:crypto, in one command and in a sequence', async (t) => {
  const { roots, client, hardware, parent } = await bareTpm(t)
  const data = randomBytes(32)
  const keyAuth = roots.derive('touchstone app key v1', 32, Buffer.from('shop\0mac\x001', 'ascii'))
  const key = await client.scope(async (scope): Promise<WrappedKey> => {
    const above = await roots.loadChild(scope, parent)
    const session = await scope.startSession('hmac', roots.storageRoot)
    const parentAuth = roots.derive('touchstone app key parent v1', 32, Buffer.from('shop'))
    const { outPublic, outPrivate } = await scope.run(
      COMMANDS.Create,
      { parentHandle: above },
      {
        inSensitive: { userAuth: keyAuth, data },
        inPublic: {
          type: 'keyedhash',
          nameAlg: 'sha256',
          objectAttributes: objectAttributes('fixedTPM', 'fixedParent', 'userWithAuth', 'noDA', 'sign'),
          authPolicy: Buffer.alloc(0),
          parameters: { scheme: { scheme: 'hmac', hashAlg: 'sha256' } },
          unique: Buffer.alloc(0),
        },
        outsideInfo: Buffer.alloc(0),
        creationPCR: [],
      },
      [session.use({ authValue: parentAuth, decrypt: true })],
    )
    const blob = { public: encode(TPM2B_PUBLIC, outPublic), private: encode(TPM2B_PRIVATE, outPrivate) }
    return { blob, publicArea: outPublic }
  })
  for (const size of [0, 5, 1024, 1025, 2048, 2049, 10_000]) {
    const message = randomBytes(size)
    const expected = createHmac('sha256', data).update(message).digest()
    assert.deepEqual(await hardware.hmac({ name: 'mac', version: 1 }, key, message), expected, `${size} bytes`)
  }
})

test('keys and the session that the TPM has forgotten come back by themselves', async (t) => {
  const { hardware, transport } = await bareTpm(t)
  const label = { name: 'k', version: 1 }
  const message = Buffer.from('again')
  const digest = sha256(message)
  const key = await hardware.create(label, 'ecdsa-p256', ['sign'])
  await hardware.sign(label, key, digest)
  await flushAll(transport)
  assert.ok(signed(key, message, await hardware.sign(label, key, digest)))
  // TPM_HT_HMAC_SESSION, the first: whoever holds it loses it.
  await transport.send(encodeCommand(COMMANDS.FlushContext, {}, { flushHandle: 0x0200_0000 }))
  assert.ok(signed(key, message, await hardware.sign(label, key, digest)))
})

test('a handle that has become the handle of another key never signs', async (t) => {
  const { hardware, transport, roots } = await bareTpm(t)
  const message = Buffer.from('mine')
  const digest = sha256(message)
  const [mine, other] = [
    { name: 'mine', version: 1 },
    { name: 'other', version: 1 },
  ]
  const key = await hardware.create(mine, 'ecdsa-p256', ['sign'])
  await hardware.sign(mine, key, digest)
  const before = await handlesOf(transport)
  await flushAll(transport)
  // Somebody else's keys take the very handles.
  const rival = openTpmKeys({ tenant: 'rival', client: openTpmClient(transport), roots, attestation: noAttestation })
  await rival.prepare(undefined)
  const foreign = await rival.create(other, 'ecdsa-p256', ['sign'])
  await rival.sign(other, foreign, digest)
  assert.deepEqual(await handlesOf(transport), before)
  const signature = await hardware.sign(mine, key, digest)
  assert.ok(signed(key, message, signature))
  assert.ok(!signed(foreign, message, signature))
})

test('a key is nothing under the name of another, and nothing to another tenant', async (t) => {
  const { hardware, transport, roots, parent } = await bareTpm(t)
  const digest = sha256(Buffer.from('x'))
  const key = await hardware.create({ name: 'k', version: 1 }, 'ecdsa-p256', ['sign'])
  // The session's HMAC is made with another value, so the TPM refuses it.
  await assert.rejects(hardware.sign({ name: 'k', version: 2 }, key, digest), hasCode('device.tpm'))
  await hardware.close()
  const rival = openTpmKeys({ tenant: 'rival', client: openTpmClient(transport), roots, attestation: noAttestation })
  await rival.prepare(undefined)
  await assert.rejects(rival.sign({ name: 'k', version: 1 }, key, digest), hasCode('key.elsewhere'))
  await rival.close()
  // With the other tenant's parent too: its authorisation value is not this tenant's.
  const thief = openTpmKeys({ tenant: 'rival', client: openTpmClient(transport), roots, attestation: noAttestation })
  await thief.prepare(parent)
  await assert.rejects(thief.sign({ name: 'k', version: 1 }, key, digest), hasCode('device.tpm'))
})

test('another TPM does not know the parent, and so none of its keys', async (t) => {
  const { box, parent, hardware } = await bareTpm(t)
  await hardware.close()
  await box.stop()
  const other = await bareTpm(t)
  const stolen = openTpmKeys({
    tenant: 'shop',
    client: openTpmClient(other.transport),
    roots: other.roots,
    attestation: noAttestation,
  })
  await assert.rejects(stolen.prepare(parent), hasCode('vtpm.sealed_elsewhere'))
})

test('nothing stays in the TPM when the keys are closed', async (t) => {
  const { hardware, transport } = await bareTpm(t)
  const label = { name: 'k', version: 1 }
  const key = await hardware.create(label, 'ecdsa-p256', ['sign'])
  await hardware.sign(label, key, sha256(Buffer.from('x')))
  assert.notDeepEqual(await handlesOf(transport), [])
  await hardware.close()
  assert.deepEqual(await handlesOf(transport), [])
})
