import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import fc from 'fast-check'
import { writeAll } from '../../../src/vtpm/lane/audit-files.ts'
import { openAuditLog, type AuditOptions } from '../../../src/vtpm/lane/audit.ts'
import { parseHead } from '../../../src/vtpm/lane/audit-entry.ts'
import { verifyAuditFile, verifyAuditLog } from '../../../src/vtpm/lane/audit-verify.ts'
import type { AuditRecord } from '../../../src/vtpm/lane/types.ts'
import { temporaryDirectory } from './edge.ts'

function record(index = 0): AuditRecord {
  return {
    tenant: 'app',
    code: 0x148,
    command: 'Certify',
    outcome: 'done',
    rc: 0,
    digest: index.toString(16).padStart(64, '0'),
  }
}

const FIRST = '0000000000000001.jsonl'

/** A log of `count` records that was written and closed; with the two events that makes `count + 2` entries. */
async function written(stateDir: string, count: number, options: AuditOptions = {}): Promise<string> {
  const log = await openAuditLog(stateDir, options)
  for (let index = 0; index < count; index += 1) {
    log.append(record(index))
    if (options.fileSize !== undefined) await log.flush()
  }
  await log.close()
  return `${log.head.seq}:${log.head.hash}`
}

const codesOf = (report: Awaited<ReturnType<typeof verifyAuditLog>>): readonly string[] =>
  report.problems.map(({ code }) => code)

async function lines(stateDir: string, name = FIRST): Promise<string[]> {
  return (await readFile(join(stateDir, 'audit', name), 'utf8')).trimEnd().split('\n')
}

async function rewrite(stateDir: string, edit: (all: string[]) => string[], name = FIRST): Promise<void> {
  await writeFile(
    join(stateDir, 'audit', name),
    edit(await lines(stateDir, name))
      .map((line) => `${line}\n`)
      .join(''),
  )
}

test('what was appended is there, chained, and verifies', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const head = await written(stateDir, 3)
  const report = await verifyAuditLog(stateDir)
  const [node] = report.chains
  assert.deepEqual([node?.entries, report.head, report.problems, report.uncleanStarts], [5, head, [], 0])
  const entry: unknown = JSON.parse((await lines(stateDir))[1] ?? '')
  assert.ok(typeof entry === 'object' && entry !== null)
  const { time, prev, hash, ...rest } = entry as Record<string, unknown>
  assert.match(String(time), /^\d{4}-.*Z$/)
  assert.match(`${String(prev)}${String(hash)}`, /^[0-9a-f]{128}$/)
  assert.deepEqual(rest, {
    seq: 2,
    tenant: 'app',
    command: 'Certify',
    code: '0x00000148',
    outcome: 'done',
    rc: '0x00000000',
    digest: '0'.repeat(64),
  })
})

test('files are for the broker alone', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await written(stateDir, 1)
  const directory = join(stateDir, 'audit')
  assert.equal((await stat(directory)).mode & 0o777, 0o700)
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    const { mode } = await stat(join(entry.parentPath, entry.name))
    assert.equal(mode & 0o777, entry.isDirectory() ? 0o700 : 0o600, entry.name)
  }
})

test('flush resolves when the entries are in the file, with many appended at once', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const log = await openAuditLog(stateDir)
  for (let index = 0; index < 1_000; index += 1) log.append(record(index))
  await log.flush()
  assert.equal((await lines(stateDir)).length, 1_001)
  await log.flush()
  await log.close()
  log.append(record())
  assert.equal(log.accepting, false)
})

test('one broker writes a log', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const log = await openAuditLog(stateDir)
  await assert.rejects(openAuditLog(stateDir), { code: 'vtpm.audit_in_use' })
  await log.close()
  await (await openAuditLog(stateDir)).close()
})

test('the chain goes on over restarts, and files are rotated without breaking it', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await written(stateDir, 10, { fileSize: 500 })
  const head = await written(stateDir, 10, { fileSize: 500 })
  assert.ok((await readdir(join(stateDir, 'audit'))).filter((name) => name.endsWith('.jsonl')).length > 3)
  const report = await verifyAuditLog(stateDir)
  assert.deepEqual([report.chains[0]?.entries, report.head, report.problems], [24, head, []])
})

