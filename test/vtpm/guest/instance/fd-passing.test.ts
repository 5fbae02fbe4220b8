import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { openFdPassing } from '../../../../src/vtpm/guest/instance/fd-passing.ts'
import { assertFdPassing, receiveDataChannel } from '../../../../src/vtpm/guest/instance/handshake.ts'
import { controlClient, fdPassing, pair } from './control-client.ts'

const PRLIMIT = { prlimit: '/usr/bin/prlimit' }
const SET_DATAFD = Buffer.from('00000010', 'hex')

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'ts-fd-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** A socket that a guest's side connects to, and the connection as the broker gets it: not read from. */
async function guestSide(t: TestContext, path: string) {
  const server = createServer({ pauseOnConnect: true })
  server.listen(path)
  await once(server, 'listening')
  t.after(() => server.close())
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const client = await controlClient(path)
  const [connection] = await accepted
  t.after(() => connection.destroy())
  return { client, connection }
}

void test('this Node has the internal interface', () => {
  assertFdPassing()
})

void test('a data channel goes through the relay to swtpm, and works', async (t) => {
  const dir = await directory(t)
  const { client, connection } = await guestSide(t, join(dir, 'guest'))
  const swtpm = createServer({ pauseOnConnect: true })
  swtpm.listen(join(dir, 'ctrl'))
  t.after(() => swtpm.close())
  // The far end receives, as swtpm does, over the connection that the relay makes.
  const far = (once(swtpm, 'connection') as Promise<[Socket]>).then(async ([arrived]) => {
    const seen = await receiveDataChannel(arrived, join(dir, 'further'), PRLIMIT)
    arrived.end(Buffer.alloc(4))
    return seen
  })
  const further = createServer((socket) => socket.on('data', () => socket.end(Buffer.from([0, 0, 0, 7]))))
  further.listen(join(dir, 'further'))
  t.after(() => further.close())
  const { socket, peer } = await pair(join(dir, 'pair'))
  t.after(() => [socket, peer].map((end) => end.destroy()))
  void client.send(SET_DATAFD.toString('hex'), { passing: peer })
  assert.deepEqual(await receiveDataChannel(connection, join(dir, 'ctrl'), PRLIMIT), { kind: 'passed', result: 0 })
  assert.deepEqual(await far, { kind: 'passed', result: 7 }, 'a descriptor arrived there, too')
  client.close()
})

void test('what is no data channel is repeated, so that it can be refused by name', async (t) => {
  const dir = await directory(t)
  for (const hex of ['00000001', '00000010', '0000000200000000']) {
    const { client, connection } = await guestSide(t, join(dir, hex))
    void client.send(hex)
    const expected = { kind: 'other', bytes: Buffer.from(hex, 'hex') } as const
    assert.deepEqual(await receiveDataChannel(connection, join(dir, 'ctrl'), PRLIMIT), expected)
    client.close()
  }
})

void test('a connection that is closed, and a swtpm that is gone, come to nothing', async (t) => {
  const dir = await directory(t)
  const closed = await guestSide(t, join(dir, 'closed'))
  closed.client.close()
  assert.deepEqual(await receiveDataChannel(closed.connection, join(dir, 'ctrl'), PRLIMIT), { kind: 'nothing' })
  const gone = await guestSide(t, join(dir, 'gone'))
  const { socket, peer } = await pair(join(dir, 'pair'))
  t.after(() => [socket, peer].map((end) => end.destroy()))
  void gone.client.send(SET_DATAFD.toString('hex'), { passing: peer })
  assert.deepEqual(await receiveDataChannel(gone.connection, join(dir, 'ctrl'), PRLIMIT), { kind: 'nothing' })
  gone.client.close()
})

void test('a Node without the internal interface, or with another shape of it, is seen', () => {
  assert.throws(() => openFdPassing(undefined), /is not there/)
  assert.throws(
    () =>
      openFdPassing(() => {
        throw new Error('No such module')
      }),
    /No such module/,
  )
  assert.throws(() => openFdPassing(() => ({})), /is not there/)
  const Pipe = function () {
    // Has none of the methods.
  }
  const shaped = {
    ...{ Pipe, PipeConnectWrap: Pipe, WriteWrap: Pipe, constants: { IPC: 2 } },
    ...{ streamBaseState: {}, kReadBytesOrError: 0, kArrayBufferOffset: 1 },
  }
  assert.throws(() => openFdPassing(() => shaped).inherited(0), /lacks a method/)
  assert.equal(typeof fdPassing().connect, 'function')
})
