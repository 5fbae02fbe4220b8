import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import test from 'node:test'
import { TouchstoneError } from '../../../src/core/index.ts'
import { openLinker, type LedgerRow, type LinkerOptions } from '../../../src/vtpm/link/linker.ts'
import { batchLeaf, isInTree, ledgerLeaf, linkQualifyingData } from '../../../src/wire/index.ts'

const ekName = () => Buffer.concat([Buffer.from('000b', 'hex'), randomBytes(32)])
const guestId = (index: number) => `33333333-0000-4000-8000-${String(index).padStart(12, '0')}`
const request = (text: string) => ({ quote: Buffer.from(text), signature: Buffer.from(`${text} signed`) })

/** A linker over a hardware TPM that only counts, with a clock that stands still. */
function testLinker(count: number, options: Partial<LinkerOptions> = {}) {
  const rows: LedgerRow[] = Array.from({ length: count }, (_, index) => ({
    guest: guestId(index),
    generation: index + 1,
    ekName: ekName(),
    state: 'running',
  }))
  const quoted: Buffer[] = []
  const state = { rows: rows as readonly LedgerRow[], now: 0, fail: false }
  const linker = openLinker({
    hostQuote: async (qualifyingData) => {
      quoted.push(qualifyingData)
      await Promise.resolve()
      if (state.fail) throw new Error('the TPM is gone')
      return { host: 'node', quote: Buffer.from('host quote'), signature: Buffer.from('host signature') }
    },
    ledger: { entries: () => state.rows },
    now: () => state.now,
    gather: () => new Promise(setImmediate),
    ...options,
  })
  return { linker, rows, quoted, state }
}

test('guests that ask together share one quote of the hardware, and each gets its own proofs', async () => {
  const { linker, rows, quoted } = testLinker(12)
  const links = await Promise.all(rows.map(({ guest }) => linker.link(guest, request(guest))))
  assert.equal(quoted.length, 1)
  for (const [index, link] of links.entries()) {
    const { guest, generation, ekName: name } = rows[index] ?? assert.fail()
    assert.equal(link.ledger.guest, guest)
    assert.ok(isInTree(ledgerLeaf({ guest, generation, ekName: name }), link.ledger.proof, link.ledger.root))
    assert.ok(isInTree(batchLeaf({ guest, ...request(guest) }), link.batch.proof, link.batch.root))
    assert.deepEqual(quoted[0], linkQualifyingData(link.batch.root, link.ledger.root))
  }
})

test('whoever comes while the hardware signs is in the next batch', async () => {
  const { linker, rows, quoted } = testLinker(3)
  const [a, b, c] = rows.map(({ guest }) => guest)
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  const first = linker
    .link(a, request('a'))
    .then(() => Promise.all([linker.link(b, request('b')), linker.link(c, request('c'))]))
  await first
  assert.equal(quoted.length, 2)
})

test('a batch has a largest size', async () => {
  const { linker, rows, quoted } = testLinker(5, { largestBatch: 2 })
  await Promise.all(rows.map(({ guest }) => linker.link(guest, request(guest))))
  assert.equal(quoted.length, 3)
})

test('a queue that is full refuses at once', async () => {
  const { linker, rows } = testLinker(3, { longestQueue: 2 })
  const outcomes = await Promise.allSettled(rows.map(({ guest }) => linker.link(guest, request(guest))))
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  )
  const refused = outcomes[2]
  assert.ok(refused?.status === 'rejected' && refused.reason instanceof TouchstoneError)
  assert.equal(refused.reason.code, 'link.busy')
})

test('one guest cannot keep the hardware signing', async () => {
  const { linker, state, quoted } = testLinker(2)
  for (let index = 0; index < 4; index += 1) await linker.link(guestId(0), request(`${index}`))
  await assert.rejects(linker.link(guestId(0), request('more')), { code: 'link.rate' })
  await linker.link(guestId(1), request('other'))
  assert.equal(quoted.length, 5)
  state.now = 1000
  await linker.link(guestId(0), request('later'))
  await assert.rejects(linker.link(guestId(0), request('again')), { code: 'link.rate' })
})

test('a guest that the ledger does not have as running gets no link, and the others do', async () => {
  const { linker, state, rows } = testLinker(2)
  state.rows = rows.map((row, index) => (index === 0 ? { ...row, state: 'stopped' } : row))
  const [stopped, running, unknown] = await Promise.allSettled(
    [guestId(0), guestId(1), guestId(9)].map((guest) => linker.link(guest, request(guest))),
  )
  assert.equal(running?.status, 'fulfilled')
  for (const outcome of [stopped, unknown]) {
    assert.ok(outcome?.status === 'rejected' && outcome.reason instanceof TouchstoneError)
    assert.equal(outcome.reason.code, 'link.not_running')
  }
})

test('a start of a guest shows in the next link', async () => {
  const { linker, state, rows } = testLinker(2)
  const before = await linker.link(guestId(0), request('a'))
  state.rows = rows.map((row, index) => (index === 1 ? { ...row, generation: 9 } : row))
  const after = await linker.link(guestId(1), request('b'))
  assert.notDeepEqual(before.ledger.root, after.ledger.root)
  assert.equal(after.ledger.generation, 9)
})

test('when the hardware cannot quote everybody in the batch is told, and the next one is served', async () => {
  const { linker, state, rows } = testLinker(2)
  state.fail = true
  for (const outcome of await Promise.allSettled(rows.map(({ guest }) => linker.link(guest, request(guest))))) {
    assert.ok(outcome.status === 'rejected' && outcome.reason instanceof TouchstoneError)
    assert.equal(outcome.reason.code, 'link.unavailable')
  }
  state.fail = false
  await linker.link(guestId(0), request('again'))
})

test('a linker that closes refuses what waits and what comes', async () => {
  const { linker } = testLinker(1)
  const waiting = assert.rejects(linker.link(guestId(0), request('a')), { code: 'link.unavailable' })
  await linker.close()
  await waiting
  await assert.rejects(linker.link(guestId(0), request('b')), { code: 'link.unavailable' })
})