test('files that made room are accounted for; files that somebody removed are not', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await written(stateDir, 20, { fileSize: 500, maxFiles: 3 })
  assert.deepEqual((await verifyAuditLog(stateDir)).problems, [])
  const files = (await readdir(join(stateDir, 'audit'))).filter((name) => name.endsWith('.jsonl')).sort()
  assert.ok(files.length <= 4 && files[0] !== FIRST)
  await rm(join(stateDir, 'audit', files[0] ?? ''))
  assert.deepEqual(codesOf(await verifyAuditLog(stateDir)), ['vtpm.audit_truncated'])
})

const attacks: readonly {
  readonly what: string
  readonly edit: (all: string[]) => string[]
  readonly code: string
}[] = [
  {
    what: 'an edited entry',
    edit: (all) => all.map((line, at) => (at === 4 ? line.replace('done', 'failed') : line)),
    code: 'vtpm.audit_damaged',
  },
  { what: 'a removed entry', edit: (all) => all.toSpliced(4, 1), code: 'vtpm.audit_truncated' },
  { what: 'several removed entries', edit: (all) => all.toSpliced(3, 4), code: 'vtpm.audit_truncated' },
  { what: 'a removed beginning', edit: (all) => all.slice(3), code: 'vtpm.audit_truncated' },
  { what: 'a removed end', edit: (all) => all.slice(0, -3), code: 'vtpm.audit_truncated' },
  {
    what: 'two entries in another order',
    edit: (all) => all.toSpliced(4, 2, all[5] ?? '', all[4] ?? ''),
    code: 'vtpm.audit_truncated',
  },
  { what: 'an entry twice', edit: (all) => all.toSpliced(4, 0, all[4] ?? ''), code: 'vtpm.audit_damaged' },
  { what: 'a line that is no entry', edit: (all) => all.toSpliced(4, 0, 'hello'), code: 'vtpm.audit_damaged' },
  { what: 'an endless line', edit: (all) => all.toSpliced(4, 0, 'x'.repeat(1 << 20)), code: 'vtpm.audit_damaged' },
  { what: 'an empty file', edit: () => [], code: 'vtpm.audit_truncated' },
]
for (const { what, edit, code } of attacks) {
  test(`verification finds ${what}`, async (t) => {
    const stateDir = await temporaryDirectory(t)
    await written(stateDir, 8)
    await rewrite(stateDir, edit)
    assert.ok(codesOf(await verifyAuditLog(stateDir)).includes(code), JSON.stringify(await verifyAuditLog(stateDir)))
  })
}

test('a problem names file and line', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await written(stateDir, 8)
  await rewrite(stateDir, (all) => all.map((line, at) => (at === 4 ? line.replace('done', 'failed') : line)))
  const [problem, ...more] = (await verifyAuditLog(stateDir)).problems
  assert.deepEqual([problem?.file, problem?.line, more], [FIRST, 5, []])
})

test('one flipped bit anywhere is found', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await written(stateDir, 4)
  const file = join(stateDir, 'audit', FIRST)
  const honest = await readFile(file)
  await fc.assert(
    fc.asyncProperty(fc.nat(honest.byteLength * 8 - 1), async (bit) => {
      const bytes = Buffer.from(honest)
      bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      await writeFile(file, bytes)
      return (await verifyAuditLog(stateDir)).problems.length > 0
    }),
    { numRuns: 150 },
  )
})

test('a log that was rewritten with a new chain and head is found by a head that was noted elsewhere', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const expected = parseHead(await written(stateDir, 8))
  assert.ok(expected !== undefined)
  await rm(join(stateDir, 'audit'), { recursive: true })
  await written(stateDir, 8)
  assert.deepEqual((await verifyAuditLog(stateDir)).problems, [])
  assert.deepEqual(codesOf(await verifyAuditLog(stateDir, { expected })), ['vtpm.audit_damaged'])
  await rm(join(stateDir, 'audit'), { recursive: true })
  await written(stateDir, 2)
  assert.deepEqual(codesOf(await verifyAuditLog(stateDir, { expected })), ['vtpm.audit_truncated'])
})

