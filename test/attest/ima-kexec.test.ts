import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Appraisal, AppraisalInput } from '../../src/attest/appraise.ts'
import { appraise } from '../../src/attest/appraise.ts'
import { explainVerdict } from '../../src/attest/causes/explain-verdict.ts'
import { parseImaLog } from '../../src/eventlog/ima/parse-ima-log.ts'
import { replayImaLog } from '../../src/eventlog/ima/replay-ima-log.ts'
import { imaMeasurement } from '../../src/eventlog/ima/templates.ts'
import { digestOf, fileEntry, imaEntry, labelled, pcr10 } from '../eventlog/build-ima-log.ts'
import { evidenceOf, honest } from './case.ts'
import { AGGREGATE, checksNamed, imaEvidence, imaPolicy, said, setOf, sha256Of } from './ima-case.ts'

// A kernel that another one starts by kexec looks at the same firmware, measures a boot aggregate of its own, and extends
// the PCR 10 that it finds. With CONFIG_IMA_KEXEC it is handed the entries of the one before, without it has none of them.

const policy = imaPolicy('allow: { references: [os] }', setOf('os', [[sha256Of('shell'), '/bin/sh']]))
const sh = fileEntry('/bin/sh', 'shell')

/** Evidence of a boot that measured all of this, whose log has only what is behind `hidden` entries. */
function evidence(measured: readonly Buffer[], hidden: number, log = measured.slice(hidden)): AppraisalInput {
  const value = pcr10('sha256', measured).toString('hex')
  const pcrs = { ...honest.pcrs, sha256: { ...honest.pcrs['sha256'], '10': value } }
  return { ...evidenceOf(honest, { pcrs }), policy, imaLog: Buffer.concat(log), pcrs }
}

function causesOf(appraisal: Appraisal, { eventLog }: AppraisalInput): string[] {
  const { checks } = appraisal
  const { causes } = explainVerdict({ checks, now: { eventLog }, references: [], bank: 'sha256', quoted: [10] })
  return causes.map(({ id }) => id)
}

const recorded = (name: string) => readFileSync(new URL(`../fixtures/ima/${name}`, import.meta.url))

type Recorded = Readonly<Record<'first' | 'second', Readonly<Record<string, Readonly<Record<string, string>>>>>>

test('a kernel that was started by kexec without its log begins a list anew, over the same registers, and goes on with PCR 10', () => {
  const list = recorded('kexec-list.bin')
  const { first, second } = JSON.parse(recorded('kexec-pcrs.json').toString()) as Recorded
  for (const bank of ['sha1', 'sha256'] as const) {
    const leadsTo = (...parts: Buffer[]) => replayImaLog(Buffer.concat(parts), bank).value.toString('hex')
    assert.equal(leadsTo(list), first[bank]?.['10'])
    assert.notEqual(leadsTo(list), second[bank]?.['10'])
    // Not even with the list of the first kernel as it was last read: there was something in between.
    assert.notEqual(leadsTo(list, list), second[bank]?.['10'])
    // What a list that is handed over has.
    assert.equal(leadsTo(list, recorded('kexec-lost.bin'), list), second[bank]?.['10'])
  }
  const registers = Array.from({ length: 10 }, (_, pcr) => Buffer.from(second['sha256']?.[pcr] ?? '', 'hex'))
  const [aggregate] = parseImaLog(list).entries
  assert.ok(aggregate)
  assert.deepEqual(imaMeasurement(aggregate, 'little')?.digest, digestOf('sha256', ...registers))
})

test('a log that was handed over has the boot aggregate of each kernel, and is judged as one', () => {
  const appraisal = appraise(imaEvidence(policy, [sh, AGGREGATE, sh, AGGREGATE, sh]))
  assert.equal(appraisal.status, 'affirming')
  assert.deepEqual(said(appraisal, 'ima.files'), ['pass'])
  const [check] = checksNamed(appraisal, 'ima.boot-aggregate')
  assert.deepEqual(check?.actual, { digest: check?.expected, kexecs: 2 })
})

