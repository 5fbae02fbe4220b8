import assert from 'node:assert/strict'
import test from 'node:test'
import type { TestContext } from 'node:test'
import { isTouchstoneError, TouchstoneError } from '../../../src/core/index.ts'
import { openTransport } from '../../../src/device/index.ts'
import type { Transport } from '../../../src/device/index.ts'
import { COMMANDS, storageRootTemplate, TPM_RH } from '../../../src/tpm/index.ts'
import { openTpmClient } from '../../../src/vtpm/hardware/index.ts'
import type { Roots, TpmClient } from '../../../src/vtpm/hardware/index.ts'
import { freshTpm } from '../../fixtures/swtpm.ts'
import { makeBox, makeFleet, releaseFor } from './fleet.ts'

const EMPTY = Buffer.alloc(0)

/** Somebody on the bus: sees every command, and may answer instead of the TPM. */
interface Tap {
  readonly seen: Buffer[]
  /** Set by a test: what the TPM answered goes in, what the broker gets comes out. */
  change: (code: number, response: Buffer) => Buffer
  readonly wrap: (transport: Transport) => Transport
}

function tapBus(): Tap {
  const tap: Tap = {
    seen: [],
    change: (_, response) => response,
    wrap: (transport) => ({
      async send(command) {
        const sent = Buffer.from(command)
        const response = await transport.send(sent)
        tap.seen.push(sent, Buffer.from(response))
        return tap.change(sent.readUInt32BE(6), Buffer.from(response))
      },
      close: () => transport.close(),
    }),
  }
  return tap
}

async function tappedRoots(t: TestContext): Promise<{ readonly roots: Roots; readonly tap: Tap }> {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  const tap = tapBus()
  const roots = await box.start(fleet, tap.wrap)
  await roots.addRelease(await releaseFor(fleet, roots, 1, 'system'))
  await roots.unlock()
  return { roots, tap }
}

/** Handles of transient objects, and of sessions loaded and saved. */
async function leftBehind(client: TpmClient): Promise<readonly number[]> {
  const handles: number[] = []
  for (const first of [0x80000000, 0x02000000, 0x03000000]) {
    const parameters = { capability: 'handles', property: first, propertyCount: 64 } as const
    const { capabilityData } = await client.run(COMMANDS.GetCapability, {}, parameters)
    if (capabilityData.capability === 'handles') handles.push(...capabilityData.handles)
  }
  return handles
}

function flipped(response: Buffer, at: number): Buffer {
  response.writeUInt8(response.readUInt8(at) ^ 1, at)
  return response
}

test('no secret crosses the bus in the clear', async (t) => {
  const { roots, tap } = await tappedRoots(t)
  const secret = Buffer.from('a secret that must not be seen by anybody')
  const authValue = roots.derive('a tenant')
  const blob = await roots.seal(secret)
  await roots.unseal(blob)
  await roots.createChild(storageRootTemplate(), authValue)
  const agreed = await roots.transportKey.agree(makeFleet().publicKey)
  const bus = Buffer.concat(tap.seen)
  for (const hidden of [secret, authValue, agreed]) assert.equal(bus.indexOf(hidden), -1)
  assert.ok(bus.includes(roots.storageRoot.handle.toString(16), 0, 'hex'), 'the tap sees what passes')
})

test('a counter value that was changed on the way is never believed', async (t) => {
  const { roots, tap } = await tappedRoots(t)
  const value = await roots.ledgerCounter.increment()
  const size = (tap.seen.at(-1) ?? assert.fail()).byteLength
  const codes = new Set<string>()
  for (let at = 0; at < size; at++) {
    tap.change = (code, response) => (code === COMMANDS.NV_Read.code ? flipped(response, at) : response)
    await assert.rejects(roots.ledgerCounter.read(), (error) => {
      assert.ok(isTouchstoneError(error), `byte ${at}`)
      codes.add(error.code)
      return true
    })
  }
  assert.ok(codes.has('tpm.response_unauthentic'))
  tap.change = (_, response) => response
  assert.equal(await roots.ledgerCounter.read(), value)
  assert.deepEqual(await leftBehind(roots.client), [])
})

test('a whole answer of before, shown again, is not believed either', async (t) => {
  const { roots, tap } = await tappedRoots(t)
  let old: Buffer | undefined
  tap.change = (code, response) => {
    if (code === COMMANDS.NV_Read.code) old ??= response
    return response
  }
  await roots.ledgerCounter.increment()
  const before = old ?? assert.fail()
  tap.change = (code, response) => (code === COMMANDS.NV_Read.code ? before : response)
  await assert.rejects(roots.ledgerCounter.increment(), { code: 'tpm.response_unauthentic' })
})

