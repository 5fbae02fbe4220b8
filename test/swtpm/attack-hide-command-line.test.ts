import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attackHideCommandLine, readBoot } from '../../swtpm/index.ts'
import { isTouchstoneError, toHex } from '../../src/core/index.ts'
import { parseEventLog, replayEventLog } from '../../src/eventlog/index.ts'

test('hides the command line in text and digests, so that only the PCRs of the boot disagree: 8 and 9', async () => {
  const [honest, measured] = await Promise.all([readBoot('honest'), readBoot('cmdline')])
  const forged = attackHideCommandLine(measured.eventLog, honest.eventLog)
  assert.equal(measured.eventLog.includes('init=/bin/sh'), true)
  assert.equal(forged.includes('init=/bin/sh'), false)
  for (const bank of ['sha1', 'sha256', 'sha384'] as const) {
    const { values } = replayEventLog(parseEventLog(forged), bank)
    const different = [...values].filter(([pcr, value]) => toHex(value) !== measured.pcrs?.[bank]?.[pcr])
    assert.deepEqual(
      different.map(([pcr]) => pcr),
      [8, 9],
    )
    for (const [pcr, value] of values) assert.equal(toHex(value), honest.pcrs?.[bank]?.[pcr])
  }
})

test('refuses logs whose events do not match one to one', async () => {
  const [honest, other] = await Promise.all([readBoot('honest'), readBoot('secureboot-off')])
  assert.throws(
    () => attackHideCommandLine(other.eventLog, honest.eventLog),
    (error) => isTouchstoneError(error, 'standin.boot'),
  )
})
