import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { checkNonce, makeNonce, NONCE_LIFETIME_MS } from '../../src/attest/challenge.ts'

const KEY = createHash('sha256').update('challenge key').digest()
const OLD_KEY = createHash('sha256').update('the key before it').digest()
const NOW = 1_790_000_000_000
const SALT = Buffer.alloc(16, 7)
const SCOPE = {
  purpose: 'attestation',
  nodeId: '0190a0b0-0000-7000-8000-000000000001',
  akName: Buffer.concat([Buffer.from([0, 11]), Buffer.alloc(32, 1)]),
  selection: 'sha256:0,1,2',
}

const nonce = makeNonce(KEY, SCOPE, NOW, SALT)

test('a nonce that comes back at once is good and says when it was issued', () => {
  assert.deepEqual(checkNonce([KEY], nonce, SCOPE, NOW), { ok: true, issuedAt: NOW })
})

test('a nonce is good up to its lifetime and expired from then on', () => {
  assert.equal(checkNonce([KEY], nonce, SCOPE, NOW + NONCE_LIFETIME_MS - 1).ok, true)
  assert.deepEqual(checkNonce([KEY], nonce, SCOPE, NOW + NONCE_LIFETIME_MS), { ok: false, code: 'challenge.expired' })
})

test('a nonce from the future is refused beyond the skew that replicas may have', () => {
  assert.equal(checkNonce([KEY], nonce, SCOPE, NOW - 2_000).ok, true)
  assert.deepEqual(checkNonce([KEY], nonce, SCOPE, NOW - 2_001), { ok: false, code: 'challenge.future' })
})

test('a nonce by the key before the current one is good while both are in force', () => {
  const older = makeNonce(OLD_KEY, SCOPE, NOW, SALT)
  assert.equal(checkNonce([KEY, OLD_KEY], older, SCOPE, NOW).ok, true)
  assert.deepEqual(checkNonce([KEY], older, SCOPE, NOW), { ok: false, code: 'challenge.forged' })
})

const otherScopes = {
  purpose: { ...SCOPE, purpose: 'enrolment' },
  node: { ...SCOPE, nodeId: '0190a0b0-0000-7000-8000-000000000002' },
  'AK Name': { ...SCOPE, akName: Buffer.concat([Buffer.from([0, 11]), Buffer.alloc(32, 2)]) },
  selection: { ...SCOPE, selection: 'sha256:0,1' },
}
for (const [what, scope] of Object.entries(otherScopes)) {
  test(`a nonce for another ${what} is forged`, () => {
    assert.deepEqual(checkNonce([KEY], nonce, scope, NOW), { ok: false, code: 'challenge.forged' })
  })
}

test('fields that run together differently are another scope', () => {
  const scope = { ...SCOPE, purpose: `${SCOPE.purpose}0`, nodeId: SCOPE.nodeId.slice(1) }
  assert.deepEqual(checkNonce([KEY], nonce, scope, NOW), { ok: false, code: 'challenge.forged' })
})

test('a nonce with any bit changed, cut short or extended is forged', () => {
  for (let bit = 0; bit < nonce.byteLength * 8; bit++) {
    const changed = Buffer.from(nonce)
    changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    assert.deepEqual(checkNonce([KEY], changed, SCOPE, NOW), { ok: false, code: 'challenge.forged' }, `bit ${bit}`)
  }
  for (const size of [0, 1, 25, nonce.byteLength - 1]) {
    assert.equal(checkNonce([KEY], nonce.subarray(0, size), SCOPE, NOW).ok, false)
  }
  assert.equal(checkNonce([KEY], Buffer.concat([nonce, Buffer.alloc(1)]), SCOPE, NOW).ok, false)
})

test('an issue time cannot be moved without the key', () => {
  const later = Buffer.from(nonce)
  later.writeBigUInt64BE(BigInt(NOW + NONCE_LIFETIME_MS), 1)
  assert.deepEqual(checkNonce([KEY], later, SCOPE, NOW + NONCE_LIFETIME_MS), { ok: false, code: 'challenge.forged' })
})

test('no nonce is made with a short key or too little randomness', () => {
  assert.throws(() => makeNonce(Buffer.alloc(31), SCOPE, NOW, SALT), RangeError)
  assert.throws(() => makeNonce(KEY, SCOPE, NOW, Buffer.alloc(15)), RangeError)
})
