import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError } from '../../../src/core/index.ts'
import { parseBrokerConfig } from '../../../src/vtpm/broker/config.ts'

const read = (text: string) => parseBrokerConfig(text, '/etc/touchstone/broker.yaml')

test('what is not said has a default, and paths are relative to the file', () => {
  const config = read('stateDir: state\ntenants: [{ name: web }]')
  assert.equal(config.tpm, 'device:/dev/tpm0')
  assert.equal(config.stateDir, '/etc/touchstone/state')
  assert.equal(config.runDir, '/run/touchstone')
  assert.equal(config.guests.pool, 2)
  assert.equal(config.guests.control, 'filtered')
  const [web] = config.tenants
  assert.deepEqual(web?.serve, ['tpm', 'keys'])
  assert.equal(web.lane.class, 'app')
  assert.equal(web.lane.priority, 'apps')
  assert.equal(web.lane.quota.nvBytes, 0)
  assert.equal(web.lane.idleTimeoutMs, 300_000)
  assert.ok(Object.isFrozen(config))
})

test('the agent of the node comes before apps', () => {
  const [agent] = read('tenants: [{ name: node, class: agent, serve: [tpm] }]').tenants
  assert.equal(agent?.lane.priority, 'attestation')
})

test('every key of a tenant is read', () => {
  const [one] = read(`
tenants:
  - name: one
    uid: 1001
    serve: [keys]
    quota: { objects: 3, sessions: 2, nvBytes: 512, keys: 5, commandsPerSecond: 10, burst: 20, nvWritesPerHour: 9 }
    nv: 0x01810000-0x0181000f
    persistent: 0x81020000-0x8102000f
    idle: 60
`).tenants
  assert.equal(one?.uid, 1001)
  assert.equal(one.keys, 5)
  assert.deepEqual(one.lane.nvRange, [0x0181_0000, 0x0181_000f])
  assert.deepEqual(one.lane.persistentRange, [0x8102_0000, 0x8102_000f])
  assert.deepEqual(one.lane.quota, {
    ...{ objects: 3, sessions: 2, nvBytes: 512, commandsPerSecond: 10, burst: 20 },
    nvWritesPerHour: 9,
  })
})

test('every fault is reported at once, by its key', () => {
  assert.throws(
    () =>
      read(`
tpm: tcp:here
tenants:
  - { name: UP, class: broker, nv: 0x01810000-0x0180ffff, more: 1 }
guests: { pool: many, control: open }
verifier: http://plain.example
foo: bar`),
    (error) => {
      assert.ok(isTouchstoneError(error, 'broker.config'))
      for (const part of [
        'tpm: expected a device',
        'tenants.0.name: expected 1 to 32',
        'tenants.0.class: expected agent, app',
        'tenants.0.nv: expected a range of NV indices',
        'tenants.0.more: unknown key',
        'guests.pool: expected a whole number',
        'guests.control: expected filtered, direct',
        'verifier: expected an https URL',
        'foo: unknown key',
      ]) {
        assert.ok(error.message.includes(part), `${part} in ${error.message}`)
      }
      return true
    },
  )
})

const REFUSED = [
  ['a tenant that occurs twice', 'tenants: [{ name: a }, { name: a }]', 'occurs twice'],
  [
    'NV ranges that overlap',
    'tenants: [{ name: a, nv: 0x01810000-0x01810010 }, { name: b, nv: 0x01810010-0x01810020 }]',
    'tenants.1.nv: overlaps that of a',
  ],
  ['a run directory too long for sockets', `runDir: /${'r'.repeat(60)}`, 'runDir: longer than'],
  ['an alias', 'tpm: &a x\nstateDir: *a', 'lias'],
] as const
for (const [what, text, message] of REFUSED) {
  test(`refuses ${what}`, () => {
    assert.throws(
      () => read(text),
      (error) => isTouchstoneError(error, 'broker.config') && error.message.includes(message),
    )
  })
}
