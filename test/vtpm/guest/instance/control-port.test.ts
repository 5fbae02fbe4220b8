import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { bench } from './bench.ts'
import { controlClient, pair, sendWithFile } from './control-client.ts'
import {
  attach,
  GET_CAPABILITY,
  INIT,
  NO_PASSWORD,
  READ_7,
  readPcr7,
  reset,
  SET_DATAFD,
  STARTUP,
  startUp,
  STOP,
  SUCCESS,
  transmit,
  untilDetached,
} from './pretend-machine.ts'

const SHUTDOWN = '00000003'
const SET_LOCALITY = '00000005'
const BAD_ORDINAL = '0000000a'

/** Everything that a hostile guest's side would like to have, with the size of the answer. */
const HOSTILE: readonly (readonly [name: string, hex: string, size: number])[] = [
  ['INIT', INIT, 4],
  ['STOP', STOP, 4],
  ['SHUTDOWN', SHUTDOWN, 4],
  ['GET_STATEBLOB', '0000000c000000010000000100000000', 16],
  ['HASH_START', '00000006', 4],
  ['HASH_END', '00000008', 4],
  ['STORE_VOLATILE', '0000000a', 4],
  ['SET_LOCALITY', `${SET_LOCALITY}04`, 4],
  ['GET_CONFIG', '0000000f', 8],
  ['LOCK_STORAGE', '0000001300000001', 4],
]

void test('a virtual machine gets its data channel, powers its TPM on, and resets it', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('qemu', await b.instances.take())
  const { control, tpm } = await attach(t, b, instance)
  assert.equal(instance.attached, true)
  assert.equal(await transmit(tpm, STARTUP), '80010000000a00000101', 'off before the first reset')
  assert.equal(await reset(control), SUCCESS)
  await startUp(tpm)
  assert.notEqual(await readPcr7(tpm), '00'.repeat(32))
  await b.told(instance)
  assert.deepEqual(b.resets, [instance.guest])
  assert.equal(await reset(control), SUCCESS)
  assert.equal((await transmit(tpm, STARTUP)).slice(12), '00000000')
  assert.equal(await readPcr7(tpm), '00'.repeat(32))
  await b.told(instance)
  assert.equal(b.resets.length, 2)
  await b.told(instance)
  assert.deepEqual(b.refused, [])
})

void test('refuses what is hostile on the connection of a virtual machine itself, and its PCRs stay', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('qemu', await b.instances.take())
  const { control, tpm } = await attach(t, b, instance)
  await reset(control)
  await startUp(tpm)
  const before = await readPcr7(tpm)
  // STOP alone begins a reset and does nothing; SHUTDOWN is answered, and ends nothing but the conversation.
  const refused = HOSTILE.filter(([name]) => name !== 'STOP' && name !== 'SHUTDOWN')
  for (const [name, hex, size] of refused)
    assert.notEqual((await control.send(hex, { size })).slice(0, 8), SUCCESS, name)
  assert.equal(await control.send(STOP), SUCCESS)
  assert.equal(await readPcr7(tpm), before)
  await b.told(instance)
  assert.deepEqual(
    b.refused.map(({ guest, command }) => [guest, command]),
    refused.map(([name]) => [instance.guest, name]),
  )
  await b.told(instance)
  assert.equal(b.resets.length, 1)
})

void test('while a virtual machine is there, nobody else gets a control connection', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('qemu', await b.instances.take())
  const { control, tpm } = await attach(t, b, instance)
  await reset(control)
  await startUp(tpm)
  const other = await controlClient(instance.controlSocket)
  assert.equal(await other.send(GET_CAPABILITY, { size: 8 }), 'closed')
  other.close()
  await b.told(instance)
  assert.deepEqual(b.refused, [{ guest: instance.guest, command: 'connect', reason: 'control.busy' }])
})

void test('before a virtual machine is there, nothing but its data channel is taken', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('qemu', await b.instances.take())
  const stranger = await controlClient(instance.controlSocket)
  for (const [name, hex, size] of HOSTILE)
    assert.notEqual((await stranger.send(hex, { size })).slice(0, 8), SUCCESS, name)
  assert.equal(await stranger.send(SET_DATAFD), '00000003', 'without a descriptor')
  assert.equal(await stranger.send(GET_CAPABILITY, { size: 8 }), 'closed')
  stranger.close()
})

