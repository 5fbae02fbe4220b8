import assert from 'node:assert/strict'
import test from 'node:test'
import { encode } from '../../../src/codec/index.ts'
import { storageKeyTemplate, TPM2B_PUBLIC } from '../../../src/tpm/index.ts'
import { fileCodec, MAX_FILE } from '../../../src/vtpm/keys/key-file.ts'
import type { KeyRecord } from '../../../src/vtpm/keys/records.ts'
import { hasCode } from './has-code.ts'

const KEY = Buffer.alloc(32, 1)
const publicArea = storageKeyTemplate()

const record: KeyRecord = {
  name: 'k',
  kind: 'secret',
  uses: ['unseal'],
  created: 1_700_000_000_000,
  next: 3,
  versions: [
    {
      version: 2,
      created: 1_700_000_000_001,
      blob: { public: encode(TPM2B_PUBLIC, publicArea), private: Buffer.alloc(100, 2) },
      publicArea,
      sealed: { iv: Buffer.alloc(12, 3), tag: Buffer.alloc(16, 4), ciphertext: Buffer.alloc(40, 5) },
      pcrs: 'sha256:7',
    },
  ],
}

test('a key that was written reads back the same', () => {
  const codec = fileCodec('shop', KEY)
  assert.deepEqual(codec.decodeKey('k', codec.encodeKey(record)), record)
})

test('no bit of a file can be flipped, and none can be left out or added', () => {
  const codec = fileCodec('shop', KEY)
  const file = codec.encodeKey(record)
  for (let bit = 0; bit < file.byteLength * 8; bit += 1) {
    const changed = Buffer.from(file)
    changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    assert.throws(() => codec.decodeKey('k', changed), hasCode('key.damaged'))
  }
  for (let size = 0; size < file.byteLength; size += 1) {
    assert.throws(() => codec.decodeKey('k', file.subarray(0, size)), hasCode('key.damaged'))
  }
  assert.throws(() => codec.decodeKey('k', Buffer.concat([file, Buffer.of(0x20)])), hasCode('key.damaged'))
  assert.throws(() => codec.decodeKey('k', Buffer.alloc(MAX_FILE + 1)), hasCode('key.damaged'))
})

test('a genuine file under another name, tenant or node secret is refused', () => {
  const codec = fileCodec('shop', KEY)
  const file = codec.encodeKey(record)
  assert.throws(() => codec.decodeKey('l', file), hasCode('key.misplaced'))
  assert.throws(() => fileCodec('mail', KEY).decodeKey('k', file), hasCode('key.misplaced'))
  assert.throws(() => fileCodec('shop', Buffer.alloc(32, 9)).decodeKey('k', file), hasCode('key.damaged'))
})

test("the parent's file is no key's file, and the other way round", () => {
  const codec = fileCodec('shop', KEY)
  const parent = { public: encode(TPM2B_PUBLIC, publicArea), private: Buffer.from('0002aabb', 'hex') }
  assert.deepEqual(codec.decodeParent(codec.encodeParent(parent)), parent)
  assert.throws(() => codec.decodeKey('k', codec.encodeParent(parent)), hasCode('key.damaged'))
  assert.throws(() => codec.decodeParent(codec.encodeKey(record)), hasCode('key.damaged'))
  assert.throws(() => fileCodec('mail', KEY).decodeParent(codec.encodeParent(parent)), hasCode('key.misplaced'))
})
