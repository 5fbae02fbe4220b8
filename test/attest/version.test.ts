import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareVersions, isVersion } from '../../src/attest/version.ts'

const ordered: readonly (readonly [string, string])[] = [
  ['1.2', '1.10'],
  ['1.9.9', '1.10'],
  ['0', '0.1'],
  ['v1.2', 'v1.3'],
  ['Dhyana2.05.43.29.0003', 'Dhyana2.05.43.29.0010'],
  ['GCE Virtual Firmware v1', 'GCE Virtual Firmware v2'],
  ['20240101', '20241231'],
  ['1.99999999999999999998', '1.99999999999999999999'],
]
for (const [older, newer] of ordered) {
  test(`${older} is older than ${newer}`, () => {
    assert.ok((compareVersions(older, newer) ?? 0) < 0)
    assert.ok((compareVersions(newer, older) ?? 0) > 0)
  })
}

test('zeros in front of a number, and behind the last one, make no difference', () => {
  assert.equal(compareVersions('01.02', '1.2'), 0)
  assert.equal(compareVersions('1.2', '1.2.0'), 0)
  assert.equal(compareVersions('1.20 ', '1.20'), 0)
})

const unordered: readonly (readonly [string, string])[] = [
  ['N1UET78W', 'N1UET80W'],
  ['1.2-rc1', '1.2'],
  ['1.2a', '1.2b'],
  ['v1.2', '1.2'],
  ['edk2-20240524-7.el9', 'edk2-20240524-8.el9'],
  ['a7102b05-d9c7-4165-8140-2adde94af63c', '546bfb1e-1d0c-4055-a4ad-4ef4bf17b83a'],
  ['', '1'],
  ['1..2', '1.2'],
  ['1.', '1.2'],
  [`${'1.'.repeat(100)}1`, '1'],
]
for (const [a, b] of unordered) {
  test(`nobody says whether ${a.slice(0, 40)} is older than ${b}`, () => {
    assert.equal(compareVersions(a, b), undefined)
    assert.equal(compareVersions(b, a), undefined)
  })
}

test('only what has an order can be a bound', () => {
  for (const text of ['1.10', 'v2', 'Q 01.12.00']) assert.ok(isVersion(text), text)
  for (const text of ['latest', '', '1.10-2', '1,2']) assert.ok(!isVersion(text), text)
})
