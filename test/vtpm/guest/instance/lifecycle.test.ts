import assert from 'node:assert/strict'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { cp, mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { matchEkTemplate, TPM2B_PUBLIC } from '../../../../src/tpm/index.ts'
import { decode } from '../../../../src/codec/index.ts'
import { bench, type Bench } from './bench.ts'

const STATE = 'tpm2-00.permall'

async function digestOf(dir: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(join(dir, STATE)))
    .digest('hex')
}

void test('a manufactured TPM has the EKs of the TCG templates and one PCR bank, and tpm2-tools find them', async (t) => {
  const b = await bench(t, { rsaEk: true })
  const tpm = await b.instances.take()
  assert.deepEqual(
    tpm.eks.map(({ kind, publicArea }) => [kind, matchEkTemplate(decode('ek', TPM2B_PUBLIC, publicArea))]),
    [
      ['L-2', { name: 'L-2' }],
      ['L-1', { name: 'L-1' }],
    ],
  )
  const { instance } = await b.start('socket', tpm)
  await b.run(instance, 'tpm2_createek', '-G', 'ecc', '-c', 'ek.ctx', '-u', 'ek.pub')
  assert.deepEqual(await readFile(join(b.dir, 'ek.pub')), tpm.eks[0].publicArea)
  await b.run(instance, 'tpm2_readpublic', '-c', '0x81010001', '-o', 'rsa.pub')
  assert.deepEqual(await readFile(join(b.dir, 'rsa.pub')), tpm.eks[1]?.publicArea)
  assert.match(await b.run(instance, 'tpm2_getcap', 'pcrs'), /^selected-pcrs:\n {2}- sha1: \[ \]\n {2}- sha256: \[ 0, /)
})

void test('state is encrypted under the key that launch was given, and under that alone', async (t) => {
  const b = await bench(t)
  const tpm = await b.instances.take()
  const { instance, key, dir } = await b.start('socket', tpm)
  const end = await b.instances.stop(instance)
  assert.equal(end.clean, true)
  assert.equal(end.digest.toString('hex'), await digestOf(dir))
  assert.deepEqual(await b.instances.digest(dir), end.digest)
  const extracted = await b.instances.extract({ dir, key })
  assert.deepEqual(
    extracted.eks.map(({ name }) => name),
    tpm.eks.map(({ name }) => name),
  )
  assert.equal(await digestOf(dir), end.digest.toString('hex'), 'extract leaves what it reads alone')
  await assert.rejects(b.instances.extract({ dir, key: randomBytes(32) }), { code: 'guest.state_damaged' })
})

void test('refuses state with a flipped bit, state that is not encrypted, none at all, and a link to some file', async (t) => {
  const b = await bench(t)
  const tpm = await b.instances.take()
  const { instance, key, dir } = await b.start('socket', tpm)
  await b.instances.stop(instance)
  const good = await readFile(join(dir, STATE))
  const damaged = async (name: string, content: Buffer | undefined) => {
    const other = join(b.dir, name)
    await mkdir(other)
    if (content !== undefined) await writeFile(join(other, STATE), content)
    await assert.rejects(b.instances.extract({ dir: other, key }), { code: 'guest.state_damaged' }, name)
  }
  for (const at of [3, 20, 700, good.byteLength - 1]) {
    const flipped = Buffer.from(good)
    flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at)
    await damaged(`flip-${at}`, flipped)
  }
  await damaged('cut', good.subarray(0, 500))
  await damaged('none', undefined)
  const header = Buffer.from('0201000a00010000', 'hex')
  await damaged('plain', Buffer.concat([header, tpm.blob]))
  const linked = join(b.dir, 'linked')
  await mkdir(linked)
  await symlink(join(dir, STATE), join(linked, STATE))
  await assert.rejects(b.instances.extract({ dir: linked, key }), { code: 'guest.state_damaged' })
})

void test('a guest that set an endorsement authorisation and removed its persistent EK still has its EKs read', async (t) => {
  const b = await bench(t, { rsaEk: true })
  const tpm = await b.instances.take()
  const { instance, key, dir } = await b.start('socket', tpm)
  await b.run(instance, 'tpm2_changeauth', '-c', 'e', 'secret')
  await b.run(instance, 'tpm2_clearcontrol', '-C', 'l', 's')
  await b.run(instance, 'tpm2_evictcontrol', '-C', 'o', '-c', '0x81010001')
  await b.instances.stop(instance)
  // Another broker: this one remembers what it launched.
  const { eks } = await (await b.another()).extract({ dir, key })
  assert.deepEqual(
    eks.map(({ kind, name }) => [kind, name]),
    [['L-2', tpm.eks[0].name]],
  )
})

