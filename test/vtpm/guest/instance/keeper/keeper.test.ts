import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { keepersOf } from '../../../../../scripts/stage/keepers.ts'
import { encode } from '../../../../../src/codec/index.ts'
import { HELLO, PROTOCOL } from '../../../../../src/vtpm/guest/instance/keeper/protocol.ts'
import { identifyProcess } from '../../../../../src/vtpm/guest/instance/process-identity.ts'
import type { Instance, SwtpmInstances } from '../../../../../src/vtpm/guest/instance/types.ts'
import { bench, type Bench } from '../bench.ts'
import { controlClient } from '../control-client.ts'
import {
  attach,
  GET_CAPABILITY,
  readPcr7,
  reset,
  STOP,
  SUCCESS,
  startUp,
  transmit,
  STARTUP,
  untilDetached,
} from '../pretend-machine.ts'

const runDir = ({ dir }: Bench) => join(dir, 'run')

async function onlyKeeper(b: Bench): Promise<number> {
  const [pid, ...more] = await keepersOf(runDir(b))
  assert.ok(pid !== undefined && more.length === 0)
  return pid
}

async function untilGone(b: Bench): Promise<void> {
  while ((await keepersOf(runDir(b))).length > 0) await delay(5)
}

/** As after a crash: the next broker's, and the guest as it finds it. */
async function takeOver(
  b: Bench,
  { instance: { guest }, dir, key }: Awaited<ReturnType<Bench['start']>>,
  build = '',
): Promise<{ readonly next: SwtpmInstances; readonly adopted: Instance }> {
  await b.instances.close()
  const next = await b.another({ build })
  const adopted = await next.adopt({ guest, dir, key })
  assert.ok(adopted !== undefined)
  return { next, adopted }
}

function frame(body: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeUInt32BE(body.byteLength)
  return Buffer.concat([size, body])
}

async function capability(instance: Instance): Promise<string> {
  const client = await controlClient(instance.controlSocket)
  try {
    return await client.send(GET_CAPABILITY, { size: 8 })
  } finally {
    client.close()
  }
}

void test('without a broker a container’s control socket is served, and a machine is switched on and reset', async (t) => {
  const b = await bench(t)
  const tpm = await b.instances.take()
  const container = await b.start('socket', tpm)
  const machine = await b.start('qemu', tpm)
  const keeper = await onlyKeeper(b)
  await b.instances.close()
  await b.run(container.instance, 'tpm2_getrandom', '8', '--hex')
  const { control, tpm: data } = await attach(t, b, machine.instance, { isToldOf: false })
  assert.equal(await reset(control), SUCCESS)
  await startUp(data)
  assert.equal(await reset(control), SUCCESS)
  assert.equal((await transmit(data, STARTUP)).slice(12), '00000000')
  assert.equal(await readPcr7(data), '00'.repeat(32))
  assert.deepEqual(b.resets, [])
  const { adopted } = await takeOver(b, machine)
  assert.equal(await onlyKeeper(b), keeper)
  assert.equal(adopted.attached, true)
  assert.deepEqual(b.resets, [adopted.guest], 'told once, with the count of all')
})

void test('an adopted machine keeps its TPM and its control channel, also when it is exposed once more', async (t) => {
  const b = await bench(t)
  const started = await b.start('qemu', await b.instances.take())
  const machine = await attach(t, b, started.instance)
  await reset(machine.control)
  await startUp(machine.tpm)
  const before = await readPcr7(machine.tpm)
  const { next, adopted } = await takeOver(b, started)
  for (let times = 0; times < 3; times++) await next.expose(adopted)
  assert.equal(adopted.attached, true)
  assert.equal(await readPcr7(machine.tpm), before)
  const other = await controlClient(adopted.controlSocket)
  assert.equal(await other.send(STOP), 'closed', 'and nobody else has one')
  other.close()
  await assert.rejects(next.stop(adopted), { code: 'guest.attached' })
  assert.equal(await reset(machine.control), SUCCESS)
  await machine.end()
  assert.equal((await next.stop(adopted)).clean, true)
})

void test('a machine that left while no broker ran left a TPM that is shut down, and the next one may come', async (t) => {
  const b = await bench(t)
  const started = await b.start('qemu', await b.instances.take())
  const machine = await attach(t, b, started.instance)
  await reset(machine.control)
  await startUp(machine.tpm)
  await b.instances.close()
  await machine.end()
  const { next, adopted } = await takeOver(b, started)
  await untilDetached(adopted)
  assert.equal((await next.stop(adopted)).clean, true)
})

