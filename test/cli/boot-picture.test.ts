import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bootPicture } from '../../src/cli/boot-picture.ts'
import { describeEventLog } from '../../src/eventlog/describe.ts'
import { agileLog, secureBootConfiguration, SEPARATOR, TYPE } from '../eventlog/build-log.ts'

test('a database of keys that was measured and cannot be read is shown as one, and does not just go missing', () => {
  const configuration = secureBootConfiguration({ db: Buffer.alloc(30, 0xff) })
  const log = agileLog([...configuration, { pcr: 7, type: TYPE.separator, data: SEPARATOR }])
  const { boot } = describeEventLog(log)
  assert.ok(boot)
  assert.match(bootPicture(boot, false).join('\n'), /keys +\? db is no chain of signature lists/)
})
