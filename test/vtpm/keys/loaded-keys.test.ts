import assert from 'node:assert/strict'
import test from 'node:test'
import { storageKeyTemplate } from '../../../src/tpm/index.ts'
import type { LoadedObject } from '../../../src/vtpm/hardware/index.ts'
import { loadedKeys } from '../../../src/vtpm/keys/loaded-keys.ts'

function fixture(capacity: number) {
  const flushed: number[] = []
  const loaded = loadedKeys(capacity, (handle) => {
    flushed.push(handle)
    return Promise.resolve()
  })
  const object = (handle: number): LoadedObject => ({
    handle,
    name: Buffer.alloc(0),
    publicArea: storageKeyTemplate(),
  })
  return { loaded, flushed, object }
}

test('the least recently used key goes first', async () => {
  const { loaded, flushed, object } = fixture(2)
  const [a, b, c] = [{}, {}, {}]
  loaded.add(a, object(1))
  loaded.add(b, object(2))
  assert.equal(loaded.find(a)?.handle, 1)
  await loaded.makeRoom()
  loaded.add(c, object(3))
  assert.deepEqual(flushed, [2])
  assert.equal(loaded.find(b), undefined)
  await loaded.dropAll()
  assert.deepEqual(flushed, [2, 1, 3])
})

test('the only key is in use and stays, unless it is asked to go', async () => {
  const { loaded, flushed, object } = fixture(2)
  const key = {}
  loaded.add(key, object(1))
  assert.equal(await loaded.dropOldest(), false)
  await loaded.drop(key)
  await loaded.drop(key)
  assert.deepEqual(flushed, [1])
})
