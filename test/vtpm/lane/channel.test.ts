import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { openTransport, startSwtpm, type Swtpm } from '../../../src/device/index.ts'
import { openChannel, type ChannelChange, type ChannelOptions } from '../../../src/vtpm/lane/channel.ts'
import type { HardwareChannel } from '../../../src/vtpm/lane/types.ts'
import { response } from '../../device/fake-tpm.ts'

/** TPM2_GetRandom(8), TPM2_Startup(CLEAR), and TPM2_CreatePrimary's header: enough for a fake. */
const GET_RANDOM = Buffer.from('80010000000c0000017b0008', 'hex')
const STARTUP = Buffer.from('80010000000c000001440000', 'hex')
const CREATE_PRIMARY = Buffer.from('80020000000a00000131', 'hex')
const READ_CLOCK = 0x181

async function directoryOf(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ts-ch-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function openFor(t: TestContext, tcti: string, options: ChannelOptions = {}) {
  const changes: ChannelChange[] = []
  const waiting: { readonly state: string; readonly resolve: () => void }[] = []
  const channel = await openChannel(tcti, {
    ...options,
    onChange(change) {
      changes.push(change)
      for (const { state, resolve } of waiting) if (state === change.state) resolve()
    },
  })
  t.after(() => channel.close())
  return {
    channel,
    changes,
    next: (state: ChannelChange['state']) => new Promise<void>((resolve) => waiting.push({ state, resolve })),
  }
}

async function realTpm(t: TestContext): Promise<{ readonly tcti: string; swtpm: Swtpm; again(): Promise<void> }> {
  const stateDir = join(await directoryOf(t), 's')
  const tpm = {
    swtpm: await startSwtpm({ stateDir, startup: 'clear' }),
    tcti: `swtpm:path=${join(stateDir, 'sock')}`,
    async again() {
      tpm.swtpm = await startSwtpm({ stateDir, startup: 'clear' })
    },
  }
  t.after(() => tpm.swtpm.kill())
  return tpm
}

/** A TPM whose answers, silences and control socket a test decides on. ReadClock is answered with `clock`. */
async function fake(t: TestContext, answer: (command: Buffer, socket: Socket) => Buffer | undefined) {
  const path = join(await directoryOf(t), 'tpm')
  const clock = Buffer.alloc(35)
  clock.writeUInt16BE(0x8001, 0)
  clock.writeUInt32BE(35, 2)
  const sockets = new Set<Socket>()
  const state = {
    path,
    tcti: `swtpm:path=${path}`,
    clock,
    cancels: 0,
    connections: 0,
    onCancel: () => undefined as unknown,
  }
  const listen = async (at: string, serve: (socket: Socket) => void) => {
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      serve(socket)
    })
    server.listen(at)
    await once(server, 'listening')
    t.after(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
  }
  await listen(path, (socket) => {
    state.connections += 1
    socket.on('data', (command: Buffer) => {
      const bytes = command.readUInt32BE(6) === READ_CLOCK ? clock : answer(command, socket)
      if (bytes !== undefined) socket.write(bytes)
    })
  })
  await listen(`${path}.ctrl`, (socket) => {
    socket.on('data', (request: Buffer) => {
      assert.equal(request.toString('hex'), '00000009')
      state.cancels += 1
      state.onCancel()
      socket.write(Buffer.alloc(4))
    })
  })
  return state
}

const rcOf = (bytes: Buffer): number => bytes.readUInt32BE(6)

test('exchanges commands with a real TPM, one after the other', async (t) => {
  const tpm = await realTpm(t)
  const { channel } = await openFor(t, tpm.tcti)
  const answers = [await channel.exchange(GET_RANDOM, 1_000), await channel.exchange(GET_RANDOM, 1_000)]
  assert.deepEqual(
    answers.map((bytes) => [bytes.byteLength, rcOf(bytes)]),
    [
      [20, 0],
      [20, 0],
    ],
  )
  assert.notDeepEqual(answers[0], answers[1])
  assert.equal(channel.epoch, 0)
})

test('a TPM is taken by one broker alone, and is free again when that one is done', async (t) => {
  const tpm = await realTpm(t)
  const { channel } = await openFor(t, tpm.tcti)
  await assert.rejects(openChannel(tpm.tcti), { code: 'vtpm.tpm_in_use' })
  await channel.close()
  await channel.close()
  await openFor(t, tpm.tcti)
})

for (const tcti of ['device:/dev/tpmrm0', 'swtpm:host=127.0.0.1,port=2321']) {
  test(`refuses ${tcti}, which others can use at the same time`, async () => {
    await assert.rejects(openChannel(tcti), { code: 'vtpm.tpm_shared' })
  })
}

