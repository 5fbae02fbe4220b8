import assert from 'node:assert/strict'
import test from 'node:test'
import { refusalRecorder } from '../../../src/vtpm/broker/refusals.ts'
import type { AuditRecord } from '../../../src/vtpm/lane/types.ts'

test('a guest that tries without end does not fill the log, and does not silence another', () => {
  let now = 0
  const records: AuditRecord[] = []
  const record = refusalRecorder({ append: (entry) => void records.push(entry) }, { now: () => now })
  const refused = { command: 'GET_STATEBLOB', reason: 'control.refused' } as const
  for (let times = 0; times < 10_000; times++) record({ guest: 'noisy', ...refused })
  record({ guest: 'quiet', ...refused })
  const of = (guest: string) => records.filter(({ tenant }) => tenant === guest).length
  assert.deepEqual([of('noisy'), of('quiet')], [20, 1])
  now += 60_000
  for (let times = 0; times < 10_000; times++) record({ guest: 'noisy', ...refused })
  assert.equal(of('noisy'), 26)
})
