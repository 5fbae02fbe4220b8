import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { appraise } from '../../src/attest/appraise.ts'
import type { Appraisal } from '../../src/attest/appraise.ts'
import { readImaState } from '../../src/attest/ima-state.ts'
import type { ImaState } from '../../src/attest/ima-state.ts'
import { replayImaLog } from '../../src/eventlog/ima/replay-ima-log.ts'
import { bufferEntry, fileEntry, imaEntry, violationEntry } from '../eventlog/build-ima-log.ts'
import { evidenceOf, honest, without } from './case.ts'
import { AGGREGATE, imaEvidence, imaPolicy, said, setOf, sha256Of } from './ima-case.ts'

const SPEC = `allow: { references: [os] }
excludes: ["/tmp/**"]
buffers: [{ name: .ima, required: true }]`
const policy = imaPolicy(SPEC, setOf('os', [[sha256Of('a')], [sha256Of('b')]]))

const GOOD = [fileEntry('/a', 'a'), bufferEntry('.ima', 'k'), fileEntry('/b', 'b'), fileEntry('/tmp/x', 'x')]
const EVIL = fileEntry('/evil', 'evil')

/** The state as a store keeps it. */
const stored = (state: ImaState | undefined) => (state === undefined ? undefined : readImaState(JSON.stringify(state)))

/** Appraises a boot that quotes `quoted` of these entries, of which only what is behind `state` comes along. */
function follow(entries: readonly Buffer[], state: ImaState | undefined, quoted = entries.length): Appraisal {
  const whole = imaEvidence(policy, entries, quoted)
  const log = Buffer.concat([AGGREGATE, ...entries])
  const before = stored(state)
  const rest = { ...whole, imaLog: log.subarray(before?.bytes ?? 0) }
  return appraise(before === undefined ? rest : { ...rest, imaState: before })
}

const imaChecks = ({ checks }: Appraisal) => checks.filter(({ check }) => check.startsWith('ima.'))

test('a log is read once: the next quote goes on where the last one ended', () => {
  const first = follow(GOOD.slice(0, 2), undefined)
  assert.equal(first.status, 'affirming')
  assert.deepEqual([first.imaState?.entries, first.imaState?.proven, first.imaState?.ways.length], [3, true, 1])
  const second = follow(GOOD, first.imaState)
  assert.equal(second.status, 'affirming')
  assert.deepEqual(second.ima, { covered: 5, entries: 5 })
  const nothingNew = follow(GOOD, second.imaState)
  assert.equal(nothingNew.status, 'affirming')
  assert.deepEqual(stored(nothingNew.imaState), stored(second.imaState))
})

test('a boot whose log is known needs no log when nothing was measured since', () => {
  const { imaState } = follow(GOOD, undefined)
  assert.ok(imaState)
  const again = appraise({ ...without(imaEvidence(policy, GOOD), 'imaLog'), imaState })
  assert.equal(again.status, 'affirming')
  assert.deepEqual(again.ima, { covered: 5, entries: 5 })
})

test('a failure stays until the boot is over, though what follows is good', () => {
  const bad = follow([...GOOD, EVIL], undefined)
  assert.deepEqual(said(bad, 'ima.files'), ['fail ima.file_unknown /evil'])
  const later = follow([...GOOD, EVIL, fileEntry('/a', 'a')], bad.imaState)
  assert.deepEqual(said(later, 'ima.files'), ['fail ima.file_unknown /evil'])
  assert.equal(later.status, 'contraindicated')
})

test('what is behind the quote is left for the next one', () => {
  const first = follow([...GOOD, EVIL], undefined, GOOD.length)
  assert.equal(first.status, 'affirming')
  assert.deepEqual(first.ima, { covered: 5, entries: 6 })
  assert.equal(first.imaState?.bytes, Buffer.concat([AGGREGATE, ...GOOD]).byteLength)
  assert.deepEqual(said(follow([...GOOD, EVIL], first.imaState), 'ima.files'), ['fail ima.file_unknown /evil'])
})