void test('a descriptor that comes with another command is closed, and so is the connection', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('qemu', await b.instances.take())
  const descriptors = async (pid: number | 'self') => (await readdir(`/proc/${pid}/fd`)).length
  const [own, theirs] = [await descriptors('self'), await descriptors(instance.pid)]
  const client = await controlClient(instance.controlSocket)
  const { socket, peer } = await pair(join(b.dir, 'pair'))
  assert.equal(await client.send(GET_CAPABILITY, { size: 8, passing: peer }), 'closed')
  await b.told(instance)
  assert.deepEqual(
    b.refused.map(({ reason }) => reason),
    ['control.malformed'],
  )
  client.close()
  peer.destroy()
  socket.destroy()
  // Until both have closed what came: it would be forever otherwise, and the runner has a limit.
  const isMore = async () => (await descriptors('self')) > own || (await descriptors(instance.pid)) > theirs
  while (await isMore()) await new Promise(setImmediate)
})

void test('a descriptor at which Node aborts ends neither the broker nor the next machine’s chance', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('qemu', await b.instances.take())
  for (const hex of [SET_DATAFD, GET_CAPABILITY]) assert.equal(await sendWithFile(instance.controlSocket, hex), '')
  await b.told(instance)
  assert.deepEqual(
    b.refused.map(({ reason }) => reason),
    ['control.malformed', 'control.malformed'],
  )
  const { control } = await attach(t, b, instance)
  assert.equal(await reset(control), SUCCESS)
})

void test('a virtual machine that left can be followed by another, which finds no PCRs of before', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('qemu', await b.instances.take())
  const first = await attach(t, b, instance)
  await reset(first.control)
  await startUp(first.tpm)
  assert.equal(await first.control.send(SHUTDOWN), SUCCESS)
  assert.equal(await first.control.send(STOP), BAD_ORDINAL, 'nothing comes after its last word')
  await first.end()
  await untilDetached(instance)
  const second = await attach(t, b, instance)
  assert.equal((await transmit(second.tpm, READ_7)).slice(12), '00000101', 'off until it is reset')
  await reset(second.control)
  assert.equal((await transmit(second.tpm, STARTUP)).slice(12), '00000000')
  assert.equal(await readPcr7(second.tpm), '00'.repeat(32))
})

void test('is not stopped under a virtual machine unless forced, and is shut down in order both ways', async (t) => {
  const b = await bench(t)
  const tpm = await b.instances.take()
  const { instance, dir, key } = await b.start('qemu', tpm)
  const machine = await attach(t, b, instance)
  await reset(machine.control)
  await startUp(machine.tpm)
  await assert.rejects(b.instances.stop(instance), { code: 'guest.attached' })
  assert.equal((await transmit(machine.tpm, READ_7)).slice(12, 20), '00000000', 'still running')
  const forced = await b.instances.stop(instance, { force: true })
  assert.equal(forced.clean, true)
  assert.deepEqual((await instance.ended).digest, forced.digest)

  const again = await b.start('qemu', await b.instances.extract({ dir, key }))
  const next = await attach(t, b, again.instance)
  await reset(next.control)
  await startUp(next.tpm)
  // As when QEMU is killed: no SHUTDOWN, both channels end at once.
  await next.end()
  assert.equal((await b.instances.stop(again.instance)).clean, true)
})

void test('three virtual machines that are killed do not lock the guest out of its keys', async (t) => {
  const b = await bench(t)
  const tpm = await b.instances.take()
  const { instance } = await b.start('qemu', tpm)
  for (let round = 0; round < 4; round++) {
    const machine = await attach(t, b, instance)
    await reset(machine.control)
    assert.equal((await transmit(machine.tpm, STARTUP)).slice(12), '00000000')
    // A DA-protected primary, made and used: TPM2_CreatePrimary (ECC, sign, no noDA, password 'pin'), then TPM2_Sign.
    const made = await transmit(machine.tpm, CREATE_PROTECTED)
    assert.equal(made.slice(12, 20), '00000000')
    const sign = signWith(made.slice(20, 28))
    let signed = await transmit(machine.tpm, sign)
    // TPM_RC_RETRY: the TPM notes first that a protected key is used at all since it was started.
    if (signed.slice(12, 20) === '00000922') signed = await transmit(machine.tpm, sign)
    assert.equal(signed.slice(12, 20), '00000000', `round ${round}`)
    await machine.end()
    await untilDetached(instance)
  }
})

