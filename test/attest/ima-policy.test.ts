import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { imaBasis } from '../../src/attest/ima-basis.ts'
import { readImaKey } from '../../src/attest/ima-keys.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import { reviewPolicies } from '../../src/attest/policy-review.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { imaPolicy, setOf, sha256Of } from './ima-case.ts'

const HEAD = 'apiVersion: touchstone/v1\nkind: AttestationPolicy\nmetadata: { name: p }\n'

function faultsOf(spec: string): string {
  try {
    parsePolicy(`${HEAD}spec:\n${spec}`)
    return ''
  } catch (error) {
    if (isTouchstoneError(error, 'policy.invalid')) return error.message
    throw error
  }
}

const BOOT = '  pcrs: sha256:0-15\n  secureBoot: { enabled: { is: true } }\n'
const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' })

for (const [what, ima, expected] of [
  ['a list of nothing', '{ allow: {} }', 'spec.ima.allow: needs anyOf or references'],
  [
    'a digest without its algorithm',
    `{ allow: { anyOf: [${'ab'.repeat(32)}] } }`,
    'spec.ima.allow.anyOf[0]: expected a digest with its algorithm',
  ],
  ['a digest of another length', '{ allow: { anyOf: ["sha256:abcd"] } }', 'spec.ima.allow.anyOf[0]: expected a digest'],
  [
    'signatures that must be there, by nobody',
    '{ requireSigned: ["/**"] }',
    'spec.ima.requireSigned: requireSigned needs keys',
  ],
  ['exclusions from nothing', '{ excludes: ["/**"] }', 'spec.ima.excludes: excludes needs allow or keys'],
  ['a text that is no key', '{ keys: [{ name: k, publicKey: x }] }', 'spec.ima.keys[0].publicKey: expected a PEM'],
  [
    'a key that is too weak',
    `{ keys: [{ name: k, publicKey: ${JSON.stringify(weak)} }] }`,
    'spec.ima.keys[0].publicKey: expected an RSA key of 2048',
  ],
  [
    'a glob that is too long',
    `{ excludes: ["${'a'.repeat(257)}"], allow: { references: [x] } }`,
    'spec.ima.excludes[0]: expected at most 256',
  ],
  [
    'a rule over a buffer that asks for nothing',
    '{ buffers: [{ name: .ima }] }',
    'spec.ima.buffers[0]: needs anyOf, references or required',
  ],
  [
    'devices of which nothing is asked',
    '{ deviceMapper: {} }',
    'spec.ima.deviceMapper: needs rootHashes, targets or required',
  ],
  [
    'a value that is not of the claim',
    '{ allow: { references: [x], sets: unsafe_config } }',
    'spec.ima.allow.sets: that is a value of configuration',
  ],
  ['a field that there is not', '{ alow: 1 }', 'spec.ima.alow: unknown field'],
] as const) {
  test(`refuses ${what}, and says where`, () => {
    const said = faultsOf(`${BOOT}  ima: ${ima}\n`)
    assert.match(said, /^7:\d+ /)
    assert.ok(said.includes(expected), said)
  })
}

test('refuses to judge a log whose register is not asked for', () => {
  const said = faultsOf('  pcrs: sha256:0-7\n  secureBoot: { enabled: { is: true } }\n  ima: { violations: deny }\n')
  assert.match(said, /spec\.ima: IMA needs PCR 10/)
})

test('a set that a rule over IMA names is named: a missing one is a fault, and one that only it names is used', () => {
  const policy = `${HEAD}spec:\n${BOOT}  ima: { allow: { references: [os] }, buffers: [{ name: .ima, references: [gone] }] }\n`
  const findings = reviewPolicies([{ file: 'p', text: `${policy}${setOf('os', [[sha256Of('a')]])}` }])
  assert.deepEqual(
    findings.map(({ severity, path }) => [severity, path]),
    [['error', 'spec.ima.buffers[0].references[0]']],
  )
})

test('a key is known by the end of its subject key identifier, unless the policy gives another', () => {
  const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' })
  const key = readImaKey({ name: 'k', publicKey: String(pem) })
  const named = readImaKey({ name: 'k', publicKey: String(pem), keyId: '01020304' })
  assert.ok(typeof key === 'object' && typeof named === 'object')
  assert.match(key.keyIds[0] ?? '', /^[0-9a-f]{8}$/)
  assert.deepEqual(named.keyIds, ['01020304'])
})

test('what entries are judged by changes when a moment of a reference comes, and not before', () => {
  const entry = `---\napiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: os }\nspec:\n  entries:\n    - { value: "${sha256Of('a')}", validUntil: 2026-01-01T00:00:00Z }\n`
  const policy = imaPolicy('allow: { references: [os] }', entry)
  const at = (now: string) => imaBasis({ policy, now: Date.parse(now), node: { labels: {} } })
  assert.equal(at('2025-01-01T00:00:00Z'), at('2025-12-31T00:00:00Z'))
  assert.notEqual(at('2025-12-31T00:00:00Z'), at('2026-01-02T00:00:00Z'))
})
