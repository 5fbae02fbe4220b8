import assert from 'node:assert/strict'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { writeEntry } from '../../../src/vtpm/lane/audit-entry.ts'
import { tenantChain } from '../../../src/vtpm/lane/audit-directory.ts'
import { openAuditLog, type AuditOptions } from '../../../src/vtpm/lane/audit.ts'
import { verifyAuditLog } from '../../../src/vtpm/lane/audit-verify.ts'
import type { AuditRecord } from '../../../src/vtpm/lane/types.ts'
import { temporaryDirectory } from './edge.ts'

const KEY = Buffer.alloc(32, 5)

function done(tenant = 'broker'): AuditRecord {
  return { tenant, code: 0x148, command: 'Certify', outcome: 'done', rc: 0, digest: '0'.repeat(64) }
}

function refused(tenant: string, reason = 'vtpm.command_of_owner'): AuditRecord {
  return { tenant, code: 0x126, command: 'Clear', outcome: 'refused', rc: 0x143, reason, digest: '0'.repeat(64) }
}

type Line = Record<string, unknown> & { readonly event?: string; readonly tenant?: string }

async function linesOf(stateDir: string, chain: string): Promise<Line[]> {
  const directory = join(stateDir, 'audit', chain)
  const files = (await readdir(directory)).filter((name) => name.endsWith('.jsonl')).sort()
  const texts = await Promise.all(files.map((name) => readFile(join(directory, name), 'utf8')))
  return texts
    .join('')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

/** A clock that a test moves. */
function movedClock() {
  let time = 1_800_000_000_000
  return { now: () => time, move: (ms: number) => (time += ms) }
}

const codesOf = (report: Awaited<ReturnType<typeof verifyAuditLog>>) => report.problems.map(({ code }) => code)

test("a tenant's refusals wash nothing out: some are whole, the others counted with their reasons", async (t) => {
  const stateDir = await temporaryDirectory(t)
  const { now, move } = movedClock()
  const log = await openAuditLog(stateDir, { now, fileSize: 2_000, maxFiles: 3, maxSideFiles: 3 })
  log.append(done())
  const FLOOD = 20_000
  for (let count = 0; count < FLOOD; count += 1) {
    log.append(refused('app', count % 4 === 0 ? 'vtpm.not_own' : 'vtpm.command_of_owner'))
    if (count % 1_000 === 0) move(2_000)
  }
  log.append(refused('other'))
  log.append(done())
  await log.close()
  const node = await linesOf(stateDir, '.')
  assert.deepEqual(
    node.map(({ event, tenant }) => event ?? tenant),
    ['opened', 'broker', 'broker', 'closed'],
  )
  const report = await verifyAuditLog(stateDir)
  assert.deepEqual([report.problems, report.lostEntries], [[], 0])
  const rows = await linesOf(stateDir, 'refused')
  const whole = rows.filter(({ tenant, event }) => tenant === 'app' && event === undefined).length
  const counted = rows.filter(({ tenant, event }) => tenant === 'app' && event === 'refusals')
  assert.equal(whole + report.countedRefusals, FLOOD)
  assert.ok(whole >= 50 && whole <= 60, `${whole} whole`)
  assert.ok(counted.length <= 2)
  const reasons = Object.assign({}, ...counted.map((row) => row['reasons'])) as Record<string, number>
  assert.deepEqual(Object.keys(reasons).sort(), ['vtpm.command_of_owner', 'vtpm.not_own'])
  assert.ok(rows.some(({ tenant }) => tenant === 'other'))
})

test('counted refusals are told once a minute, and whole ones again when there is room', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const { now, move } = movedClock()
  const log = await openAuditLog(stateDir, { now })
  for (let count = 0; count < 70; count += 1) log.append(refused('app'))
  move(60_000)
  log.append(refused('app'))
  log.append(refused('app'))
  // Set back to before it all: what is known of the future is forgotten.
  move(-3_600_000)
  for (let count = 0; count < 3; count += 1) log.append(refused('app'))
  await log.close()
  const rows = (await linesOf(stateDir, 'refused')).filter(({ tenant }) => tenant === 'app')
  const shape = rows.map((row) => (row.event === undefined ? 1 : -Number(row['refusals'])))
  assert.deepEqual(
    shape.slice(0, 50),
    Array.from({ length: 50 }, () => 1),
  )
  assert.deepEqual(shape[50], -21)
  assert.equal(
    shape.reduce((sum, entries) => sum + Math.abs(entries), 0),
    75,
  )
})