void test('what a guest wrote is there after the next start, under another key and in another directory', async (t) => {
  const b = await bench(t)
  const first = await b.start('socket', await b.instances.take())
  await b.run(first.instance, 'tpm2_nvdefine', '0x1500001', '-s', '8', '-a', 'ownerread|ownerwrite')
  await writeFile(join(b.dir, 'eight'), 'eight by')
  await b.run(first.instance, 'tpm2_nvwrite', '0x1500001', '-C', 'o', '-i', 'eight')
  await b.run(first.instance, 'tpm2_pcrextend', `7:sha256=${'ab'.repeat(32)}`)
  await b.instances.stop(first.instance)
  const tpm = await b.instances.extract(first)
  const second = await b.start('socket', tpm, { guest: first.instance.guest, dir: join(b.dir, 'state', 'next') })
  await b.run(second.instance, 'tpm2_nvread', '0x1500001', '-C', 'o', '-o', 'read')
  assert.equal(await readFile(join(b.dir, 'read'), 'latin1'), 'eight by')
  assert.match(await b.run(second.instance, 'tpm2_pcrread', 'sha256:7'), /7 : 0x0{64}/)
})

void test('a certificate is found where tpm2-tools look, can be replaced, and cannot be removed by the guest', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('socket', await b.instances.take())
  for (const size of [900, 1400]) {
    const der = randomBytes(size)
    await b.instances.writeEkCertificate(instance, der)
    await b.run(instance, 'tpm2_nvread', '0x1c0000a', '-o', 'cert')
    assert.deepEqual(await readFile(join(b.dir, 'cert')), der)
  }
  await assert.rejects(b.run(instance, 'tpm2_nvundefine', '0x1c0000a', '-C', 'o'))
  await assert.rejects(b.run(instance, 'tpm2_nvundefine', '0x1c0000a', '-C', 'p'))
  await assert.rejects(b.run(instance, 'tpm2_changeeps'), 'the platform hierarchy is closed')
  await assert.rejects(b.instances.writeEkCertificate(instance, randomBytes(3000)), { code: 'guest.certificate_wrong' })
})

/** A key that counts against the lockout, with an authorisation, used once: TPM 2.0 Part 1, 19.8. */
async function useProtectedKey(b: Bench, instance: Parameters<Bench['run']>[0]): Promise<void> {
  await b.run(instance, 'tpm2_sign', '-c', '0x81000010', '-p', 'pin', '-g', 'sha256', '-o', 'sig', 'message')
}

async function makeProtectedKey(b: Bench, instance: Parameters<Bench['run']>[0]): Promise<void> {
  await writeFile(join(b.dir, 'message'), 'message')
  await b.run(instance, 'tpm2_createprimary', '-C', 'o', '-G', 'ecc', '-p', 'pin', '-c', 'key.ctx', '-a', SIGNING)
  await b.run(instance, 'tpm2_evictcontrol', '-C', 'o', '-c', 'key.ctx', '0x81000010')
}

const SIGNING = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign'

async function afterStops(b: Bench, stop: (i: Parameters<Bench['run']>[0]) => Promise<unknown>): Promise<string> {
  let tpm = await b.instances.take()
  const guest = randomUUID()
  for (let round = 0; round < 4; round++) {
    const dir = join(b.dir, 'state', `${guest}-${round}`)
    const { instance, key } = await b.start('socket', tpm, { guest, dir })
    if (round === 0) await makeProtectedKey(b, instance)
    try {
      await useProtectedKey(b, instance)
    } catch (error) {
      return error instanceof Error && error.message.includes('0x921') ? 'locked out' : String(error)
    }
    await stop(instance)
    tpm = await b.instances.extract({ dir, key })
  }
  return 'works'
}

void test('three stops do not lock a guest out of its keys', async (t) => {
  const b = await bench(t)
  const outcome = await afterStops(b, async (instance) => {
    assert.equal((await b.instances.stop(instance)).clean, true)
  })
  assert.equal(outcome, 'works')
})

void test('three stops while a client holds the data socket do not either', async (t) => {
  const b = await bench(t)
  const outcome = await afterStops(b, async (instance) => {
    const holder = createConnection({ path: instance.dataSocket ?? '' })
    await once(holder, 'connect')
    holder.on('error', () => undefined)
    // Its turn has come once it was answered.
    holder.write(Buffer.from('80010000000c0000017b0008', 'hex'))
    await once(holder, 'data')
    assert.equal((await b.instances.stop(instance)).clean, true)
    holder.destroy()
  })
  assert.equal(outcome, 'works')
})

