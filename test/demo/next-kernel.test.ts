import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import { withNextKernel } from '../../scripts/demo/next-kernel.ts'
import { toHex } from '../../src/core/index.ts'
import { describeEventLog, parseEventLog, parseImaLog, replayEventLog, replayImaLog } from '../../src/eventlog/index.ts'
import { readBoot } from '../../swtpm/index.ts'

test('the boot of the next kernel contradicts itself nowhere, and tpm2-tools replay it as we do', async (t) => {
  const { eventLog } = withNextKernel(await readBoot('honest'))
  const described = describeEventLog(eventLog)
  assert.deepEqual(
    described.events.filter(({ binding }) => binding === 'mismatch'),
    [],
  )
  assert.deepEqual(described.findings, describeEventLog((await readBoot('honest')).eventLog).findings)

  const directory = await mkdtemp(join(tmpdir(), 'ts-'))
  t.after(() => rm(directory, { recursive: true }))
  const file = join(directory, 'eventlog.bin')
  await writeFile(file, eventLog)
  const { stdout } = await execa('tpm2_eventlog', [file])
  const theirs = stdout.slice(stdout.indexOf('\npcrs:'))
  const { values } = replayEventLog(parseEventLog(eventLog), 'sha256')
  for (const [register, value] of values) {
    assert.match(theirs, new RegExp(`\\n {4}${String(register).padEnd(2)} : 0x${toHex(value)}\\n`))
  }
})

test('its IMA log begins with the digest over its own registers, and goes on as before', async () => {
  const honest = await readBoot('honest')
  const next = withNextKernel(honest)
  assert.ok(honest.imaLog !== undefined && next.imaLog !== undefined)
  const [before, after] = [parseImaLog(honest.imaLog), parseImaLog(next.imaLog)]
  assert.notDeepEqual(after.entries[0]?.templateDigest, before.entries[0]?.templateDigest)
  assert.deepEqual(
    after.entries.slice(1).map(({ templateDigest }) => toHex(templateDigest)),
    before.entries.slice(1).map(({ templateDigest }) => toHex(templateDigest)),
  )
  // What is recorded as a digest in SHA-1 is the digest of what it stands beside.
  const [computed, recorded] = [
    replayImaLog(next.imaLog, 'sha1', 'computed'),
    replayImaLog(next.imaLog, 'sha1', 'padded'),
  ]
  assert.equal(toHex(computed.value), toHex(recorded.value))
})