test('a part that does not lead to the quoted value is refused, and everything is asked for again', () => {
  const { imaState } = follow(GOOD, undefined)
  assert.ok(imaState)
  const evidence = imaEvidence(policy, [...GOOD, EVIL])
  for (const imaLog of [Buffer.alloc(0), fileEntry('/a', 'a'), EVIL.subarray(0, 0)]) {
    const appraisal = appraise({ ...evidence, imaLog, imaState })
    assert.equal(said(appraisal, 'quote.digest')[0], 'fail quote.digest')
    assert.equal(appraisal.imaState, undefined)
  }
})

test('a part of another place is refused', () => {
  const { imaState } = follow(GOOD.slice(0, 2), undefined)
  assert.ok(imaState)
  const skipped = appraise({ ...imaEvidence(policy, GOOD), imaLog: GOOD[3] ?? Buffer.alloc(0), imaState })
  assert.equal(skipped.status, 'contraindicated')
  const repeated = appraise({ ...imaEvidence(policy, GOOD), imaLog: Buffer.concat(GOOD.slice(1)), imaState })
  assert.equal(repeated.status, 'contraindicated')
})

test('a long log comes in parts: nothing is good before the last one, and then everything counts', () => {
  const entries = [...GOOD, EVIL]
  const log = Buffer.concat([AGGREGATE, ...entries])
  const evidence = imaEvidence(policy, entries)
  let state: ImaState | undefined
  for (let rounds = 0; rounds < 40; rounds++) {
    const at = state?.bytes ?? 0
    // Parts end wherever they end.
    const part = log.subarray(at, at + 190)
    const imaIsPart = at + part.byteLength < log.byteLength
    const before = stored(state)
    const appraisal = appraise({
      ...evidence,
      imaLog: part,
      imaIsPart,
      ...(before === undefined ? {} : { imaState: before }),
    })
    state = appraisal.imaState
    if (!imaIsPart) {
      assert.deepEqual(said(appraisal, 'quote.digest'), ['pass'])
      assert.deepEqual(said(appraisal, 'ima.files'), ['fail ima.file_unknown /evil'])
      assert.deepEqual(appraisal.ima, { covered: 6, entries: 6 })
      assert.ok(rounds > 2)
      return
    }
    assert.equal(said(appraisal, 'ima.replay')[0], 'indeterminate ima.partial')
    assert.equal(said(appraisal, 'quote.digest')[0], 'warn ima.partial')
    assert.equal(appraisal.status, 'contraindicated')
    assert.ok(appraisal.facts)
    assert.equal(state?.proven, false)
  }
  assert.fail('the log never ended')
})

test('while parts come in without register values beside them, nothing of the boot is believed', () => {
  const { pcrs: _pcrs, ...evidence } = imaEvidence(policy, GOOD)
  const part = { ...evidence, imaLog: AGGREGATE, imaIsPart: true }
  const appraisal = appraise(part)
  assert.equal(said(appraisal, 'quote.digest')[0], 'indeterminate ima.partial')
  assert.equal(appraisal.facts, undefined)
  assert.equal(appraisal.imaState?.entries, 1)
})

test('parts that were not the log of this boot are forgotten when the last one decides', () => {
  const evidence = imaEvidence(policy, GOOD)
  const { imaState } = appraise({ ...evidence, imaLog: EVIL, imaIsPart: true })
  assert.ok(imaState)
  const last = appraise({ ...evidence, imaLog: Buffer.concat(GOOD), imaState })
  assert.equal(last.status, 'contraindicated')
  assert.equal(last.imaState, undefined)
})

test('verdicts do not depend on where a log was cut', () => {
  const entries = [
    ...GOOD,
    EVIL,
    violationEntry('/w'),
    bufferEntry('x', 'y'),
    imaEntry({ template: 'ima-xx' }),
    imaEntry({ pcr: 11 }),
    fileEntry('/b', 'c'),
  ]
  const whole = imaChecks(follow(entries, undefined))
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 0, max: entries.length - 1 }), { maxLength: 6 }), (cuts) => {
      let state: ImaState | undefined
      for (const cut of cuts.toSorted((a, b) => a - b)) state = follow(entries.slice(0, cut), state).imaState
      assert.deepEqual(imaChecks(follow(entries, state)), whole)
    }),
    { numRuns: 60 },
  )
})

