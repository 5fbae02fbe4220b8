import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { TouchstoneError } from '../../../src/core/index.ts'
import type { EkCertificateRequest } from '../../../src/vtpm/guest/context.ts'
import { certificateFor } from './ek-certificate.ts'
import { A, B, booted, creation } from './guest-cases.ts'
import { machine } from './machine.ts'

test('a guest is created stopped, and each power-on is a generation', async (t) => {
  const node = await machine(t)
  const guests = await booted(node)
  const created = await guests.create({ ...creation, guest: A })
  assert.equal(created.state, 'stopped')
  assert.equal(created.generation, 0)
  assert.equal(created.certificate, 'pending')
  assert.deepEqual(guests.leaves(), [])
  const started = await guests.start(A)
  assert.equal(started.state, 'running')
  assert.equal(started.generation, 1)
  assert.ok(started.clean)
  assert.equal(started.running?.data, join(node.stateDir, 'tpm'))
  assert.deepEqual(
    guests.leaves().map(({ guest, generation }) => ({ guest, generation })),
    [{ guest: A, generation: 1 }],
  )
  assert.ok(await node.write(A))
  const stopped = await guests.stop(A)
  assert.equal(stopped.state, 'stopped')
  assert.ok(stopped.clean)
  assert.equal((await guests.start(A)).generation, 2)
  assert.equal(node.value(A), 1)
  assert.deepEqual(
    (await guests.list()).map(({ guest, state }) => [guest, state]),
    [[A, 'running']],
  )
})

test('an id is minted where none is given, and only a UUID in lower case is one', async (t) => {
  const guests = await booted(await machine(t))
  const { guest } = await guests.create(creation)
  assert.match(guest, /^[0-9a-f-]{36}$/)
  await assert.rejects(guests.create({ ...creation, guest: A.toUpperCase() }), { code: 'guest.id' })
  await assert.rejects(guests.start('../../etc'), { code: 'guest.id' })
})

test('what cannot be done now is refused with a code, and changes nothing', async (t) => {
  const guests = await booted(await machine(t))
  await assert.rejects(guests.start(A), { code: 'guest.unknown' })
  await assert.rejects(guests.describe(A), { code: 'guest.unknown' })
  await guests.create({ ...creation, guest: A })
  await assert.rejects(guests.create({ ...creation, guest: A }), { code: 'guest.exists' })
  await assert.rejects(guests.stop(A), { code: 'guest.not_running' })
  await guests.start(A)
  await assert.rejects(guests.start(A), { code: 'guest.running' })
  await assert.rejects(guests.rekey(A), { code: 'guest.running' })
  await assert.rejects(guests.delete(A), { code: 'guest.running' })
  assert.equal((await guests.describe(A)).generation, 1)
})

test('actions on one guest wait for each other', async (t) => {
  const node = await machine(t)
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  const results = await Promise.allSettled([guests.start(A), guests.start(A), guests.stop(A), guests.start(A)])
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
  )
  assert.equal(node.running, 1)
})

test('running guests outlive their broker, and the next one takes them over', async (t) => {
  const node = await machine(t)
  const first = await booted(node)
  await first.create({ ...creation, guest: A })
  await first.create({ ...creation, guest: B })
  await first.start(A)
  await node.write(A)
  const second = await booted(node)
  assert.deepEqual(
    (await second.list()).map(({ guest, state, generation }) => [guest, state, generation]),
    [
      [A, 'running', 1],
      [B, 'stopped', 0],
    ],
  )
  await node.write(A)
  const { clean } = await second.stop(A)
  assert.ok(clean)
  await second.start(A)
  assert.equal(node.value(A), 2)
})

test('a TPM that dies under its guest stays off, its last state is anchored, and the end is reported as unclean', async (t) => {
  const node = await machine(t)
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  await guests.start(A)
  await node.write(A)
  await node.kill(A)
  const dead = await guests.describe(A)
  assert.deepEqual([dead.state, dead.clean, dead.problem?.code], ['stopped', false, 'guest.died'])
  assert.ok(dead.digest !== undefined, 'nothing else starts next')
  assert.equal(node.running, 0)
  const again = await guests.start(A)
  assert.deepEqual([again.clean, again.problem], [false, undefined])
  assert.equal(node.value(A), 1)
})

test('after a power cut a guest starts with what it had, and says that the end was unclean', async (t) => {
  const node = await machine(t)
  const first = await booted(node)
  await first.create({ ...creation, guest: A })
  await first.start(A)
  await node.write(A)
  await node.powerOff()
  const guests = await booted(node)
  const found = await guests.describe(A)
  assert.deepEqual([found.state, found.clean], ['stopped', false])
  assert.deepEqual(guests.leaves(), [])
  assert.equal((await guests.start(A)).clean, false)
  assert.equal(node.value(A), 1)
})

test('a deleted guest is retired for good, its keys are gone, and its state lies in quarantine', async (t) => {
  const node = await machine(t)
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  await guests.start(A)
  await guests.stop(A)
  const deleted = await guests.delete(A)
  assert.equal(deleted.state, 'retired')
  await assert.rejects(guests.start(A), { code: 'guest.retired' })
  await assert.rejects(guests.create({ ...creation, guest: A }), { code: 'guest.retired' })
  assert.deepEqual(await guests.list(), [])
  assert.equal((await guests.list({ all: true })).length, 1)
  const left = await readdir(node.stateDir, { recursive: true })
  assert.ok(left.some((name) => name.startsWith(`quarantine/${A}/gen-1`)))
  assert.deepEqual(
    left.filter((name) => name.endsWith('key.json')),
    [],
  )
  await guests.delete(A, { purge: true })
  assert.ok(!(await readdir(node.stateDir, { recursive: true })).some((name) => name.includes(A)))
  assert.equal((await (await booted(node)).describe(A)).state, 'retired')
})