test('a secret that was changed or exchanged on the way is never handed out', async (t) => {
  const { roots, tap } = await tappedRoots(t)
  const blob = await roots.seal(Buffer.from('key of a guest'))
  for (const at of [14, 16, 30, 60, 80]) {
    tap.change = (code, response) => (code === COMMANDS.Unseal.code ? flipped(response, at) : response)
    await assert.rejects(roots.unseal(blob), (error) => isTouchstoneError(error), `byte ${at}`)
  }
  tap.change = (_, response) => response
  assert.deepEqual(await leftBehind(roots.client), [])
})

test('an object that is loaded in place of another is found out', async (t) => {
  const { roots, tap } = await tappedRoots(t)
  const blob = await roots.seal(Buffer.from('key of a guest'))
  // The Name stands before the answer to the password, which has five bytes.
  const inName = (response: Buffer) => response.byteLength - 6
  tap.change = (code, response) => (code === COMMANDS.Load.code ? flipped(response, inName(response)) : response)
  await assert.rejects(roots.unseal(blob), { code: 'tpm.response_unauthentic' })
  tap.change = (_, response) => response
  assert.deepEqual(await leftBehind(roots.client), [])
})

test('a scope leaves nothing in the TPM, whatever way it ends', async (t) => {
  const tpm = await freshTpm()
  const client = openTpmClient(await openTransport(tpm.tcti))
  t.after(async () => {
    await client.close()
    await tpm.close()
  })
  const parameters = {
    inSensitive: { userAuth: EMPTY, data: EMPTY },
    inPublic: storageRootTemplate(),
    outsideInfo: EMPTY,
    creationPCR: [],
  }
  const failing = client.scope(async (scope) => {
    const { objectHandle } = await scope.run(COMMANDS.CreatePrimary, { primaryHandle: TPM_RH.owner }, parameters)
    scope.flushLater(objectHandle)
    await scope.startSession('policy')
    await scope.startSession('hmac')
    assert.equal((await leftBehind(client)).length, 3)
    throw new TouchstoneError('vtpm.locked')
  })
  await assert.rejects(failing, { code: 'vtpm.locked' })
  assert.deepEqual(await leftBehind(client), [])
})

test('scopes run one after the other, since a TPM without a resource manager holds three objects', async (t) => {
  const { roots } = await tappedRoots(t)
  const secrets = ['a', 'b', 'c', 'd', 'e', 'f'].map((text) => Buffer.from(text))
  const blobs = await Promise.all(secrets.map((secret) => roots.seal(secret)))
  assert.deepEqual(await Promise.all(blobs.map((blob) => roots.unseal(blob))), secrets)
})

const REFUSALS = { retry: 0x922, yielded: 0x908, testing: 0x90a, nvRate: 0x920 } as const

for (const [name, rc] of Object.entries(REFUSALS)) {
  test(`repeats a command that the TPM could not start yet (${name})`, async () => {
    const { client, waits, sent } = fakeClient([rc, rc, 0])
    await client.run(COMMANDS.FlushContext, {}, { flushHandle: 0x80000000 })
    assert.deepEqual(waits, [20, 50])
    assert.equal(new Set(sent.map((command) => command.toString('hex'))).size, 1)
  })
}

test('gives up after some seconds, with what the TPM said last', async () => {
  const { client, waits } = fakeClient(Array.from({ length: 20 }, () => REFUSALS.retry))
  await assert.rejects(client.run(COMMANDS.FlushContext, {}, { flushHandle: 0x80000000 }), { code: 'device.tpm' })
  assert.equal(waits.length, 8)
})

for (const [name, rc] of [
  ['lockout', 0x921],
  ['a TPM that is not started', 0x100],
  ['a wrong authorisation', 0x98e],
  ['no room for another object', 0x902],
] as const) {
  test(`does not repeat a command after ${name}`, async () => {
    const { client, sent } = fakeClient([rc, 0])
    await assert.rejects(client.run(COMMANDS.FlushContext, {}, { flushHandle: 0x80000000 }), {
      code: 'device.tpm',
      message: /^FlushContext: /,
    })
    assert.equal(sent.length, 1)
  })
}

/** swtpm is always ready, so these codes need a TPM that answers what it is told to. */
function fakeClient(codes: readonly number[]) {
  const sent: Buffer[] = []
  const waits: number[] = []
  const transport: Transport = {
    send(command) {
      const rc = codes[sent.length] ?? assert.fail('asked more often than foreseen')
      sent.push(Buffer.from(command))
      const response = Buffer.from('80010000000a00000000', 'hex')
      response.writeUInt32BE(rc, 6)
      return Promise.resolve(response)
    },
    close: () => Promise.resolve(),
  }
  const client = openTpmClient(transport, {
    wait: (ms) => {
      waits.push(ms)
      return Promise.resolve()
    },
  })
  return { client, waits, sent }
}
