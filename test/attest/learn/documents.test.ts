import assert from 'node:assert/strict'
import test from 'node:test'
import { joinDocuments, policyDocument, referenceSets } from '../../../src/attest/learn/documents.ts'
import type { LearnTerms } from '../../../src/attest/learn/documents.ts'
import { parseReferences, parseResources } from '../../../src/attest/policy.ts'

const TERMS: LearnTerms = { name: 'x', bank: 'sha256', state: 'candidate', now: 0 }
const FROM = { kind: 'package', source: 'a\u202eb' } as const
const digest = (at: number) => `sha256:${at.toString(16).padStart(64, '0')}`

test('entries carry state, label and place, and whatever is in their texts stays there', () => {
  const odd = '\n  evil: {}\u0007"\'#'
  const [set] = referenceSets('x-files', 'a', [{ value: digest(1), label: odd, path: `/a${odd}` }], FROM, TERMS)
  const [entry] = parseReferences(set?.text ?? '')[0]?.entries ?? []
  assert.equal(entry?.path, `/a${odd}`)
  assert.equal(entry.label, `evil: {} "'#`)
  assert.equal(entry.state, 'candidate')
})

test('the same value in the same place is there once', () => {
  const entries = [
    { value: digest(1), path: '/a' },
    { value: digest(1), path: '/a' },
    { value: digest(1), path: '/b' },
  ]
  const [set] = referenceSets('x', 'a', entries, FROM, TERMS)
  assert.equal(parseReferences(set?.text ?? '')[0]?.entries.length, 2)
})

test('more than is read in YAML becomes one set in JSON, a text by itself, with an entry a line', () => {
  const entries = Array.from({ length: 12_001 }, (_, at) => ({
    value: digest(at),
    label: 'p "q"',
    path: `/usr/lib/some/where/${at}`,
  }))
  const [set, ...more] = referenceSets('x', 'a', entries, FROM, TERMS)
  assert.ok(set !== undefined)
  assert.deepEqual(more, [])
  const spec = { pcrs: 'sha256:0-15', secureBoot: { enabled: { is: true } } }
  const [policy, alone] = joinDocuments([set, policyDocument('y', 'a', spec)])
  assert.equal(parseResources(policy ?? '')[0]?.name, 'y')
  assert.equal(alone, set.text)
  const [read] = parseReferences(set.text)
  assert.deepEqual([read?.name, read?.entries.length, read?.entries[7]?.label], ['x', 12_001, 'p "q"'])
  assert.equal(set.text.split('\n').filter((line) => line.includes('"value"')).length, 12_001)
})

test('more than one text in JSON can hold becomes several sets', () => {
  const entries = Array.from({ length: 200_001 }, (_, at) => ({ value: digest(at) }))
  const sets = referenceSets('x', 'a', entries, FROM, TERMS)
  assert.deepEqual(
    sets.map(({ name }) => name),
    ['x', 'x-2'],
  )
})

test('few documents are one text', () => {
  const spec = { pcrs: 'sha256:0-15', secureBoot: { enabled: { is: true } } }
  const policy = policyDocument('x', 'a', spec, ['first\nevil: {}'])
  const [set] = referenceSets('y', 'a', [{ value: digest(1) }], FROM, TERMS)
  assert.ok(set !== undefined)
  const texts = joinDocuments([policy, set])
  assert.equal(texts.length, 1)
  assert.deepEqual(
    parseResources(texts[0] ?? '').map(({ name }) => name),
    ['x', 'y'],
  )
})