test('another policy or another set has another basis; the same ones have the same', () => {
  const basis = (given: typeof policy) => appraise(imaEvidence(given, GOOD)).imaState?.basis
  const list = setOf('os', [[sha256Of('a')], [sha256Of('b')]])
  assert.equal(basis(imaPolicy(SPEC, list)), basis(policy))
  assert.notEqual(basis(imaPolicy(`${SPEC}\nviolations: deny`, list)), basis(policy))
  assert.notEqual(basis(imaPolicy(SPEC, setOf('os', [[sha256Of('a')]]))), basis(policy))
  assert.equal(basis(imaPolicy(SPEC, `${list}${setOf('unused', [[sha256Of('z')]])}`)), basis(policy))
})

test('entries that were judged by other rules are not judged by these, and nothing passes', () => {
  const { imaState } = follow(GOOD, undefined)
  assert.ok(imaState)
  const other = imaPolicy('allow: { references: [os] }', setOf('os', [[sha256Of('z')]]))
  const appraisal = appraise({ ...imaEvidence(policy, GOOD), policy: other, imaLog: Buffer.alloc(0), imaState })
  assert.deepEqual(said(appraisal, 'quote.digest'), ['pass'])
  assert.deepEqual(said(appraisal, 'ima.files'), ['indeterminate ima.judged_otherwise'])
  assert.equal(appraisal.status, 'contraindicated')
  assert.equal(appraisal.imaState, undefined)
})

test('what is kept of a boot does not grow with what its entries say', () => {
  const rules = imaPolicy(
    `allow: { references: [os] }
buffers: [{ name: "**", anyOf: ["${'v'.repeat(60_000)}"] }]
deviceMapper: { rootHashes: { anyOf: [aa] }, targets: [verity] }`,
    setOf('os', [[sha256Of('a')]]),
  )
  const long = 'x'.repeat(200_000)
  const entries = Array.from({ length: 40 }, (_, at) => [
    fileEntry(`/${at}${long}`, 'evil'),
    bufferEntry(`b${at}`, `${at}${long}`),
    bufferEntry('dm_table_load', `name=${long};target_name=linear${long};`),
    bufferEntry('dm_table_load', `name=a;target_name=verity,verity_algorithm=${long},root_digest=${long};`),
  ]).flat()
  const { imaState } = appraise(imaEvidence(rules, entries))
  assert.ok(imaState)
  assert.ok(JSON.stringify(imaState).length < 100_000)
})

test('a state from before kernels were counted is gone on from', () => {
  const { imaState } = appraise(imaEvidence(policy, GOOD))
  assert.ok(imaState)
  const older = JSON.stringify(imaState).replaceAll(',"restarts":0', '')
  assert.notEqual(older, JSON.stringify(imaState))
  assert.deepEqual(readImaState(older), imaState)
})

test('a state that another program wrote is none', () => {
  const { imaState } = follow(GOOD, undefined)
  assert.deepEqual(stored(imaState), JSON.parse(JSON.stringify(imaState)))
  assert.equal(readImaState('{'), undefined)
  assert.equal(readImaState(JSON.stringify({ ...imaState, version: 2 })), undefined)
})

test('a log of a million entries is judged as a stream, in memory that does not grow with it', () => {
  const size = 1_000_000
  const batch = 10_000
  const entries = Array.from({ length: batch }, (_, at) => fileEntry(`/usr/lib/x86_64-linux-gnu/lib${at}.so`, 'a'))
  const chunk = Buffer.concat(entries)
  const log = {
    *[Symbol.iterator]() {
      yield AGGREGATE
      for (let sent = 0; sent < size; sent += batch) yield chunk
    },
  }
  const value = replayImaLog(log, 'sha256').value.toString('hex')
  const pcrs = { ...honest.pcrs, sha256: { ...honest.pcrs['sha256'], '10': value } }
  const evidence = { ...evidenceOf(honest, { pcrs }), policy, imaLog: log, pcrs }
  const used = () => process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed
  const before = used()
  const appraisal = appraise(evidence)
  const grown = used() - before
  assert.deepEqual(appraisal.ima, { covered: size + 1, entries: size + 1 })
  assert.deepEqual(said(appraisal, 'ima.files'), ['pass'])
  assert.ok(grown < 64 << 20, `${grown >> 20} MiB more`)
})
