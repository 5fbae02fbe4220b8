import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pauseBefore, remedyOf } from '../../../src/vtpm/lane/return-code-policy.ts'

const REMEDIES = {
  refreshOldest: [0x901],
  evictObject: [0x902, 0x904, 0x906],
  evictSession: [0x903],
  freeSession: [0x905],
  later: [0x908, 0x90a, 0x920, 0x922, 0x923],
  reconcile: [0x910, 0x911, 0x916, 0x918, 0x91e],
} as const

for (const [remedy, codes] of Object.entries(REMEDIES)) {
  for (const rc of codes) test(`${rc.toString(16)} calls for ${remedy}`, () => assert.equal(remedyOf(rc), remedy))
}

for (const rc of [0, 0x101, 0x921, 0x907, 0x909, 0x917, 0x91f, 0x98e, 0x143]) {
  test(`${rc.toString(16)} is the tenant's to see`, () => assert.equal(remedyOf(rc), undefined))
}

test('pauses double to a second, and end after five', () => {
  const pauses = Array.from({ length: 12 }, (_, repeat) => pauseBefore(repeat))
  assert.deepEqual(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000, undefined])
})