void test('what was refused while no broker ran is told to the next one, and what was not kept is counted', async (t) => {
  const b = await bench(t)
  const started = await b.start('socket', await b.instances.take())
  await b.instances.close()
  const hostile = await controlClient(started.instance.controlSocket)
  for (let times = 0; times < 50; times++) await hostile.send('0000000e')
  hostile.close()
  assert.deepEqual(b.refused, [])
  const { adopted } = await takeOver(b, started)
  await b.told(adopted)
  assert.equal(b.refused.length, 20)
  assert.ok(b.refused.every(({ guest, command }) => guest === adopted.guest && command === 'STOP'))
})

void test('a keeper that is killed is replaced at once; its machines keep their TPMs, and nobody else gets at them', async (t) => {
  const b = await bench(t)
  const tpm = await b.instances.take()
  const container = await b.start('socket', tpm)
  const { instance } = await b.start('qemu', tpm)
  const machine = await attach(t, b, instance)
  await reset(machine.control)
  await startUp(machine.tpm)
  const before = await readPcr7(machine.tpm)
  const keeper = await onlyKeeper(b)
  process.kill(keeper, 'SIGKILL')
  while (!b.news.some(({ what, pid }) => what === 'started' && pid !== keeper)) await delay(2)
  for (const each of [container.instance, instance]) await b.told(each)
  assert.deepEqual(
    b.news.map(({ what }) => what),
    ['started', 'lost', 'started'],
  )
  assert.deepEqual(
    await readdir(join(runDir(b), 'k')).then((names) => names.length),
    1,
    'nothing of the dead one is left',
  )
  await b.run(container.instance, 'tpm2_getrandom', '8', '--hex')
  assert.equal(await machine.control.send(STOP), 'closed')
  assert.equal(await capability(instance), 'closed')
  assert.equal(instance.attached, true)
  assert.equal(await readPcr7(machine.tpm), before)
  await assert.rejects(b.instances.stop(instance), { code: 'guest.attached' })
  await machine.end()
  await untilDetached(instance)
  const second = await attach(t, b, instance)
  assert.equal(await reset(second.control), SUCCESS)
  await second.end()
  assert.equal((await b.instances.stop(instance)).clean, true)
})

void test('a keeper that died while no broker ran is replaced by the next one', async (t) => {
  const b = await bench(t)
  const started = await b.start('socket', await b.instances.take())
  await b.instances.close()
  process.kill(await onlyKeeper(b), 'SIGKILL')
  await untilGone(b)
  const { next, adopted } = await takeOver(b, started)
  await b.run(adopted, 'tpm2_getrandom', '8', '--hex')
  assert.equal((await next.stop(adopted)).clean, true)
})

void test('where no keeper can be started a guest is not exposed, and one that runs is adopted and served later', async (t) => {
  const b = await bench(t)
  const tpm = await b.instances.take()
  const started = await b.start('socket', tpm)
  await b.instances.close()
  process.kill(await onlyKeeper(b), 'SIGKILL')
  await untilGone(b)
  const next = await b.another()
  const all = join(runDir(b), 'k')
  await rm(all, { recursive: true })
  await writeFile(all, 'in the way')
  const options = { guest: randomUUID(), dir: join(b.dir, 'state', 'new'), key: started.key, blob: tpm.blob }
  const other = await next.launch({ ...options, attachment: 'socket' })
  await assert.rejects(next.expose(other), { code: 'guest.keeper' })
  assert.equal((await next.stop(other, { force: true })).clean, true)
  const { guest } = started.instance
  const adopted = await next.adopt({ guest, dir: started.dir, key: started.key })
  assert.ok(adopted !== undefined)
  assert.equal(b.news.at(-1)?.what, 'failed')
  await rm(all)
  await mkdir(all)
  // Its own next attempt does not hold this process.
  while (b.news.at(-1)?.what !== 'started') await delay(5)
  await b.told(adopted)
  await b.run(adopted, 'tpm2_getrandom', '8', '--hex')
})