test('rekeying gives a guest another key, and nothing of the old one stays', async (t) => {
  const node = await machine(t)
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  await guests.start(A)
  await node.write(A)
  await guests.stop(A)
  const rekeyed = await guests.rekey(A)
  assert.deepEqual([rekeyed.generation, rekeyed.restorable], [2, []])
  await guests.start(A)
  assert.equal(node.value(A), 1)
})

/** A verifier that cannot be reached, then answers, and what was asked of it. */
function verifier() {
  const state = { asked: [] as EkCertificateRequest[], answer: 'pending' as 'pending' | 'wrong' | 'right' }
  return {
    ...state,
    obtainEkCertificate: async (request: EkCertificateRequest) => {
      state.asked.push(request)
      if (state.answer === 'pending') throw new TouchstoneError('broker.agent', 'nobody listens')
      return await certificateFor(state.answer === 'wrong' ? undefined : request.ekPublic)
    },
    answers: (next: typeof state.answer) => void (state.answer = next),
  }
}

test('a certificate that comes later is written while the guest runs, and is that of the EK in the ledger', async (t) => {
  const { asked, obtainEkCertificate, answers } = verifier()
  const written: Buffer[] = []
  const node = await machine(t, { obtainEkCertificate, onCertificate: (_, der) => void written.push(der) })
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  await guests.completeCertificates()
  const [first] = asked
  assert.deepEqual([first?.guest, first?.tenant, first?.generation], [A, 'lab', 1])
  const before = asked.length
  const started = await guests.start(A)
  assert.deepEqual([started.certificate, started.problem?.code], ['pending', 'broker.agent'])
  assert.equal(asked.length, before + 1, 'each start asks')
  answers('wrong')
  await guests.completeCertificates()
  assert.deepEqual(
    [(await guests.describe(A)).certificate, (await guests.describe(A)).problem?.code, written.length],
    ['pending', 'guest.certificate_wrong', 0],
  )
  answers('right')
  await guests.completeCertificates()
  const obtained = await guests.describe(A)
  assert.deepEqual([obtained.certificate, obtained.problem, obtained.state], ['written', undefined, 'running'])
  assert.match(obtained.ekCertificate ?? '', /^-----BEGIN CERTIFICATE-----/)
  assert.equal(written.length, 1)
  await guests.stop(A)
  assert.equal((await guests.start(A)).certificate, 'written')
  const all = asked.length
  await guests.completeCertificates()
  assert.deepEqual([asked.length, written.length], [all, 1], 'it is neither asked for nor written again')
})

test("a virtual machine's TPM is left alone while it runs, and has the certificate at its next start", async (t) => {
  const { obtainEkCertificate, answers } = verifier()
  const written: Buffer[] = []
  const node = await machine(t, { obtainEkCertificate, onCertificate: (_, der) => void written.push(der) })
  const guests = await booted(node)
  await guests.create({ ...creation, attachment: 'qemu', guest: A })
  assert.equal((await guests.start(A)).certificate, 'pending')
  answers('right')
  await guests.completeCertificates()
  assert.deepEqual([(await guests.describe(A)).certificate, written.length], ['obtained', 0])
  await guests.stop(A)
  assert.equal((await guests.start(A)).certificate, 'written')
  assert.equal(written.length, 1)
})

test('a TPM that somebody keeps to himself gets its certificate when he lets it go, or at the next start', async (t) => {
  const { obtainEkCertificate, answers } = verifier()
  let isBusy = true
  let tried = 0
  const onCertificate = () => {
    tried += 1
    if (isBusy) throw new TouchstoneError('guest.busy')
  }
  const node = await machine(t, { obtainEkCertificate, onCertificate })
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  await guests.start(A)
  answers('right')
  await guests.completeCertificates()
  assert.deepEqual([(await guests.describe(A)).certificate, tried], ['obtained', 1])
  isBusy = false
  await guests.completeCertificates()
  assert.deepEqual([(await guests.describe(A)).certificate, tried], ['written', 2])
})

test('a start does not wait for long for a certificate that it can do without, and takes a late answer', async (t) => {
  const answer = Promise.withResolvers<Buffer>()
  let ekPublic: Buffer = Buffer.alloc(0)
  const node = await machine(t, {
    certificateWaitMs: 1,
    async obtainEkCertificate(request) {
      ekPublic = request.ekPublic
      return await answer.promise
    },
  })
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  assert.equal((await guests.start(A)).certificate, 'pending')
  answer.resolve(await certificateFor(ekPublic))
  await guests.completeCertificates()
  assert.equal((await guests.describe(A)).certificate, 'written')
})

test('a guest that must have its certificate first waits for it', async (t) => {
  let isPlaced = false
  const node = await machine(t, {
    obtainEkCertificate: ({ ekPublic }) => (isPlaced ? certificateFor(ekPublic) : Promise.resolve('pending')),
  })
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A, certificate: 'required' })
  await assert.rejects(guests.start(A), { code: 'guest.certificate_pending' })
  assert.equal((await guests.describe(A)).generation, 0)
  isPlaced = true
  assert.equal((await guests.start(A)).certificate, 'written')
})

test('the node tells what others need to send guests to it', async (t) => {
  const node = await machine(t)
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  await guests.start(A)
  const { nodeRef, transportKey, guests: count, running, findings } = guests.node()
  assert.deepEqual([nodeRef, count, running], [node.nodeRef.toString('hex'), 1, 1])
  assert.ok(transportKey.equals(node.transportSpki))
  assert.match(findings.join(), /no recovery key/)
})
