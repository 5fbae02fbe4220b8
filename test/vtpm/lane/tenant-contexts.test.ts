import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { claimNumberOf, savedHandleOf, sessionClaim, tenantContexts } from '../../../src/vtpm/lane/tenant-contexts.ts'

const contexts = tenantContexts(Buffer.alloc(32, 1))

/** TPMS_CONTEXT with this blob. */
function contextOf(blob: Uint8Array): Buffer {
  const context = Buffer.concat([Buffer.alloc(18), blob])
  context.writeUInt32BE(0x80000000, 8)
  context.writeUInt16BE(blob.length, 16)
  return context
}

test('a context opens for the tenant that it was sealed for, and for no other', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (blob) => {
      const sealed = contexts.seal('app one', contextOf(blob))
      assert.deepEqual(contexts.open('app one', sealed), contextOf(blob))
      assert.equal(contexts.open('app two', sealed), undefined)
      assert.equal(tenantContexts(Buffer.alloc(32, 2)).open('app one', sealed), undefined)
    }),
  )
})

test('a sealed context is a TPMS_CONTEXT itself, for software that stores it by its fields', () => {
  const sealed = contexts.seal('a', contextOf(Buffer.from('blob')))
  assert.equal(sealed.readUInt16BE(16), sealed.byteLength - 18)
  assert.equal(savedHandleOf(sealed), 0x80000000)
})

test('a context with any bit changed does not open', () => {
  const sealed = contexts.seal('a', contextOf(Buffer.from('blob')))
  for (let bit = 0; bit < sealed.byteLength * 8; bit++) {
    const changed = Buffer.from(sealed)
    changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    assert.equal(contexts.open('a', changed), undefined)
  }
})

test('a context that is cut anywhere does not open', () => {
  const sealed = contexts.seal('a', contextOf(Buffer.from('blob')))
  for (let length = 0; length < sealed.byteLength; length++) {
    assert.equal(contexts.open('a', sealed.subarray(0, length)), undefined)
  }
})

test('a claim to a session says which one, and which of its savings', () => {
  const claim = sessionClaim(0x03000005, 2 ** 40 + 7)
  assert.deepEqual([savedHandleOf(claim), claimNumberOf(claim)], [0x03000005, 2 ** 40 + 7])
})
