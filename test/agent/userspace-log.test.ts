import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import type { AgentEvent } from '../../src/agent/index.ts'
import { readUserspaceLog } from '../../src/agent/measurement-logs.ts'
import { openNodeSession } from '../../src/agent/node-session.ts'
import { quoteWithUserspace } from '../../src/agent/userspace-log.ts'
import { LIMITS, onboardingFinish } from '../../src/wire/index.ts'
import { testNode } from './node.ts'

async function folder(t: test.TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-logs-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

const INCOMPLETE = 0o1600

test('a node whose systemd measures nothing has no log of it, and neither has one that is about to', async (t) => {
  const directory = await folder(t)
  assert.equal(await readUserspaceLog(join(directory, 'none')), undefined)
  await writeFile(join(directory, 'empty'), '')
  assert.equal(await readUserspaceLog(join(directory, 'empty')), undefined)
})

test('a log that cannot be read, or is larger than any, is not taken for none', async (t) => {
  const directory = await folder(t)
  await assert.rejects(readUserspaceLog(directory), { code: 'agent.log' })
  await writeFile(join(directory, 'large'), Buffer.alloc(LIMITS.userspaceLog + 1, 1))
  await assert.rejects(readUserspaceLog(join(directory, 'large')), { code: 'agent.log' })
})

test('waits while systemd is between measuring and writing', async (t) => {
  const file = join(await folder(t), 'log')
  await writeFile(file, 'one')
  await chmod(file, INCOMPLETE)
  const events: AgentEvent[] = []
  let waits = 0
  const quoting = {
    file,
    onEvent: (event: AgentEvent) => events.push(event),
    wait: async () => {
      waits += 1
      if (waits < 3) return
      appendFileSync(file, ' two')
      await chmod(file, 0o600)
    },
  }
  const { userspaceLog } = await quoteWithUserspace(quoting, () => Promise.resolve('quote'))
  assert.deepEqual([userspaceLog?.toString(), waits, events], ['one two', 3, []])
})

test('a log that systemd never finished is sent as it is, and the agent says so', async (t) => {
  const file = join(await folder(t), 'log')
  await writeFile(file, 'one')
  await chmod(file, INCOMPLETE)
  const events: AgentEvent[] = []
  const quoting = { file, onEvent: (event: AgentEvent) => events.push(event), wait: () => Promise.resolve() }
  const { userspaceLog } = await quoteWithUserspace(quoting, () => Promise.resolve('quote'))
  assert.equal(userspaceLog?.toString(), 'one')
  assert.deepEqual(events[0], { type: 'log-incomplete', file })
})

test('quotes again over what systemd measured during the quote, and gives up on a log that never rests', async (t) => {
  const file = join(await folder(t), 'log')
  await writeFile(file, 'one')
  const quoting = { file, onEvent: () => undefined }
  let quotes = 0
  const settled = await quoteWithUserspace(quoting, (log) => {
    quotes += 1
    if (quotes < 3) appendFileSync(file, ' more')
    return Promise.resolve(log?.toString())
  })
  assert.deepEqual([quotes, settled.quoted, settled.userspaceLog?.toString()], [3, 'one more more', 'one more more'])
  await assert.rejects(
    quoteWithUserspace(quoting, () => {
      appendFileSync(file, ' more')
      return Promise.resolve('quote')
    }),
    { code: 'agent.log' },
  )
})

test('enrolment and attestation carry the log of systemd, and what is signed covers it', async (t) => {
  const node = await testNode(t)
  const userspaceLog = join(node.directory, 'tpm2-measure.log')
  const session = await openNodeSession({ ...node.config, userspaceLog }, node.deps)
  t.after(() => session.close())
  await writeFile(userspaceLog, 'of the initrd')
  await session.enrol()
  assert.equal(onboardingFinish.parse(node.verifier.finished.at(-1)).userspaceLog?.toString(), 'of the initrd')
  appendFileSync(userspaceLog, ' and of the system')
  await session.attest({})
  assert.equal(node.verifier.accepted.at(-1)?.userspaceLog?.toString(), 'of the initrd and of the system')
  await rm(userspaceLog)
  await session.attest({})
  assert.equal(node.verifier.accepted.at(-1)?.userspaceLog, undefined)
})