void test('the keeper of an older Touchstone goes on with its machine, and everything else moves to a new one', async (t) => {
  const b = await bench(t)
  const tpm = await b.instances.take()
  const container = await b.start('socket', tpm)
  const started = await b.start('qemu', tpm)
  const machine = await attach(t, b, started.instance)
  await reset(machine.control)
  await startUp(machine.tpm)
  const old = await onlyKeeper(b)
  const { next, adopted } = await takeOver(b, started, 'newer')
  await next.adopt({ guest: container.instance.guest, dir: container.dir, key: container.key })
  assert.equal((await keepersOf(runDir(b))).length, 2)
  await b.run(container.instance, 'tpm2_getrandom', '8', '--hex')
  assert.equal(await reset(machine.control), SUCCESS)
  await machine.end()
  while ((await keepersOf(runDir(b))).includes(old)) await delay(5)
  await next.expose(adopted)
  const again = await attach(t, b, adopted)
  assert.equal(await reset(again.control), SUCCESS)
  await again.end()
  assert.equal((await next.stop(adopted)).clean, true)
})

void test('a keeper that speaks a protocol that this broker does not know is left alone, and said', async (t) => {
  const b = await bench(t)
  const dir = join(runDir(b), 'k', 'k-pretend')
  await mkdir(dir, { recursive: true })
  const identity = join(dir, 'process')
  await writeFile(identity, JSON.stringify(await identifyProcess(process.pid)))
  const fields = { pid: 4711, build: '9.0.0', later: Buffer.from('more than there is today') }
  const hello = frame(encode(HELLO, { protocol: PROTOCOL + 1, ...fields }))
  const server = createServer((socket) => socket.on('error', () => undefined).write(hello))
  try {
    server.listen(join(dir, 'sock'))
    await once(server, 'listening')
    await assert.rejects(b.another(), { code: 'guest.keeper', message: /process 4711, of Touchstone 9\.0\.0/ })
  } finally {
    // Before anything looks for keepers to be ended.
    await writeFile(identity, '')
    server.close()
  }
})

void test('a keeper ends with the last guest when the broker is gone, and with the broker when there is no guest', async (t) => {
  const b = await bench(t)
  const { instance, dir, key } = await b.start('socket', await b.instances.take())
  await b.instances.close()
  const next = await b.another()
  const adopted = await next.adopt({ guest: instance.guest, dir, key })
  assert.ok(adopted !== undefined)
  await next.stop(adopted)
  assert.equal((await keepersOf(runDir(b))).length, 1, 'the next start does not wait for it')
  await next.close()
  await untilGone(b)
  assert.deepEqual(await readdir(join(runDir(b), 'k')), [])
})

void test('a keeper whose guests all died without a broker ends by itself', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('socket', await b.instances.take())
  await b.instances.close()
  process.kill(instance.pid, 'SIGKILL')
  await untilGone(b)
  assert.deepEqual(await readdir(join(runDir(b), 'k')), [])
})

void test('garbage on the keeper’s own socket ends that connection and nothing else', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('socket', await b.instances.take())
  const keeper = await onlyKeeper(b)
  const [name = ''] = await readdir(join(runDir(b), 'k'))
  const path = join(runDir(b), 'k', name, 'sock')
  const hex = ['', '63', '01', '02000000010024', '0300']
  const garbage = [Buffer.alloc(5_000, 0xff), ...hex.map((each) => frame(Buffer.from(each, 'hex')))]
  for (const bytes of garbage) {
    const socket = createConnection({ path })
    socket.on('error', () => undefined).resume()
    socket.write(bytes)
    await once(socket, 'close')
  }
  assert.equal(await onlyKeeper(b), keeper)
  assert.equal(await capability(instance), '0000000000000028')
  await b.told(instance)
})

void test('a keeper has no arguments, no core dumps, little in its environment, and a socket that is its user’s alone', async (t) => {
  const b = await bench(t)
  await b.start('socket', await b.instances.take())
  const keeper = await onlyKeeper(b)
  const proc = (name: string) => readFile(`/proc/${keeper}/${name}`, 'latin1')
  const args = (await proc('cmdline')).split('\0').slice(0, -1)
  assert.match(args.at(-1) ?? '', /keeper\/program\.ts$/)
  assert.ok(args.slice(1, -1).every((argument) => argument.startsWith('--')))
  for (const text of await Promise.all([proc('cmdline'), proc('environ')])) assert.ok(!text.includes(b.dir))
  assert.match(await proc('limits'), /^Max core file size +0 +0 /m)
  const own = (await proc('stat')).split(' ')
  assert.equal(own[5], String(keeper), 'a session of its own')
  const [name = ''] = await readdir(join(runDir(b), 'k'))
  const { mode } = await stat(join(runDir(b), 'k', name, 'sock'))
  assert.equal(mode & 0o077, 0)
})
