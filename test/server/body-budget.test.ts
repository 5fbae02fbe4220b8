import assert from 'node:assert/strict'
import { finished } from 'node:stream/promises'
import test from 'node:test'
import { bodyBudget, countBody } from '../../src/server/http/body-budget.ts'

const full = () => new Error('full')

test('what has come of a body takes room, and gives it back once', () => {
  const budget = bodyBudget(10)
  const { stream, release } = countBody(budget, full)
  stream.write(Buffer.alloc(6))
  assert.deepEqual(stream.read(), Buffer.alloc(6))
  assert.equal(budget.take(5), false)
  release()
  release()
  assert.equal(budget.take(11), false)
  assert.equal(budget.take(10), true)
})

test('a body that there is no room for fails where it would not fit, and what it had taken is free again', async () => {
  const budget = bodyBudget(10)
  const { stream, release } = countBody(budget, full)
  const ended = assert.rejects(finished(stream), /full/)
  stream.write(Buffer.alloc(6))
  stream.write(Buffer.alloc(6))
  stream.resume()
  await ended
  release()
  assert.equal(budget.take(10), true)
})

test('what still comes of a body that nobody reads any more takes no room and fails nothing', async () => {
  const budget = bodyBudget(10)
  const { stream, release } = countBody(budget, full)
  release()
  stream.end(Buffer.alloc(60))
  stream.resume()
  await finished(stream)
  assert.equal(budget.take(10), true)
})

test('that there is no room for a body that nobody reads is no fault that ends the process', async () => {
  const { stream } = countBody(bodyBudget(1), full)
  stream.write(Buffer.alloc(6))
  await new Promise((resolve) => stream.once('close', resolve))
  assert.ok(stream.errored)
})