const password = (text: string) => {
  const auth = `40000009000000${text.length.toString(16).padStart(4, '0')}${Buffer.from(text).toString('hex')}`
  return `${(auth.length / 2).toString(16).padStart(8, '0')}${auth}`
}
const framed = (tag: string, code: string, body: string) =>
  `${tag}${(10 + body.length / 2).toString(16).padStart(8, '0')}${code}${body}`
const sized = (hex: string) => `${(hex.length / 2).toString(16).padStart(4, '0')}${hex}`

// sensitive: auth 'pin', no data; public: ECC, SHA-256, fixedTPM fixedParent sensitiveDataOrigin userWithAuth sign, P-256, ECDSA.
const CREATE_PROTECTED = framed(
  '8002',
  '00000131',
  [
    '40000001',
    password(''),
    sized(`${sized(Buffer.from('pin').toString('hex'))}0000`),
    sized('0023000b00040072000000100018000b0003001000000000'),
    '0000',
    '00000000',
  ].join(''),
)
const signWith = (handle: string) =>
  framed('8002', '0000015d', `${handle}${password('pin')}${sized('11'.repeat(32))}00108024400000070000`)

void test('the data socket of a guest is swtpm’s own, and its control socket gives locality 0 alone', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('socket', await b.instances.take())
  await b.run(instance, 'tpm2_pcrextend', `7:sha256=${'ab'.repeat(32)}`)
  const before = await b.run(instance, 'tpm2_pcrread', 'sha256:7')
  const hostile = await controlClient(instance.controlSocket)
  for (const [name, hex, size] of HOSTILE)
    assert.notEqual((await hostile.send(hex, { size })).slice(0, 8), SUCCESS, name)
  assert.equal(await hostile.send(`${SET_LOCALITY}00`), SUCCESS)
  hostile.close()
  assert.equal(await b.run(instance, 'tpm2_pcrread', 'sha256:7'), before)
  await b.told(instance)
  assert.deepEqual(
    b.refused.map(({ command }) => command),
    HOSTILE.map(([name]) => name),
  )
  await assert.rejects(b.run(instance, 'tpm2_pcrreset', '17'), 'locality 4 is not to be had')
})

void test('many connections and bytes at random do not stop a control socket from working', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('socket', await b.instances.take())
  const sockets = Array.from({ length: 40 }, () =>
    createConnection({ path: instance.controlSocket }).on('error', () => undefined),
  )
  for (const socket of sockets) socket.write(Buffer.alloc(5_000, 0xff))
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.resume().once('close', resolve))))
  await b.run(instance, 'tpm2_getrandom', '8', '--hex')
  await b.told(instance)
  assert.ok(b.refused.length > 0)
})

void test('the framing of the data channel itself reaches locality 3, and not 4', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('socket', await b.instances.take())
  const raw = createConnection({ path: instance.dataSocket ?? '' })
  // TPM2_SEND_COMMAND of the TCG's simulator protocol: 8, locality, size, command; the answer is framed too.
  const resetPcr = (register: string) => `80020000001b0000013d000000${register}${NO_PASSWORD}`
  const at = async (locality: string, register: string) => {
    const answer = new Promise<Buffer>((resolve) => raw.once('data', resolve))
    raw.write(Buffer.from(`00000008${locality}0000001b${resetPcr(register)}`, 'hex'))
    return (await answer).toString('hex', 10, 14)
  }
  assert.equal(await at('02', '14'), '00000000', 'PCR 20 by locality 2: what guests say of PCR 17 to 22 proves nothing')
  assert.equal(await at('04', '11'), '00000907', 'PCR 17 by locality 4')
  raw.destroy()
})

void test('direct: the virtual machine has the control channel, and its TPM is still shut down in order', async (t) => {
  const b = await bench(t, { control: 'direct' })
  assert.ok(b.instances.findings.some((finding) => finding.startsWith('insecure')))
  const { instance } = await b.start('qemu', await b.instances.take())
  const machine = await attach(t, b, instance)
  assert.equal(await reset(machine.control), SUCCESS)
  await startUp(machine.tpm)
  await assert.rejects(b.instances.stop(instance), { code: 'guest.attached' })
  await machine.end()
  assert.equal((await b.instances.stop(instance)).clean, true)
})