test('the second kernel is known as one wherever the log was cut', () => {
  const first = appraise(imaEvidence(policy, [sh, AGGREGATE, sh], 1))
  assert.ok(first.imaState)
  const all = imaEvidence(policy, [sh, AGGREGATE, sh])
  const rest = Buffer.concat([AGGREGATE, sh])
  const second = appraise({ ...all, imaLog: rest, imaState: first.imaState })
  assert.deepEqual(second.checks, appraise(all).checks)
})

test('a kernel that found something else is no known file, and the cause says which it may be', () => {
  const other = imaEntry({ fields: [labelled(digestOf('sha256', 'other registers')), 'boot_aggregate\0'] })
  const input = imaEvidence(policy, [sh, other, sh])
  const appraisal = appraise(input)
  assert.deepEqual(said(appraisal, 'ima.files'), ['fail ima.file_unknown boot_aggregate'])
  assert.deepEqual(causesOf(appraisal, input), ['ima.other-kernel'])
})

test('a file with the path of a boot aggregate and the digest of none is a file like any other', () => {
  const file = fileEntry('boot_aggregate', 'evil')
  assert.deepEqual(said(appraise(imaEvidence(policy, [file])), 'ima.files'), ['fail ima.file_unknown boot_aggregate'])
})

test('a log that was not handed over begins with this boot and does not lead to PCR 10: the verdict says so', () => {
  const input = evidence([AGGREGATE, sh, AGGREGATE, sh], 2)
  const appraisal = appraise(input)
  assert.equal(appraisal.status, 'contraindicated')
  assert.deepEqual(said(appraisal, 'ima.replay'), ['fail ima.not_replayed'])
  const [check] = checksNamed(appraisal, 'ima.replay')
  assert.deepEqual(check?.actual, {
    pcr: pcr10('sha256', [AGGREGATE, sh]).toString('hex'),
    entries: 2,
    begins: 'this-boot',
  })
  assert.deepEqual(check.expected, { pcr: pcr10('sha256', [AGGREGATE, sh, AGGREGATE, sh]).toString('hex') })
  assert.deepEqual(said(appraisal, 'ima.files'), ['indeterminate check.blocked'])
  assert.deepEqual(causesOf(appraisal, input), ['evidence.ima-restarted'])
  assert.equal(appraisal.imaState, undefined)
})

for (const [what, log, begins] of [
  ['without its beginning', [sh], 'missing'],
  [
    'of another boot',
    [imaEntry({ fields: [labelled(digestOf('sha256', 'another')), 'boot_aggregate\0'] }), sh],
    'other-boot',
  ],
  ['without anything', [], 'missing'],
] as const) {
  test(`a log ${what} is told from one of another kernel`, () => {
    const input = evidence([AGGREGATE, sh, sh], 0, [...log])
    const appraisal = appraise(input)
    const [check] = checksNamed(appraisal, 'ima.replay')
    assert.equal(check?.code, 'ima.not_replayed')
    assert.deepEqual((check.actual as Readonly<Record<string, unknown>>)['begins'], begins)
    assert.deepEqual(causesOf(appraisal, input), ['evidence.ima-beginning'])
  })
}

test('nothing of this is said where other registers disagree too, or where nobody can say which', () => {
  const { pcrs: _pcrs, ...blind } = evidence([AGGREGATE, sh, AGGREGATE, sh], 2)
  assert.deepEqual(said(appraise(blind), 'ima.replay'), ['indeterminate check.blocked'])
  const value = pcr10('sha256', [AGGREGATE, sh, sh]).toString('hex')
  const pcrs = { ...honest.pcrs, sha256: { ...honest.pcrs['sha256'], '4': '11'.repeat(32), '10': value } }
  const both = { ...evidenceOf(honest, { pcrs }), policy, imaLog: Buffer.concat([AGGREGATE, sh]), pcrs }
  assert.deepEqual(said(appraise(both), 'ima.replay'), ['indeterminate check.blocked'])
})
