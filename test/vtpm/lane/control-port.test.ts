import assert from 'node:assert/strict'
import test from 'node:test'
import { response } from '../../device/fake-tpm.ts'
import { openEdge, rawClient } from './edge.ts'

const ready = () => Promise.resolve(response(0))

test('tools learn what there is: locality and cancel', async (t) => {
  const edge = await openEdge(t, ready)
  const client = await rawClient(t, `${edge.path}.ctrl`)
  client.socket.write(Buffer.from('00000001', 'hex'))
  assert.equal((await client.read(8)).toString('hex'), '0000000000000028')
})

test('locality 0 is granted, every other one refused, written down, and the end', async (t) => {
  const edge = await openEdge(t, ready)
  for (const [locality, result] of [
    ['00', '00000000'],
    ['03', '0000003d'],
    ['ff', '0000003d'],
    ['00', '00000000'],
  ] as const) {
    const client = await rawClient(t, `${edge.path}.ctrl`)
    client.socket.write(Buffer.from(`00000005${locality}`.repeat(2), 'hex'))
    assert.equal((await client.read(4)).toString('hex'), result)
    assert.equal((await client.read(4)).toString('hex'), locality === '00' ? result : '')
  }
  assert.deepEqual(
    edge.state.audited.map(({ tenant, outcome, reason, rc }) => [tenant, outcome, reason, rc]),
    [
      ['app', 'refused', 'vtpm.control_denied', 0x3d],
      ['app', 'refused', 'vtpm.control_denied', 0x3d],
    ],
  )
})

test('cancel is passed on', async (t) => {
  const edge = await openEdge(t, ready)
  const client = await rawClient(t, `${edge.path}.ctrl`)
  client.socket.write(Buffer.from('00000009', 'hex'))
  assert.equal((await client.read(4)).toString('hex'), '00000000')
  assert.equal(edge.state.cancels, 1)
})

/** tpm_ioctl.h: all that swtpm has beyond the three above, and what nobody has. */
const DENIED = {
  CMD_INIT: '0000000200000001',
  CMD_SHUTDOWN: '00000003',
  CMD_GET_TPMESTABLISHED: '00000004',
  CMD_HASH_START: '00000006',
  CMD_HASH_DATA: '0000000700000001aa',
  CMD_HASH_END: '00000008',
  CMD_STORE_VOLATILE: '0000000a',
  CMD_RESET_TPMESTABLISHED: '0000000b00',
  CMD_GET_STATEBLOB: '0000000c000000010000000100000000',
  CMD_SET_STATEBLOB: '0000000d0000000100000001000000000000',
  CMD_STOP: '0000000e',
  CMD_GET_CONFIG: '0000000f',
  CMD_SET_DATAFD: '00000010',
  CMD_SET_BUFFERSIZE: '0000001100001000',
  CMD_GET_INFO: '000000120000000000000000',
  CMD_LOCK_STORAGE: '0000001300000001',
  unknown: 'ffffffff',
  zero: '00000000',
} as const

for (const [name, bytes] of Object.entries(DENIED)) {
  test(`${name} is refused, written down, and ends the connection`, async (t) => {
    const edge = await openEdge(t, ready)
    const client = await rawClient(t, `${edge.path}.ctrl`)
    client.socket.write(Buffer.from(`${bytes}00000009`, 'hex'))
    assert.equal((await client.read(4)).toString('hex'), '0000000a')
    client.socket.resume()
    await client.ended
    assert.equal(edge.state.cancels, 0)
    assert.deepEqual(
      edge.state.audited.map(({ code, reason }) => [code, reason]),
      [[Number.parseInt(bytes.slice(0, 8), 16), 'vtpm.control_denied']],
    )
  })
}

test('requests may come in pieces or several at once, and a flood that nobody reads ends', async (t) => {
  const edge = await openEdge(t, ready)
  const client = await rawClient(t, `${edge.path}.ctrl`)
  client.socket.write(Buffer.from('0000000500000000', 'hex'))
  assert.equal((await client.read(4)).toString('hex'), '00000000')
  client.socket.write(Buffer.from('09', 'hex'))
  assert.equal((await client.read(4)).toString('hex'), '00000000')
  const flood = await rawClient(t, `${edge.path}.ctrl`)
  flood.socket.pause()
  const requests = Buffer.concat(Array.from({ length: 200_000 }, () => Buffer.from('00000001', 'hex')))
  flood.socket.write(requests)
  await flood.ended
})

test('a control connection that says nothing is closed', async (t) => {
  const edge = await openEdge(t, ready, { controlIdleMs: 20 })
  const client = await rawClient(t, `${edge.path}.ctrl`)
  client.socket.resume()
  await client.ended
})