void test('without TPM2_Shutdown they would: three killed processes lock the key', async (t) => {
  const b = await bench(t)
  const outcome = await afterStops(b, async (instance) => {
    process.kill(instance.pid, 'SIGKILL')
    assert.equal((await instance.ended).clean, false)
  })
  assert.equal(outcome, 'locked out')
})

void test('the process is confined, and neither its arguments nor its environment have the key', async (t) => {
  const b = await bench(t)
  const { instance, key, dir } = await b.start('socket', await b.instances.take())
  const proc = (name: string) => readFile(`/proc/${instance.pid}/${name}`, 'latin1')
  assert.match(await proc('status'), /^Seccomp:\t2$/m)
  assert.match(await proc('limits'), /^Max core file size +0 +0 /m)
  assert.match(await proc('limits'), /^Max address space +268435456 /m)
  const texts = [await proc('cmdline'), await proc('environ')]
  for (const text of texts)
    assert.equal(text.includes(key.toString('latin1')) || text.includes(key.toString('hex')), false)
  assert.equal(await proc('environ'), '')
  assert.equal((await stat(dir)).mode & 0o777, 0o700)
  assert.equal((await stat(join(dir, STATE))).mode & 0o777, 0o600)
  for (const fd of ['0', '1', '2']) assert.equal(await readlink(`/proc/${instance.pid}/fd/${fd}`), '/dev/null')
})

void test('each guest runs as a user of its own, and its sockets are the owner’s', async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip('only root gives a process another user')
    return
  }
  const b = await bench(t)
  const { instance, key, dir } = await b.start('socket', await b.instances.take(), {
    uid: 64_201,
    owner: { uid: 64_999, gid: 64_999 },
  })
  assert.match(await readFile(`/proc/${instance.pid}/status`, 'latin1'), /^Uid:\t64201\t64201\t64201\t64201$/m)
  assert.equal((await stat(dir)).uid, 64_201)
  assert.equal((await stat(instance.dataSocket ?? '')).uid, 64_999)
  assert.equal((await stat(instance.controlSocket)).uid, 64_999)
  assert.equal((await stat(instance.controlSocket)).mode & 0o777, 0o600)
  await b.run(instance, 'tpm2_getrandom', '8', '--hex')
  await b.instances.stop(instance)
  assert.equal((await b.instances.extract({ dir, key, uid: 64_201 })).eks.length, 1)
})

void test('says which directory keeps a guest’s user out', async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip('only root gives a process another user')
    return
  }
  const b = await bench(t)
  await mkdir(join(b.dir, 'shut'), { mode: 0o700 })
  const tpm = await b.instances.take()
  const dir = join(b.dir, 'shut', 'state')
  await assert.rejects(b.start('socket', tpm, { uid: 64_201, dir }), { code: 'guest.path' })
})

void test('a stopped guest leaves no process, no socket and no record behind', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('socket', await b.instances.take())
  await b.instances.stop(instance)
  await assert.rejects(readFile(`/proc/${instance.pid}/stat`))
  await assert.rejects(stat(instance.controlSocket))
  await assert.rejects(stat(instance.dataSocket ?? ''))
  assert.deepEqual(await readdir(join(b.dir, 'run', 'i')), [])
  const again = await b.instances.stop(instance)
  assert.equal(again.clean, true)
})

void test('another broker adopts what a killed one left running, and the guest’s connection notices nothing', async (t) => {
  const b = await bench(t)
  const { instance, key, dir } = await b.start('socket', await b.instances.take())
  const guest = createConnection({ path: instance.dataSocket ?? '' })
  await once(guest, 'connect')
  await b.instances.close()
  const next = await b.another()
  const adopted = await next.adopt({ guest: instance.guest, dir, key })
  assert.ok(adopted !== undefined)
  assert.equal(adopted.pid, instance.pid)
  assert.deepEqual(adopted.eks, instance.eks)
  guest.write(Buffer.from('80010000000c0000017b0008', 'hex'))
  const [answer] = (await once(guest, 'data')) as [Buffer]
  assert.equal(answer.readUInt32BE(6), 0)
  guest.destroy()
  await b.run(adopted, 'tpm2_getrandom', '8', '--hex')
  await next.writeEkCertificate(adopted, randomBytes(700))
  assert.equal((await next.stop(adopted)).clean, true)
})

void test('does not adopt another process with the same number, another directory, or one that has ended', async (t) => {
  const b = await bench(t)
  const { instance, key, dir } = await b.start('socket', await b.instances.take())
  const { guest } = instance
  const next = await b.another()
  assert.equal(await next.adopt({ guest, dir: `${dir}-other`, key }), undefined)
  const record = join(b.dir, 'run', 'i', `${guest.slice(-12)}.json`)
  const text = await readFile(record, 'utf8')
  await writeFile(record, text.replace(/"startTime":"\d+"/, '"startTime":"1"'))
  assert.equal(await next.adopt({ guest, dir, key }), undefined)
  await writeFile(record, text)
  process.kill(instance.pid, 'SIGKILL')
  await instance.ended
  assert.equal(await next.adopt({ guest, dir, key }), undefined)
})