test('a row of counted refusals names at most so many reasons, and sums the others', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const log = await openAuditLog(stateDir)
  for (let count = 0; count < 150; count += 1) log.append(refused('app', `control.${count}`))
  await log.close()
  const [row] = (await linesOf(stateDir, 'refused')).filter(({ event }) => event === 'refusals')
  const reasons = row?.['reasons'] as Record<string, number>
  assert.deepEqual([Object.keys(reasons).length, reasons['other']], [16, 85])
  assert.deepEqual((await verifyAuditLog(stateDir)).problems, [])
})

test('what a tenant does fills a chain of its own', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const log = await openAuditLog(stateDir, { fileSize: 1_000, maxFiles: 3 })
  const web = await log.of(tenantChain('web'), 3_000)
  assert.equal(await log.of(tenantChain('web')), web)
  log.append(done())
  await log.flush()
  for (let count = 0; count < 100; count += 1) {
    web.append(done('web'))
    await web.flush()
  }
  await log.close()
  assert.deepEqual(
    (await linesOf(stateDir, '.')).map(({ event, tenant }) => event ?? tenant),
    ['opened', 'broker', 'closed'],
  )
  const kept = await linesOf(stateDir, 'tenants/web')
  assert.ok(kept.length < 30 && kept.every(({ event, tenant }) => event !== undefined || tenant === 'web'))
  assert.deepEqual((await verifyAuditLog(stateDir)).problems, [])
})

test('a tenant whose entries find no room holds up nobody else', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const log = await openAuditLog(stateDir, { maxPending: 4_000 })
  const [web, shop] = [await log.of(tenantChain('web')), await log.of(tenantChain('shop'))]
  for (let count = 0; count < 100; count += 1) web.append(done('web'))
  assert.deepEqual([web.accepting, shop.accepting, log.accepting], [false, true, true])
  await log.close()
})

/** Two starts, with a key, and something in each chain; the second one ends in order. */
async function twoStarts(stateDir: string, options: AuditOptions = {}): Promise<void> {
  for (const start of [1, 2]) {
    const log = await openAuditLog(stateDir, options)
    const web = await log.of(tenantChain('web'))
    for (let count = 0; count < 4 * start; count += 1) {
      log.append(done())
      web.append(done('web'))
      log.append(refused('web'))
    }
    log.authenticate(KEY)
    await log.close()
  }
}

test('checkpoints vouch for all entries of all chains, under their key', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await twoStarts(stateDir)
  const report = await verifyAuditLog(stateDir, { key: KEY })
  assert.deepEqual(report.problems, [])
  assert.ok(report.checkpoints >= 6)
  assert.deepEqual(
    report.chains.map(({ chain, entries, vouched }) => [chain, entries === vouched]),
    [
      ['.', true],
      ['attestation', true],
      ['refused', true],
      ['tenants/web', true],
    ],
  )
  const without = await verifyAuditLog(stateDir)
  assert.deepEqual([without.problems, without.vouched], [[], undefined])
})

test('the key of another node finds every checkpoint forged', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await twoStarts(stateDir)
  const { checkpoints, problems, vouched } = await verifyAuditLog(stateDir, { key: Buffer.alloc(32, 6) })
  assert.equal(problems.filter(({ code }) => code === 'vtpm.audit_forged').length, checkpoints)
  assert.equal(vouched, 0)
})

/** Whoever has the disk writes a chain anew: every entry after the change with the hashes that belong to it. */
async function rechain(stateDir: string, chain: string, change: (lines: Line[]) => Line[]): Promise<void> {
  let head = { seq: 0, hash: '0'.repeat(64) }
  let text = ''
  for (const { seq: _, time, prev: __, hash: ___, ...members } of change(await linesOf(stateDir, chain))) {
    const entry = writeEntry(head, String(time), members as Record<string, string>)
    text += entry.line
    head = entry.head
  }
  const directory = join(stateDir, 'audit', chain)
  for (const name of await readdir(directory)) if (name.endsWith('.jsonl')) await rm(join(directory, name))
  await writeFile(join(directory, '0000000000000001.jsonl'), text)
  await writeFile(join(directory, 'head'), `${head.seq}:${head.hash}\n`)
}

const isOf = (command: string) => (line: Line) => line['command'] === command

