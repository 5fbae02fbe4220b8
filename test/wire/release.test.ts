import assert from 'node:assert/strict'
import test from 'node:test'
import { release } from '../../src/wire/release.ts'

const good = {
  format: 'touchstone/release/v1',
  nodeRef: 'ab'.repeat(32),
  release: 7,
  pcrs: 'sha256:0,2,4,7',
  pcrDigest: 'cd'.repeat(32),
  counter: `000b${'ef'.repeat(32)}`,
  policy: '01'.repeat(32),
  publicKey: Buffer.alloc(91, 1).toString('base64url'),
  signature: Buffer.alloc(64, 2).toString('base64url'),
}

test('a release is text throughout', () => {
  assert.deepEqual(release.parse(good), good)
  assert.deepEqual(release.parse({ ...good, description: 'EVE 13.4' }).description, 'EVE 13.4')
})

const refused: readonly (readonly [string, object])[] = [
  ['an unknown member', { more: 1 }],
  ['another format', { format: 'touchstone/release/v2' }],
  ['upper-case hex', { nodeRef: 'AB'.repeat(32) }],
  ['a short digest', { pcrDigest: 'cd'.repeat(31) }],
  ['a counter that is no Name', { counter: 'ef'.repeat(32) }],
  ['release 0', { release: 0 }],
  ['a fraction', { release: 1.5 }],
  ['a number that a double cannot tell from its neighbour', { release: 2 ** 53 }],
  ['a number as text', { release: '7' }],
  ['padded base64url', { signature: `${good.signature}==` }],
  ['a signature in DER', { signature: Buffer.alloc(70, 2).toString('base64url') }],
  ['a long description', { description: 'x'.repeat(201) }],
]
for (const [what, change] of refused) {
  test(`refuses a release with ${what}`, () => {
    assert.equal(release.safeParse({ ...good, ...change }).success, false)
  })
}
