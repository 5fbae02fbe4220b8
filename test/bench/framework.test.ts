import assert from 'node:assert/strict'
import test from 'node:test'
import { BENCHES } from '../../bench/benches.ts'
import { compare, median, MissingPeer, percentile } from '../../bench/framework.ts'
import { goalOf, isMet, limitOf } from '../../bench/limits.ts'
import { installed } from '../../bench/peers/installed.ts'

test('both sides are sampled in turn, the first round does not count, and the ratio is that of the medians', async () => {
  const order: string[] = []
  const side = (name: string, values: number[]) => () => {
    order.push(name)
    return Promise.resolve(values.shift() ?? 0)
  }
  const row = await compare('lane-getrandom', 3, side('o', [999, 10, 20, 30]), side('p', [1, 40, 20, 50]))
  assert.deepEqual(row, { name: 'lane-getrandom', value: 20, unit: 'us', ratio: 0.5, against: 'tpm2-abrmd', runs: 3 })
  assert.equal(order.join(''), 'oppooppo')
})

test('percentiles are samples, and of nothing there are none', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(percentile([5, 1, 4, 2, 3], 99), 5)
  assert.throws(() => median([]))
})

test('every bench has its limit, and a goal is met at the goal', () => {
  for (const name of Object.keys(BENCHES)) assert.ok(limitOf(name).unit.length > 0)
  assert.throws(() => limitOf('nothing'))
  assert.equal(goalOf({ unit: 'us', against: 'x', ratio: 0.5 }), '<= 0.5')
  assert.equal(goalOf({ unit: 'ms', against: 'x', value: 50 }), '<= 50 ms')
  assert.equal(isMet({ unit: 'us', against: 'x', ratio: 0.5 }, { ratio: 0.5 }), true)
  assert.equal(isMet({ unit: 'ms', against: 'x', value: 50 }, { ratio: 1.01 }), false)
  assert.equal(isMet({ unit: 'us', against: 'x' }, { ratio: 9 }), undefined)
  assert.equal(goalOf({ unit: '/s', against: 'x', least: 0.5 }), '>= 0.5')
  assert.equal(isMet({ unit: '/s', against: 'x', least: 0.5 }, { ratio: 0.5 }), true)
  assert.equal(isMet({ unit: '/s', against: 'x', least: 0.5 }, { ratio: 0.49 }), false)
})

test('a peer that is not installed is named with its packages', () => {
  assert.throws(
    () => installed('no-such-program', 'some-package'),
    (error) => error instanceof MissingPeer && error.packages === 'some-package',
  )
})