test('a TPM that is not there is unavailable', async (t) => {
  const directory = await directoryOf(t)
  await assert.rejects(openChannel(`swtpm:path=${join(directory, 'none')}`), { code: 'device.unavailable' })
  await assert.rejects(openChannel('device:/dev/no-such-tpm'), { code: 'device.unavailable' })
})

test('a TPM that nobody has started is not started by the channel', async (t) => {
  const stateDir = join(await directoryOf(t), 's')
  const swtpm = await startSwtpm({ stateDir, startup: 'none' })
  t.after(() => swtpm.kill())
  await swtpm.control.init()
  await assert.rejects(openChannel(swtpm.tcti), { code: 'vtpm.tpm_not_started' })
  const transport = await openTransport(swtpm.tcti)
  assert.equal(rcOf(await transport.send(GET_RANDOM)), 0x100)
  await transport.close()
})

test('a TPM that was killed and came back is used again, in a new epoch; the command under way is lost and said to be', async (t) => {
  const tpm = await realTpm(t)
  const { channel, changes, next } = await openFor(t, tpm.tcti, { graceMs: 60_000 })
  const resets = channel.resetCount
  process.kill(tpm.swtpm.pid, 'SIGSTOP')
  const lost = channel.exchange(GET_RANDOM, 60_000)
  const found = next('found')
  await Promise.all([assert.rejects(lost, { code: 'vtpm.tpm_lost' }), tpm.swtpm.kill()])
  // Sent while the TPM is away: it waits.
  const early = channel.exchange(GET_RANDOM, 1_000)
  await tpm.again()
  assert.equal(rcOf(await early), 0)
  await found
  assert.equal(channel.epoch, 1)
  assert.notEqual(channel.resetCount, resets)
  assert.deepEqual(
    changes.map(({ state }) => state),
    ['lost', 'found'],
  )
})

test('a TPM that stays away is unavailable, once patience is over', async (t) => {
  const tpm = await realTpm(t)
  const { channel, next } = await openFor(t, tpm.tcti, { graceMs: 30 })
  const lost = next('lost')
  await tpm.swtpm.kill()
  await lost
  await assert.rejects(channel.exchange(GET_RANDOM, 1_000), { code: 'device.unavailable' })
  await assert.rejects(channel.exchange(GET_RANDOM, 1_000), { code: 'device.unavailable' })
})

test('a TPM that is reset is let go until somebody has started it', async (t) => {
  const tpm = await realTpm(t)
  const { channel, next, changes } = await openFor(t, tpm.tcti, { graceMs: 60_000 })
  const [lost, found] = [next('lost'), next('found')]
  await tpm.swtpm.control.init({ deleteVolatile: true })
  // It did nothing, so it may be sent again.
  await assert.rejects(channel.exchange(GET_RANDOM, 1_000), { code: 'device.unavailable' })
  await lost
  const transport = await openTransport(tpm.tcti)
  assert.equal(rcOf(await transport.send(STARTUP)), 0)
  await transport.close()
  await found
  assert.equal(rcOf(await channel.exchange(GET_RANDOM, 1_000)), 0)
  assert.deepEqual(changes.at(-1), { state: 'found', epoch: 1, wasReset: true })
})

test('a reset that nobody else noticed is found by its clock', async (t) => {
  const tpm = await fake(t, () => response(0))
  const { channel } = await openFor(t, tpm.tcti)
  await channel.checkReset()
  assert.equal(channel.epoch, 0)
  tpm.clock.writeUInt32BE(7, 30)
  await channel.checkReset()
  assert.equal(channel.epoch, 1)
  assert.equal(channel.resetCount, 0)
})

test('a command that takes too long is cancelled, and then has the answer of the TPM', async (t) => {
  let socket: Socket | undefined
  const tpm = await fake(t, (_, from) => void (socket = from))
  tpm.onCancel = () => socket?.write(response(0x909))
  const { channel } = await openFor(t, tpm.tcti)
  assert.equal(rcOf(await channel.exchange(GET_RANDOM, 60)), 0x909)
  assert.equal(tpm.cancels, 1)
  assert.equal(channel.epoch, 0)
})

test('a TPM that does not even answer to a cancel is given up and connected anew', async (t) => {
  const tpm = await fake(t, (command) => (command.equals(CREATE_PRIMARY) ? undefined : response(0)))
  const { channel } = await openFor(t, tpm.tcti, { cancelGraceMs: 50, graceMs: 60_000 })
  await assert.rejects(channel.exchange(CREATE_PRIMARY, 60), { code: 'device.timeout' })
  assert.equal(rcOf(await channel.exchange(GET_RANDOM, 1_000)), 0)
  assert.equal(channel.epoch, 1)
  assert.equal(tpm.connections, 2)
})

