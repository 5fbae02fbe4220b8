import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { batchLeaf, ledgerLeaf, linkedEvidence, linkQualifyingData } from '../../src/wire/link.ts'
import { decodeBody, encodeBody, MEDIA } from '../../src/wire/media.ts'
import { merkleTree } from '../../src/wire/merkle.ts'

const guest = '0b9f7c1e-8f53-4f0a-9c57-2f9d6a1b3c4d'
const other = '1b9f7c1e-8f53-4f0a-9c57-2f9d6a1b3c4d'
const ekName = Buffer.concat([Buffer.from('000b', 'hex'), Buffer.alloc(32, 7)])

test('guests that differ in anything have different leaves', () => {
  const leaves = [
    ledgerLeaf({ guest, generation: 1, ekName }),
    ledgerLeaf({ guest: other, generation: 1, ekName }),
    ledgerLeaf({ guest, generation: 2, ekName }),
    ledgerLeaf({ guest, generation: 1, ekName: ekName.subarray(0, 33) }),
  ].map((leaf) => leaf.toString('hex'))
  assert.equal(new Set(leaves).size, leaves.length)
})

test('a batch leaf says who handed the quote in, and where quote ends and signature begins', () => {
  const leaves = [
    batchLeaf({ guest, quote: Buffer.from('ab'), signature: Buffer.from('c') }),
    batchLeaf({ guest, quote: Buffer.from('a'), signature: Buffer.from('bc') }),
    batchLeaf({ guest: other, quote: Buffer.from('ab'), signature: Buffer.from('c') }),
  ].map((leaf) => leaf.toString('hex'))
  assert.equal(new Set(leaves).size, leaves.length)
})

test('no leaf of one tree can be one of the other', () => {
  const ledger = ledgerLeaf({ guest, generation: 1, ekName }).toString('hex')
  const batch = batchLeaf({ guest, quote: Buffer.alloc(8), signature: ekName }).toString('hex')
  assert.notEqual(ledger.slice(0, 60), batch.slice(0, 60))
})

test('the qualifying data is SHA-256 over the label and both roots, in that order', () => {
  const batch = Buffer.alloc(32, 1)
  const ledger = Buffer.alloc(32, 2)
  const expected = createHash('sha256').update('touchstone linked evidence v1').update(batch).update(ledger).digest()
  assert.deepEqual(linkQualifyingData(batch, ledger), expected)
  assert.notDeepEqual(linkQualifyingData(ledger, batch), expected)
})

test('linked evidence survives both media types, and takes no unknown member', () => {
  const tree = merkleTree([Buffer.from('a'), Buffer.from('b')])
  const link = {
    host: '019ae1f0-0000-7000-8000-000000000000',
    hostQuote: Buffer.from('q'),
    hostSignature: Buffer.from('s'),
    ledger: { root: tree.root, guest, generation: 3, ekName, proof: tree.proof(1) },
    batch: { root: tree.root, proof: tree.proof(0) },
  }
  for (const media of [MEDIA.cbor, MEDIA.json]) {
    const read = linkedEvidence.parse(decodeBody(media, encodeBody(media, link)))
    assert.deepEqual(Buffer.from(read.ledger.proof.path[0] ?? []), tree.proof(1).path[0])
    assert.deepEqual(
      { ...read.ledger, proof: undefined, root: undefined, ekName: undefined },
      {
        ...link.ledger,
        proof: undefined,
        root: undefined,
        ekName: undefined,
      },
    )
  }
  assert.ok(!linkedEvidence.safeParse({ ...link, more: 1 }).success)
})
