import assert from 'node:assert/strict'
import test from 'node:test'
import { openTransport } from '../../src/device/index.ts'
import { deviceLink, serialized } from '../../src/device/transport.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import { fakeTpm, response } from './fake-tpm.ts'

/** TPM2_GetRandom(8) */
const GET_RANDOM = Buffer.from('80010000000c0000017b0008', 'hex')

test('a real TPM answers one command after the other, whatever the order of waiting', async (t) => {
  const tpm = await freshTpm()
  t.after(() => tpm.close())
  const transport = await openTransport(tpm.tcti)
  t.after(() => transport.close())
  const answers = await Promise.all([1, 2, 3, 4].map(() => transport.send(GET_RANDOM)))
  assert.deepEqual(
    answers.map((answer) => [answer.byteLength, answer.readUInt32BE(6)]),
    [1, 2, 3, 4].map(() => [20, 0]),
  )
  assert.equal(new Set(answers.map((answer) => answer.toString('hex'))).size, 4)
})

test('a response that comes in pieces is put together', async (t) => {
  const tpm = await fakeTpm(t, () => undefined)
  const pieces = await fakeTpm(t, () => response(0x100).subarray(0, 3))
  await assert.rejects((await openTransport(tpm.tcti, { timeoutMs: 30 })).send(GET_RANDOM), { code: 'device.timeout' })
  await assert.rejects((await openTransport(pieces.tcti, { timeoutMs: 30 })).send(GET_RANDOM), {
    code: 'device.timeout',
  })
})

test('after a timeout the transport is not used again: the late answer would be taken for the next', async (t) => {
  const tpm = await fakeTpm(t, () => undefined)
  const transport = await openTransport(tpm.tcti, { timeoutMs: 30 })
  await assert.rejects(transport.send(GET_RANDOM), { code: 'device.timeout' })
  await assert.rejects(transport.send(GET_RANDOM), { code: 'device.unavailable' })
  assert.equal(tpm.commands.length, 1)
})

const broken: readonly (readonly [string, Buffer])[] = [
  ['a size below the header', Buffer.from('80010000000900000000', 'hex')],
  ['a size beyond every TPM', Buffer.from('80017fffffff00000000', 'hex')],
  ['an unknown tag', Buffer.from('12340000000a00000000', 'hex')],
  ['bytes after the response', Buffer.concat([response(0), Buffer.from([0])])],
]
for (const [what, bytes] of broken) {
  test(`refuses a response with ${what}`, async (t) => {
    const tpm = await fakeTpm(t, () => bytes)
    const transport = await openTransport(tpm.tcti)
    await assert.rejects(transport.send(GET_RANDOM), { code: 'device.protocol' })
  })
}

test('refuses to send what is not one framed command', async (t) => {
  const tpm = await fakeTpm(t, () => response(0))
  const transport = await openTransport(tpm.tcti)
  await assert.rejects(transport.send(GET_RANDOM.subarray(0, 11)), { code: 'device.protocol' })
  await assert.rejects(transport.send(Buffer.alloc(4)), { code: 'device.protocol' })
  assert.deepEqual(tpm.commands, [])
  await transport.close()
})

test('a TPM that is not there is unavailable', async () => {
  await assert.rejects(openTransport('swtpm:path=/nonexistent/sock'), { code: 'device.unavailable' })
  await assert.rejects(openTransport('device:/nonexistent/tpmrm0'), { code: 'device.unavailable' })
})

test('a closed transport says so', async (t) => {
  const tpm = await fakeTpm(t, () => response(0))
  const transport = await openTransport(tpm.tcti)
  await transport.close()
  await transport.close()
  await assert.rejects(transport.send(GET_RANDOM), { code: 'device.unavailable' })
})

/** The kernel's device: a write is a command, a read is its whole response. */
function fakeDevice(answer: (command: Buffer) => Buffer | Promise<Buffer>) {
  const log: string[] = []
  let command = Buffer.alloc(0)
  const device = {
    write: (bytes: Buffer) => {
      log.push('write')
      command = Buffer.from(bytes)
      return Promise.resolve({ bytesWritten: bytes.byteLength, buffer: bytes })
    },
    read: async (buffer: Buffer) => {
      log.push('read')
      return { bytesRead: (await answer(command)).copy(buffer), buffer }
    },
    close: () => {
      log.push('close')
      return Promise.resolve()
    },
  }
  return { log, file: device as unknown as Parameters<typeof deviceLink>[0] }
}

test('the device is written and read command by command', async () => {
  const { file, log } = fakeDevice(() => response(0))
  const transport = serialized(deviceLink(file, 1000))
  await Promise.all([transport.send(GET_RANDOM), transport.send(GET_RANDOM)])
  assert.deepEqual(log, ['write', 'read', 'write', 'read'])
})

test('a device whose answer is cut is no TPM', async () => {
  const { file } = fakeDevice(() => response(0).subarray(0, 7))
  await assert.rejects(serialized(deviceLink(file, 1000)).send(GET_RANDOM), { code: 'device.protocol' })
})

test('a device that hangs is left alone until its read ends, and closed then', async () => {
  const { promise, resolve } = Promise.withResolvers<Buffer>()
  const { file, log } = fakeDevice(() => promise)
  const transport = serialized(deviceLink(file, 20))
  await assert.rejects(transport.send(GET_RANDOM), { code: 'device.timeout' })
  await transport.close()
  assert.ok(!log.includes('close'))
  resolve(response(0))
  await promise
  await new Promise(setImmediate)
  assert.ok(log.includes('close'))
})
