import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reviewPolicies } from '../../src/attest/policy-review.ts'

const HEAD =
  'apiVersion: touchstone/v1\nkind: AttestationPolicy\nmetadata: { name: fleet }\nspec:\n  pcrs: sha256:0-23\n'
const DIGEST = 'ab'.repeat(32)

function set(name: string, state = 'active'): string {
  return `apiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: ${name} }\nspec: { entries: [{ value: ${DIGEST}, state: ${state} }] }\n`
}

function review(texts: Readonly<Record<string, string>>, partial = false): string[] {
  const files = Object.entries(texts).map(([file, text]) => ({ file, text }))
  return reviewPolicies(files, { partial }).map(
    ({ file, line, column, severity, path, message }) => `${file}:${line}:${column} ${severity} ${path}: ${message}`,
  )
}

const images = `${HEAD}  boot: { applications: { references: [images] } }\n`

test('documents that belong together and say what they mean have no finding', () => {
  assert.deepEqual(review({ 'a.yaml': images, 'b.yaml': set('images') }), [])
  assert.deepEqual(review({ 'a.yaml': `${images}---\n${set('images')}` }), [])
  assert.deepEqual(review({ 'b.yaml': set('images') }), [])
})

test('a set that nobody has is an error at the rule that names it, with the one that was meant', () => {
  const [finding = '', ...more] = review({ 'a.yaml': images, 'b.yaml': `${set('image')}---\n${set('imags')}` })
  assert.match(
    finding,
    /^a\.yaml:6:40 error spec\.boot\.applications\.references\[0\]: none of these files has a reference set images; did you mean image\?/,
  )
  assert.deepEqual(
    more.map((each) => each.split(' ')[1]),
    ['warning', 'warning'],
  )
})

test('a set that the verifier has is a warning where that is said', () => {
  assert.match(review({ 'a.yaml': images }, true).join(), /^a\.yaml:6:40 warning .*the verifier must have it/)
})

test('sets are sought wherever a rule names them', () => {
  const dbx = `${HEAD}  secureBoot: { dbx: { atLeast: { references: [dbx] } } }\n`
  assert.match(review({ 'a.yaml': dbx }).join(), /error spec\.secureBoot\.dbx\.atLeast\.references\[0\]: none/)
  assert.deepEqual(review({ 'a.yaml': dbx, 'b.yaml': set('dbx') }), [])
})

test('a set that no rule names is a warning, in the policy and beside it', () => {
  const own = `${images}  references: [{ name: old, entries: [{ value: ${DIGEST} }] }]\n`
  assert.deepEqual(review({ 'a.yaml': own, 'b.yaml': `${set('images')}---\n${set('more')}` }), [
    'a.yaml:7:24 warning spec.references[0].name: no rule names the reference set old',
    'b.yaml:8:19 warning metadata.name: no rule names the reference set more',
  ])
})

test('a set in which nothing matches is a warning', () => {
  const found = review({ 'a.yaml': images, 'b.yaml': set('images', 'candidate') })
  assert.deepEqual(found, [
    'b.yaml:3:19 warning metadata.name: images has no entry that matches: none is canary, active or deprecated',
  ])
})

test('a rule over a register that no log records is a warning', () => {
  const [finding = ''] = review({ 'a.yaml': `${HEAD}  pcr: { "16": { anyOf: [${DIGEST}] } }\n` })
  assert.equal(finding, 'a.yaml:6:16 warning spec.pcr.16: no log records PCR 16: the rule can never be evaluated')
})

test('a policy of which every rule is only monitored is a warning', () => {
  const [finding = ''] = review({ 'a.yaml': `${HEAD}  secureBoot: { enabled: { is: true, mode: monitor } }\n` })
  assert.match(finding, /warning spec: every rule is only monitored/)
})

test('a policy whose rules read nothing of the evidence is a warning', () => {
  const [finding = ''] = review({ 'a.yaml': `${HEAD}  rules: [{ name: r, expression: 'node.model == "m"' }]\n` })
  assert.match(finding, /warning spec: no rule that counts reads anything of the evidence/)
})

test('faults of a file come first, and it is reviewed no further', () => {
  const found = review({ 'a.yaml': images.replace('references', 'referenses') })
  assert.deepEqual(
    found,
    [
      'a.yaml:6:27 error spec.boot.applications.referenses: unknown field; did you mean references?',
      'a.yaml:6:25 error spec.boot.applications: needs anyOf, references, required, sequence or verifiedBy',
    ].sort(),
  )
})