test('a history that somebody with the disk wrote anew is found by its checkpoints', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await twoStarts(stateDir)
  // One entry less, and all hashes right: without the key nothing is wrong with that chain.
  await rechain(stateDir, '.', (lines) => lines.toSpliced(lines.findIndex(isOf('Certify')), 1))
  assert.deepEqual((await verifyAuditLog(stateDir)).problems, [])
  assert.ok(codesOf(await verifyAuditLog(stateDir, { key: KEY })).includes('vtpm.audit_forged'))
  // Without the checkpoints there is no forgery to be seen, but nobody vouches for anything.
  await rechain(stateDir, '.', (lines) => lines.filter(({ event }) => event !== 'checkpoint'))
  const bare = await verifyAuditLog(stateDir, { key: KEY })
  assert.deepEqual([bare.problems, bare.vouched], [[], 0])
})

test('a chain of another kind that was written anew is found by the checkpoints in the one of the node', async (t) => {
  for (const chain of ['refused', 'tenants/web']) {
    const stateDir = await temporaryDirectory(t)
    await twoStarts(stateDir)
    await rechain(stateDir, chain, (lines) => lines.toSpliced(1, 1))
    const codes = codesOf(await verifyAuditLog(stateDir))
    assert.ok(codes.includes('vtpm.audit_damaged') || codes.includes('vtpm.audit_truncated'), chain)
    await rm(join(stateDir, 'audit', chain), { recursive: true })
    if (chain === 'refused') assert.ok(codesOf(await verifyAuditLog(stateDir)).includes('vtpm.audit_truncated'))
  }
})

test('a start after a forged history does not vouch for it', async (t) => {
  const stateDir = await temporaryDirectory(t)
  await twoStarts(stateDir)
  await rechain(stateDir, '.', (lines) =>
    lines.filter(({ event }) => event !== 'checkpoint').toSpliced(1, 0, { ...lines[1], tenant: 'nobody' }),
  )
  const log = await openAuditLog(stateDir)
  log.append(done())
  log.authenticate(KEY)
  await log.close()
  const report = await verifyAuditLog(stateDir, { key: KEY })
  assert.deepEqual(report.problems, [])
  const own =
    (await linesOf(stateDir, '.')).length -
    (await linesOf(stateDir, '.')).findLastIndex((line) => line.event === 'opened')
  assert.equal(report.chains[0]?.vouched, own)
})

test('entries after a crash are vouched for up to the last checkpoint, and the rest is counted', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const log = await openAuditLog(stateDir)
  log.append(done())
  log.authenticate(KEY)
  await log.flush()
  log.append(done())
  await log.flush()
  // As after SIGKILL: what is on the disk now, somewhere else.
  const copy = await temporaryDirectory(t)
  // By name: the head is replaced after an entry is acknowledged, so its temporary file comes and goes.
  const kept = ['0000000000000001.jsonl', 'head']
  for (const name of kept) await writeFile(join(copy, name), await readFile(join(stateDir, 'audit', name)))
  await log.close()
  await rm(join(stateDir, 'audit'), { recursive: true })
  await (await openAuditLog(stateDir)).close()
  await rm(join(stateDir, 'audit', '0000000000000001.jsonl'))
  for (const name of kept) await writeFile(join(stateDir, 'audit', name), await readFile(join(copy, name)))
  const report = await verifyAuditLog(stateDir, { key: KEY })
  assert.deepEqual(report.problems, [])
  const [node] = report.chains
  // opened, done, checkpoint; and one more, which nobody vouches for.
  assert.deepEqual([node?.entries, node?.vouched], [4, 3])
})

test('a running broker vouches for what it has written when it is asked to verify', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const log = await openAuditLog(stateDir)
  const web = await log.of(tenantChain('web'))
  log.authenticate(KEY)
  web.append(done('web'))
  log.append(done())
  const { entries, vouched, problems } = await log.verify()
  assert.deepEqual([problems, entries - (vouched ?? 0)], [[], 0])
  await log.close()
})

test('checkpoints of entries that were pruned since are no problem', async (t) => {
  const stateDir = await temporaryDirectory(t)
  const options = { fileSize: 1_500, maxSideFiles: 2 }
  for (let start = 0; start < 6; start += 1) await twoStarts(stateDir, options)
  const report = await verifyAuditLog(stateDir, { key: KEY })
  assert.deepEqual(report.problems, [])
  assert.ok((report.chains.find(({ chain }) => chain === 'tenants/web')?.entries ?? 99) < 50)
  assert.equal(report.entries, report.vouched)
})
