import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import fc from 'fast-check'
import { decode, encode } from '../../../../../src/codec/index.ts'
import { framesOn } from '../../../../../src/vtpm/guest/instance/keeper/frames.ts'
import {
  FROM_KEEPER,
  LARGEST_FRAME,
  TO_KEEPER,
  type FromKeeper,
  type ToKeeper,
} from '../../../../../src/vtpm/guest/instance/keeper/protocol.ts'
import { isTouchstoneError } from '../../../../../src/core/index.ts'

async function connection(t: TestContext): Promise<readonly [Socket, Socket]> {
  const dir = await mkdtemp(join(tmpdir(), 'ts-fr-'))
  const server = createServer()
  server.listen(join(dir, 's'))
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const far = createConnection({ path: join(dir, 's') })
  const [near] = await accepted
  far.on('error', () => undefined)
  t.after(async () => {
    server.close()
    for (const socket of [near, far]) socket.destroy()
    await rm(dir, { recursive: true, force: true })
  })
  return [near, far]
}

test('frames come whole and in their order, wherever the stream is cut', async (t) => {
  const [near, far] = await connection(t)
  const bodies = ['', '01', 'ab'.repeat(300), 'cd'.repeat(LARGEST_FRAME)].map((hex) => Buffer.from(hex, 'hex'))
  const stream = Buffer.concat(
    bodies.flatMap((body) => {
      const size = Buffer.alloc(4)
      size.writeUInt32BE(body.byteLength)
      return [size, body]
    }),
  )
  const got: Buffer[] = []
  const all = new Promise<void>((resolve) => {
    framesOn(
      near,
      (body) => {
        got.push(Buffer.from(body))
        if (got.length === bodies.length) resolve()
      },
      () => undefined,
    )
  })
  for (let at = 0, step = 1; at < stream.byteLength; at += step, step = (step * 7) % 97) {
    far.write(stream.subarray(at, at + step))
    await new Promise(setImmediate)
  }
  await all
  assert.deepEqual(got, bodies)
})

for (const [name, bytes, onFrame] of [
  ['a frame that is too large', Buffer.from('00004001', 'hex'), () => undefined],
  [
    'a body that is none',
    Buffer.from('0000000101', 'hex'),
    () => {
      throw new Error('no message')
    },
  ],
] as const) {
  test(`${name} ends the connection, and is told once`, async (t) => {
    const [near, far] = await connection(t)
    let closed = 0
    const over = new Promise<void>((resolve) => {
      framesOn(near, onFrame, () => {
        closed++
        resolve()
      })
    })
    far.resume().write(bytes)
    await Promise.all([over, once(far, 'close')])
    assert.equal(closed, 1)
  })
}

test('a peer that does not read ends the connection before it costs memory', async (t) => {
  const [near] = await connection(t)
  const over = new Promise<void>((resolve) => {
    const frames = framesOn(near, () => undefined, resolve)
    for (let sent = 0; sent < 400; sent++) frames.send(Buffer.alloc(LARGEST_FRAME))
  })
  await over
  assert.ok(near.destroyed)
})

const EXPOSURE: ToKeeper = {
  type: 'expose',
  id: 7,
  exposure: {
    guest: '0b0c0d0e-0000-4000-8000-000000000001',
    attachment: 'qemu',
    path: '/run/touchstone/g/000000000001/tpm.ctrl',
    owner: { uid: 107, gid: 107 },
    stateDir: '/var/lib/touchstone-broker/guests/…/state',
    socketDir: '/run/touchstone/i/000000000001-abc',
    uid: undefined,
    swtpm: { pid: 4711, startTime: '123', bootId: 'abc' },
    power: 'off',
  },
}
const TOLD: readonly FromKeeper[] = [
  { type: 'ready' },
  { type: 'exposed', id: 1, attached: true },
  { type: 'retracted', id: 2, shutDown: false },
  { type: 'failed', id: 3, why: 'attached', message: 'a virtual machine' },
  { type: 'refused', sequence: 9, guest: 'g', command: 'INIT', reason: 'control.missed' },
  { type: 'reset', guest: 'g', count: 3 },
]

test('every message is what it was after it was sent', () => {
  assert.deepEqual(decode('it', TO_KEEPER, encode(TO_KEEPER, EXPOSURE)), EXPOSURE)
  for (const told of TOLD) assert.deepEqual(decode('it', FROM_KEEPER, encode(FROM_KEEPER, told)), told)
})

test('bytes at random are a message or a coded error, and nothing of theirs is taken before its bounds are looked at', () => {
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.constant(encode(TO_KEEPER, EXPOSURE)))
  const cut = fc.record({ bytes, keep: fc.nat(400), flip: fc.nat(400) })
  fc.assert(
    fc.property(cut, ({ bytes: whole, keep, flip }) => {
      const part = Buffer.from(whole.subarray(0, keep))
      if (flip < part.byteLength) part.writeUInt8(part.readUInt8(flip) ^ 0xff, flip)
      try {
        decode('it', TO_KEEPER, part)
      } catch (error) {
        assert.ok(isTouchstoneError(error) && error.code.startsWith('decode.'), String(error))
      }
    }),
  )
})
