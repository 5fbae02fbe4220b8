import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError } from '../../src/core/index.ts'
import { parseServerConfig } from '../../src/server/config.ts'

const read = (text: string) => parseServerConfig(text, '/etc/touchstone/verifier.yaml')

test('what is not said has a default, and paths are relative to the file', () => {
  const config = read('dataDir: data\nmanifest: boxes.yaml\npolicies: policies/')
  assert.deepEqual(config.listen, { host: '127.0.0.1', port: 8443 })
  assert.equal(config.dataDir, '/etc/touchstone/data')
  assert.equal(config.manifest, '/etc/touchstone/boxes.yaml')
  assert.equal(config.passphraseFile, '/etc/touchstone/data/ca/passphrase')
  assert.deepEqual(config.policies, { path: '/etc/touchstone/policies' })
  assert.equal(config.admission, 'manifest')
  assert.equal(config.reEnrolment, 'refuse')
  assert.equal(config.resultLifetime, 900)
  assert.equal(config.limits.pendingSessions, 10_000)
  assert.ok(Object.isFrozen(config))
})

test('every key is read', () => {
  const config = read(`
listen: '[::1]:0'
dataDir: /data
tls: { certificate: a.pem, key: b.pem }
tlsNames: [verifier.example, 192.0.2.1]
ekRoots: roots/
ekCertificates: { expired: fail, allowSha1: true }
admission: vendor-ek
policies: { path: p, enrolment: first, attestation: other }
reEnrolment: approve
interval: 7
resultLifetime: 1200
certificateLifetime: 3600
guestCertificateLifetime: 7200
releaseKey: release.pem
resultProfile: veraison-2023
issuer: https://verifier.example
passphraseFile: secret
limits: { pendingSessions: 3 }
logLevel: debug
`)
  assert.deepEqual(config.listen, { host: '::1', port: 0 })
  assert.deepEqual(config.ekRoots, ['/etc/touchstone/roots'])
  assert.deepEqual(config.tls, { certificate: '/etc/touchstone/a.pem', key: '/etc/touchstone/b.pem' })
  assert.deepEqual(config.ekCertificates, { expired: 'fail', allowSha1: true })
  assert.equal(config.interval, 7)
  assert.equal(config.guestCertificateLifetime, 7200)
  assert.equal(config.releaseKey, '/etc/touchstone/release.pem')
  assert.equal(config.limits.pendingSessions, 3)
  assert.equal(config.limits.pendingNodes, 10_000)
})

test('every fault is reported at once, by its key', () => {
  assert.throws(
    () => read('listen: here\nadmission: anybody\ninterval: 0x10\nlimits: { pendingSessions: -1, more: 1 }\nfoo: bar'),
    (error) => {
      assert.ok(isTouchstoneError(error, 'config.invalid'))
      for (const part of [
        'dataDir: is needed',
        'listen: expected host:port',
        'admission: expected manifest',
        'interval: expected a whole number',
        'limits.pendingSessions: expected a whole number',
        'limits.more: unknown key',
        'foo: unknown key',
      ]) {
        assert.ok(error.message.includes(part), `${part} in ${error.message}`)
      }
      return true
    },
  )
})

for (const [what, text, message] of [
  ['admission by manifest without a manifest', 'dataDir: d', /manifest: admission by manifest needs one/],
  ['admission by vendor without roots', 'dataDir: d\nadmission: vendor-ek', /ekRoots: .* needs the roots/],
  ['an alias', 'dataDir: &a d\nmanifest: *a', /alias/i],
  ['a key that occurs twice', 'dataDir: a\ndataDir: b', /unique/],
  ['a port beyond 65535', 'dataDir: d\nmanifest: m\nlisten: 127.0.0.1:65536', /listen: expected host:port/],
  ['nothing', '', /document/],
] as const) {
  test(`refuses ${what}`, () => {
    assert.throws(
      () => read(text),
      (error) => isTouchstoneError(error, 'config.invalid') && message.test(error.message),
    )
  })
}
