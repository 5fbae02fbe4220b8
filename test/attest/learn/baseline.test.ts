import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import test from 'node:test'
import { learnBaseline } from '../../../src/attest/learn/baseline.ts'
import { joinDocuments } from '../../../src/attest/learn/documents.ts'
import type { LearnTerms } from '../../../src/attest/learn/documents.ts'
import { reviewPolicies } from '../../../src/attest/policy-review.ts'
import { parseReferences } from '../../../src/attest/policy.ts'
import { parseEventLog } from '../../../src/eventlog/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../../fixtures/shared-data.ts'
import { recordedBoot } from '../case.ts'
import { refusedFacts } from './learned-log.ts'

const TERMS: LearnTerms = { name: 'rim', bank: 'sha256', state: 'active', now: 0 }
const { eventLog } = recordedBoot('honest')
const LOGS = [{ label: 'honest', eventLog }]

test('a baseline has the digest of every event of the firmware, by register and with what it is of', () => {
  const { documents } = learnBaseline(LOGS, TERMS)
  const sets = documents.slice(1).map(({ text }) => parseReferences(text)[0])
  assert.deepEqual(
    sets.map((set) => set?.name),
    [0, 1, 2, 3, 4, 5, 6, 7].map((pcr) => `rim-pcr-${pcr}`),
  )
  for (const { pcr, type, digests } of parseEventLog(eventLog).events) {
    // EV_NO_ACTION measures nothing.
    if (pcr > 7 || type === 3) continue
    const digest = digests.get('sha256')?.toString('hex')
    assert.ok(sets[pcr]?.entries.some(({ value, label = '' }) => value === digest && label.startsWith('EV_')))
  }
})

test('the rules of a baseline accept its boot, and refuse one that measured something else', () => {
  const [text = ''] = joinDocuments(learnBaseline(LOGS, TERMS).documents)
  assert.deepEqual(reviewPolicies([{ file: 'x', text }]), [])
  assert.deepEqual(refusedFacts(text, eventLog), [])
  assert.deepEqual(refusedFacts(text, recordedBoot('secureboot-off').eventLog), ['secureBoot.authorities'])
})

test('what no rule reads is said by register', () => {
  const told = learnBaseline(LOGS, TERMS).notes.map(({ message }) => message)
  assert.equal(told[0], 'no rule reads single events of PCR 0, 2, 3, 6: judged as a whole')
  assert.ok(told.some((message) => message.startsWith('no rule reads these of PCR 4: EV_EFI_ACTION')))
})

test('a baseline of several boots accepts each of them', () => {
  const names = ['honest', 'secureboot-off'] as const
  const logs = names.map((name) => ({ label: name, eventLog: recordedBoot(name).eventLog }))
  const [text = ''] = joinDocuments(learnBaseline(logs, TERMS).documents)
  for (const log of logs) assert.deepEqual(refusedFacts(text, log.eventLog), [])
})

test('every real log passes the baseline that was learned from it', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const names = readdirSync(sharedData('eventlogs')).filter(
    (name) => name.endsWith('.bin') && !/ccel|no-action|measurefs/.test(name),
  )
  for (const name of names) {
    const log = readFileSync(sharedData(`eventlogs/${name}`))
    const bank = parseEventLog(log).banks.includes('sha256') ? 'sha256' : 'sha1'
    const [text = '', ...more] = joinDocuments(
      learnBaseline([{ label: name, eventLog: log }], { ...TERMS, bank }).documents,
    )
    assert.equal(more.length, 0)
    assert.deepEqual(reviewPolicies([{ file: 'x', text }]), [], name)
    assert.deepEqual(refusedFacts(text, log, bank), [], name)
  }
})

test('a log that measures nothing of the firmware has no baseline', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const log = readFileSync(sharedData('eventlogs/eve-measurefs-headerless.bin'))
  assert.throws(() => learnBaseline([{ label: 'x', eventLog: log }], TERMS), { code: 'learn.nothing' })
})