void test('an adopted TPM that dies is reported', async (t) => {
  const b = await bench(t)
  const { instance, key, dir } = await b.start('socket', await b.instances.take())
  await b.instances.close()
  const next = await b.another()
  const adopted = await next.adopt({ guest: instance.guest, dir, key })
  process.kill(instance.pid, 'SIGKILL')
  // The look at an adopted process does not hold this one.
  const hold = setInterval(() => undefined, 1000)
  assert.equal((await adopted?.ended)?.clean, false)
  clearInterval(hold)
})

void test('a broker that opens ends the short-lived TPMs that a killed one left', async (t) => {
  const b = await bench(t)
  const left = join(b.dir, 'run', 'i', 'x-left')
  await mkdir(left)
  await writeFile(join(left, 'anything'), '')
  await b.another()
  await assert.rejects(stat(left))
})

void test('a broker that opens ends the TPM that a killed one had started and not written down', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('socket', await b.instances.take())
  const own = join(b.dir, 'run', 'i')
  for (const name of await readdir(own)) if (name.endsWith('.json')) await rm(join(own, name))
  await b.another()
  await instance.ended
  assert.deepEqual(await readdir(own), [])
})

void test('the pool hands out TPMs that are all different', async (t) => {
  const b = await bench(t, { poolSize: 2 })
  const names = new Set<string>()
  for (let taken = 0; taken < 4; taken++) names.add((await b.instances.take()).eks[0].name.toString('hex'))
  assert.equal(names.size, 4)
})

void test('two guests have two TPMs: a clone of the directory under another key does not open', async (t) => {
  const b = await bench(t)
  const { instance, dir } = await b.start('socket', await b.instances.take())
  await b.instances.stop(instance)
  const clone = join(b.dir, 'clone')
  await cp(dir, clone, { recursive: true })
  const guest = randomUUID()
  const options = { guest, dir: clone, key: randomBytes(32), attachment: 'socket' } as const
  await assert.rejects(b.instances.launch(options), { code: 'guest.state_damaged' })
})

void test('nothing that was acknowledged is lost when swtpm is killed while it writes', async (t) => {
  await killDuringWrites(t, Number(process.env['TOUCHSTONE_KILLS'] ?? '10'))
})

/** Increments a counter as fast as it goes, kills the TPM at a random moment, and compares. */
async function killDuringWrites(t: TestContext, kills: number): Promise<void> {
  const b = await bench(t)
  let tpm = await b.instances.take()
  const guest = randomUUID()
  let acknowledged = 0n
  for (let round = 0; round <= kills; round++) {
    const dir = join(b.dir, 'state', `${guest}-${round}`)
    const { instance, key } = await b.start('socket', tpm, { guest, dir })
    if (round === 0) {
      const counter = 'nt=counter|ownerread|ownerwrite|no_da'
      await b.run(instance, 'tpm2_nvdefine', '0x1500002', '-a', counter)
      await b.run(instance, 'tpm2_nvincrement', '0x1500002', '-C', 'o')
    }
    const socket = createConnection({ path: instance.dataSocket ?? '' })
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    const closed = new Promise<undefined>((resolve) => socket.once('close', () => resolve(undefined)))
    const send = async (hex: string): Promise<Buffer | undefined> => {
      const answer = new Promise<Buffer>((resolve) => socket.once('data', resolve))
      socket.write(Buffer.from(hex, 'hex'))
      return await Promise.race([answer, closed])
    }
    const read = await send('8002000000230000014e4000000101500002000000094000000900000000000008' + '0000')
    const value = read?.readBigUInt64BE(16) ?? 0n
    // One write may have happened whose answer did not arrive.
    assert.ok(value === acknowledged || value === acknowledged + 1n || round === 0, `${value} after ${acknowledged}`)
    acknowledged = value
    if (round === kills) return
    let dead = false
    const killing = delay(Math.random() * 20).then(() => process.kill(instance.pid, 'SIGKILL'))
    while (!dead) {
      const answer = await send(
        '8002000000' + '1f' + '00000134' + '40000001' + '01500002' + '00000009400000090000000000',
      )
      if (answer === undefined) dead = true
      else {
        assert.equal(answer.readUInt32BE(6), 0)
        acknowledged++
      }
    }
    await killing
    assert.equal((await instance.ended).clean, false)
    tpm = await b.instances.extract({ dir, key })
  }
}