test('an end that was cut off before a restart stays visible after it', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await written(stateDir, 8)
  await rewrite(stateDir, (all) => all.slice(0, 5))
  await written(stateDir, 20)
  assert.deepEqual(codesOf(await verifyAuditLog(stateDir)), ['vtpm.audit_truncated'])
})

test('an entry that a crash cut is removed, the log goes on, and the start is counted as unclean', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await written(stateDir, 2)
  const file = join(stateDir, 'audit', FIRST)
  const all = await lines(stateDir)
  await writeFile(file, `${all.slice(0, 3).join('\n')}\n${all[3]?.slice(0, 40) ?? ''}`)
  await rm(join(stateDir, 'audit', 'head'))
  assert.deepEqual((await verifyAuditLog(stateDir)).problems, [])
  await written(stateDir, 1)
  const report = await verifyAuditLog(stateDir)
  assert.deepEqual([report.problems, report.uncleanStarts, report.chains[0]?.entries], [[], 1, 6])
  assert.match((await lines(stateDir))[3] ?? '', /"event":"opened","discarded":40/)
})

test('damage does not keep the broker from starting, and stays to be seen', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await mkdir(join(stateDir, 'audit'), { recursive: true })
  await writeFile(join(stateDir, 'audit', FIRST), 'not an entry\n')
  await writeFile(join(stateDir, 'audit', 'head'), 'not a head\n')
  await written(stateDir, 3)
  assert.deepEqual(codesOf(await verifyAuditLog(stateDir)), ['vtpm.audit_damaged'])
})

test('one file verifies by itself, wherever in the chain it is', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await written(stateDir, 20, { fileSize: 500 })
  const files = (await readdir(join(stateDir, 'audit'))).filter((name) => name.endsWith('.jsonl')).sort()
  const middle = files[2] ?? ''
  assert.deepEqual((await verifyAuditFile(join(stateDir, 'audit', middle))).problems, [])
  await rewrite(stateDir, (all) => all.toReversed(), middle)
  assert.notDeepEqual((await verifyAuditFile(join(stateDir, 'audit', middle))).problems, [])
})

test('on a full disk entries wait in memory, then identity-bearing commands are refused; what comes all the same is counted', async (t) => {
  const stateDir = await temporaryDirectory(t)
  let isFull = true
  const troubles: boolean[] = []
  const log = await openAuditLog(stateDir, {
    maxPending: 4_000,
    onTrouble: (error) => troubles.push(error !== undefined),
    async write(handle, bytes, position) {
      // As ENOSPC does it: a part is written, then no more.
      const wasFull = isFull
      await writeAll(handle, wasFull ? bytes.subarray(0, 7) : bytes, position)
      if (wasFull) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    },
  })
  await assert.rejects(log.flush(), { code: 'vtpm.audit_full' })
  const isAccepting = (): boolean => log.accepting
  assert.ok(isAccepting())
  let appended = 0
  while (isAccepting()) log.append(record((appended += 1)))
  for (let count = 0; count < 100; count += 1) log.append(record((appended += 1)))
  await assert.rejects(log.flush(), { code: 'vtpm.audit_full' })
  isFull = false
  // What had begun on the full disk fails still.
  await log.flush().catch(() => log.flush())
  assert.ok(isAccepting())
  await log.close()
  const report = await verifyAuditLog(stateDir)
  assert.deepEqual(report.problems, [])
  assert.ok(report.lostEntries > 0)
  // opened, lost and closed are the log's own.
  assert.equal((report.chains[0]?.entries ?? 0) - 3 + report.lostEntries, appended)
  assert.deepEqual(troubles, [true, false])
})

test('a head that was noted elsewhere has to be in the log, also where entries of its time were pruned', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const expected = parseHead(await written(stateDir, 2))
  assert.ok(expected !== undefined)
  await written(stateDir, 20, { fileSize: 500, maxFiles: 3 })
  assert.deepEqual(codesOf(await verifyAuditLog(stateDir, { expected })), ['vtpm.audit_truncated'])
})

test('a disk that stays full does not keep the broker from ending', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const log = await openAuditLog(stateDir, { write: () => Promise.reject(new Error('no space')) })
  log.append(record())
  await assert.rejects(log.close(), { code: 'vtpm.audit_full' })
  const again = await openAuditLog(stateDir)
  await again.close()
})
