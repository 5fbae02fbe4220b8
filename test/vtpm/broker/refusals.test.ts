import assert from 'node:assert/strict'
import test from 'node:test'
import { TouchstoneError } from '../../../src/core/index.ts'
import { refusalRecorder } from '../../../src/vtpm/broker/refusals.ts'
import type { AuditRecord } from '../../../src/vtpm/lane/types.ts'

test('a refused control command is written down once, and acknowledged when it is on the disk', async () => {
  const records: AuditRecord[] = []
  let fullFor = 2
  const record = refusalRecorder(
    {
      append: (entry) => void records.push(entry),
      flush: () => (fullFor-- > 0 ? Promise.reject(new TouchstoneError('vtpm.audit_full')) : Promise.resolve()),
    },
    0,
  )
  // A timer that waits for the disk holds nobody's process.
  const hold = setInterval(() => undefined, 1_000)
  await record({ guest: 'guest', command: 'GET_STATEBLOB', reason: 'control.refused' })
  clearInterval(hold)
  assert.equal(fullFor, -1, 'not before the disk took it')
  assert.deepEqual(
    records.map(({ tenant, command, outcome, reason }) => [tenant, command, outcome, reason]),
    [['guest', 'control GET_STATEBLOB', 'refused', 'control.refused']],
  )
})