test('only a command that takes long is cancelled, and the next one waits until the cancel cannot hit it', async (t) => {
  const order: string[] = []
  let socket: Socket | undefined
  const tpm = await fake(t, (command, from) => {
    socket = from
    order.push(command.readUInt32BE(6).toString(16))
    return command.equals(CREATE_PRIMARY) ? undefined : response(0)
  })
  tpm.onCancel = () => {
    order.push('cancel')
    socket?.write(response(0x909))
  }
  const { channel } = await openFor(t, tpm.tcti)
  channel.cancel()
  const short = channel.exchange(GET_RANDOM, 1_000)
  channel.cancel()
  assert.equal(rcOf(await short), 0)
  const long = channel.exchange(CREATE_PRIMARY, 60_000)
  channel.cancel()
  channel.cancel()
  assert.equal(rcOf(await long), 0x909)
  assert.equal(rcOf(await channel.exchange(GET_RANDOM, 1_000)), 0)
  assert.deepEqual(order, ['17b', '131', 'cancel', '17b'])
})

test('a real key generation ends as it likes after a cancel, and the next command is not hit', async (t) => {
  const tpm = await realTpm(t)
  const { channel } = await openFor(t, tpm.tcti)
  // TPM2_CreatePrimary(owner): an RSA-2048 signing key.
  const key = Buffer.from(
    '80020000000000000131' +
      '4000000100000009400000090000000000' +
      '000400000000' +
      '00160001000b000404720000001000100800000000000000' +
      '000000000000',
    'hex',
  )
  key.writeUInt32BE(key.byteLength, 2)
  const making = channel.exchange(key, 60_000)
  channel.cancel()
  const rc = rcOf(await making)
  assert.ok(rc === 0 || rc === 0x909, rc.toString(16))
  assert.equal(rcOf(await channel.exchange(GET_RANDOM, 1_000)), 0)
})

const broken: readonly (readonly [string, Buffer])[] = [
  ['a size below the header', Buffer.from('80010000000900000000', 'hex')],
  ['a size beyond every TPM', Buffer.from('80017fffffff00000000', 'hex')],
  ['an unknown tag', Buffer.from('12340000000a00000000', 'hex')],
  ['bytes after the response', Buffer.concat([response(0), Buffer.from([0])])],
]
for (const [what, bytes] of broken) {
  test(`a response with ${what} ends the connection, and the next command has a new one`, async (t) => {
    let count = 0
    const tpm = await fake(t, () => ((count += 1) === 1 ? bytes : response(0)))
    const { channel } = await openFor(t, tpm.tcti)
    await assert.rejects(channel.exchange(GET_RANDOM, 1_000), { code: 'vtpm.tpm_lost' })
    assert.equal(rcOf(await channel.exchange(GET_RANDOM, 1_000)), 0)
    assert.equal(tpm.connections, 2)
  })
}

test('an answer that nobody asked for is never taken for the next one', async (t) => {
  let socket: Socket | undefined
  const tpm = await fake(t, (_, from) => {
    socket = from
    return response(0)
  })
  const { channel, next } = await openFor(t, tpm.tcti)
  const lost = next('lost')
  assert.equal(rcOf(await channel.exchange(GET_RANDOM, 1_000)), 0)
  socket?.write(response(0x123))
  await lost
  assert.equal(rcOf(await channel.exchange(GET_RANDOM, 1_000)), 0)
})

test('a response that comes in pieces is put together', async (t) => {
  const tpm = await fake(t, (_, socket) => {
    socket.write(response(0x155).subarray(0, 3))
    setImmediate(() => socket.write(response(0x155).subarray(3)))
    return undefined
  })
  const { channel } = await openFor(t, tpm.tcti)
  assert.equal(rcOf(await channel.exchange(GET_RANDOM, 1_000)), 0x155)
})

test('closing ends the command under way and every later one', async (t) => {
  const tpm = await fake(t, () => undefined)
  const { channel }: { channel: HardwareChannel } = await openFor(t, tpm.tcti)
  const under = channel.exchange(GET_RANDOM, 60_000)
  await Promise.all([assert.rejects(under, { code: 'vtpm.tpm_lost' }), channel.close()])
  await assert.rejects(channel.exchange(GET_RANDOM, 1_000), { code: 'device.unavailable' })
})
