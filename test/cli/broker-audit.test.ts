import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Command } from 'commander'
import { brokerAuditCommand } from '../../src/cli/broker-audit.ts'
import { openAuditLog } from '../../src/vtpm/lane/audit.ts'

async function makeLog(t: TestContext) {
  const stateDir = await mkdtemp(join(tmpdir(), 'ts-cli-'))
  t.after(() => rm(stateDir, { recursive: true }))
  const log = await openAuditLog(stateDir)
  for (const tenant of ['one', 'two']) {
    log.append({ tenant, code: 0x148, command: 'Certify', outcome: 'done', rc: 0, digest: '0'.repeat(64) })
  }
  await log.close()
  const head = `${log.head.seq}:${log.head.hash}`
  return { stateDir, head, file: join(stateDir, 'audit', '0000000000000001.jsonl') }
}

/** Exit code and stdout of `touchstone broker audit ARGS`. */
async function audit(
  t: TestContext,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly out: string }> {
  let code = -1
  let out = ''
  const write = t.mock.method(process.stdout, 'write', (text: string) => {
    out += text
    return true
  })
  try {
    const program = new Command().addCommand(brokerAuditCommand((answer) => (code = answer)))
    await program.parseAsync(['audit', ...args], { from: 'user' })
  } finally {
    write.mock.restore()
  }
  return { code, out }
}

test('a log that is as it was written verifies, and its head is told', async (t) => {
  const { stateDir, head, file } = await makeLog(t)
  const whole = await audit(t, 'verify', '--state-dir', stateDir)
  assert.equal(whole.code, 0)
  assert.ok(whole.out.includes(`head ${head}`))
  const { code, out } = await audit(t, 'verify', file, '--head', head, '--json')
  assert.equal(code, 0)
  const report = JSON.parse(out) as { readonly entries: number; readonly problems: unknown[] }
  assert.deepEqual([report.entries, report.problems], [4, []])
})

test('an edited log is told with file, line and code, and the answer is no', async (t) => {
  const { stateDir, file } = await makeLog(t)
  await writeFile(file, (await readFile(file, 'utf8')).replace('"tenant":"two"', '"tenant":"one"'))
  const { code, out } = await audit(t, 'verify', '--state-dir', stateDir)
  assert.equal(code, 1)
  assert.match(out, /0000000000000001\.jsonl:3: .*\[vtpm\.audit_damaged\]/)
})

test('without a file it is the broker that is asked', async (t) => {
  await assert.rejects(audit(t, 'verify', '--socket', '/nonexistent'), { code: 'broker.unreachable' })
})

test('refusals that were counted, and checkpoints that nobody here can check, are told', async (t) => {
  const { stateDir } = await makeLog(t)
  const log = await openAuditLog(stateDir)
  const refusal = { tenant: 'web', code: 0x126, command: 'Clear', outcome: 'refused', rc: 0x143 } as const
  for (let count = 0; count < 60; count += 1) log.append({ ...refusal, digest: '0'.repeat(64) })
  log.authenticate(Buffer.alloc(32))
  await log.close()
  const { code, out } = await audit(t, 'verify', '--state-dir', stateDir)
  assert.equal(code, 0)
  assert.match(out, /^10 refusals counted/m)
  assert.match(out, /^ {2}refused +55 since/m)
  assert.match(out, /^3 checkpoints, not checked/m)
})

test('arguments that cannot be meant are refused', async (t) => {
  const { stateDir, file } = await makeLog(t)
  for (const args of [
    [file, '--state-dir', stateDir],
    [file, '--head', 'abc'],
  ]) {
    await assert.rejects(audit(t, 'verify', ...args), { code: 'usage.arguments' })
  }
  await assert.rejects(audit(t, 'verify', '/nonexistent'), { code: 'usage.file' })
  await assert.rejects(audit(t, 'verify', '--state-dir', join(stateDir, 'none')), { code: 'usage.file' })
})
