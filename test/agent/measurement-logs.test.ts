import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { readEventLog } from '../../src/agent/measurement-logs.ts'
import { enrollOnce } from '../../src/agent/index.ts'
import { onboardingFinish, LIMITS } from '../../src/wire/index.ts'
import { testNode } from './node.ts'

test('logs are read to their end and never beyond the limit', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-logs-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'log')
  await writeFile(file, Buffer.alloc(LIMITS.eventLog, 1))
  assert.equal((await readEventLog(file)).byteLength, LIMITS.eventLog)
  await appendFile(file, 'x')
  await assert.rejects(readEventLog(file), { code: 'agent.log' })
  await assert.rejects(readEventLog('/dev/zero'), { code: 'agent.log' })
  await assert.rejects(readEventLog(join(directory, 'none')), { code: 'agent.log' })
})

test('an IMA list that grew while the TPM quoted is read and quoted again', async (t) => {
  const node = await testNode(t)
  const imaLog = join(node.directory, 'ima')
  await writeFile(imaLog, 'one')
  let certified = 0
  await enrollOnce(
    { ...node.config, imaLog },
    {
      ...node.deps,
      onEvent: (event) => {
        if (event.type !== 'onboarding' || event.step !== 'certified') return
        certified += 1
        if (certified < 3) appendFileSync(imaLog, ' more')
      },
    },
  )
  assert.equal(certified, 3)
  assert.equal(onboardingFinish.parse(node.verifier.finished.at(-1)).imaLog?.toString(), 'one more more')
})
