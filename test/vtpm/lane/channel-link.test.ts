import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { deviceLink, openDeviceLink } from '../../../src/vtpm/lane/channel-link.ts'
import { startChannel } from '../../../src/vtpm/lane/channel.ts'
import { response } from '../../device/fake-tpm.ts'

const GET_RANDOM = Buffer.from('80010000000c0000017b0008', 'hex')
const READ_CLOCK = 0x181

/** The kernel's device: a write is a command, a read is its whole response. */
function fakeDevice(answer: (command: Buffer) => Buffer | Promise<Buffer>) {
  const clock = Buffer.alloc(35)
  clock.writeUInt16BE(0x8001, 0)
  clock.writeUInt32BE(35, 2)
  const log: string[] = []
  let command = Buffer.alloc(0)
  return {
    log,
    file: {
      write(bytes: Buffer) {
        command = Buffer.from(bytes)
        log.push(command.readUInt32BE(6).toString(16))
        return Promise.resolve({ bytesWritten: bytes.byteLength, buffer: bytes })
      },
      async read(into: Buffer) {
        const bytes = command.readUInt32BE(6) === READ_CLOCK ? clock : await answer(command)
        return { bytesRead: bytes.copy(into), buffer: into }
      },
      close() {
        log.push('close')
        return Promise.resolve()
      },
    },
  }
}

function linkTo(device: ReturnType<typeof fakeDevice>, cancelFile = '/nonexistent/cancel') {
  // Only the shapes that the link calls; FileHandle has many overloads.
  const file = device.file as unknown as Parameters<typeof deviceLink>[0]
  return startChannel((events) => Promise.resolve(deviceLink(file, cancelFile, events)), {
    graceMs: 60_000,
    cancelGraceMs: 50,
  })
}

/** The file is closed behind the caller's back, when the last read has ended. */
const soon = () => new Promise((resolve) => setImmediate(resolve))

test('a device answers one command after the other, and is closed with the channel', async () => {
  const device = fakeDevice(() => response(0x155))
  const channel = await linkTo(device)
  assert.equal((await channel.exchange(GET_RANDOM, 1_000)).readUInt32BE(6), 0x155)
  await channel.close()
  await soon()
  assert.deepEqual(device.log, ['181', '17b', 'close'])
})

test('a device that answers less than its header says is let go and opened again', async () => {
  let isBroken = true
  const device = fakeDevice(() => {
    const bytes = response(0)
    if (isBroken) bytes.writeUInt32BE(12, 2)
    isBroken = false
    return bytes
  })
  const channel = await linkTo(device)
  await assert.rejects(channel.exchange(GET_RANDOM, 1_000), { code: 'vtpm.tpm_lost' })
  assert.equal((await channel.exchange(GET_RANDOM, 1_000)).readUInt32BE(6), 0)
  assert.equal(channel.epoch, 1)
  await channel.close()
  await soon()
  assert.deepEqual(device.log, ['181', '17b', 'close', '181', '17b', 'close'])
})

test('a device that hangs is cancelled through sysfs where there is a file for it, and closed only when its read ends', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'ts-dev-'))
  t.after(() => rm(directory, { recursive: true }))
  const cancelFile = join(directory, 'cancel')
  await writeFile(cancelFile, '0')
  let finish: ((bytes: Buffer) => void) | undefined
  const device = fakeDevice(() => new Promise((resolve) => (finish = resolve)))
  const channel = await linkTo(device, cancelFile)
  await assert.rejects(channel.exchange(GET_RANDOM, 60), { code: 'device.timeout' })
  assert.equal(await readFile(cancelFile, 'utf8'), '1')
  assert.ok(!device.log.includes('close'))
  finish?.(response(0))
  await soon()
  assert.ok(device.log.includes('close'))
  await channel.close()
})

test('a device without a cancel file runs a command to its end', async () => {
  let finish: ((bytes: Buffer) => void) | undefined
  const device = fakeDevice(() => new Promise((resolve) => (finish = resolve)))
  const channel = await linkTo(device)
  const making = channel.exchange(Buffer.from('80020000000a00000131', 'hex'), 60_000)
  channel.cancel()
  await soon()
  finish?.(response(0))
  assert.equal((await making).readUInt32BE(6), 0)
  await channel.close()
})

test('a device that is not there is unavailable', async () => {
  const events = { response: () => undefined, lost: () => undefined }
  await assert.rejects(openDeviceLink('/dev/no-such-tpm', events), { code: 'device.unavailable' })
})
