import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { Appraisal } from '../../src/attest/appraise.ts'
import { endException } from '../../src/attest/exception-edit.ts'
import { exceptionDoubts, exceptionFault } from '../../src/attest/exceptions.ts'
import { explainCheck } from '../../src/attest/explain.ts'
import { reviewPolicies } from '../../src/attest/policy-review.ts'
import { parseException, parsePolicy, PolicyError } from '../../src/attest/policy.ts'
import type { Check } from '../../src/core/index.ts'
import { fileEntry } from '../eventlog/build-ima-log.ts'
import { evidenceOf, honest, recordedBoot } from './case.ts'
import { fakeTpm } from './evidence.ts'
import { imaEvidence, imaPolicy, setOf, sha256Of } from './ima-case.ts'

const ID = '0198f3c2-0000-7000-8000-000000000001'
const EXPIRES = Date.parse('2026-12-24T12:00:00Z')
const LAB = { nodeId: ID, labels: { site: 'lab' } }

function exceptionText(spec = ''): string {
  const fields = new Map([
    ['rules', '[secure-boot-on]'],
    ['nodes', '{ selector: { site: lab } }'],
    ['owner', 'ops@example.com'],
    ['reason', '"keys are exchanged, ticket 12"'],
    ['expires', '2026-12-24T12:00:00Z'],
  ])
  for (const [name, value] of Object.entries(changesOf(spec))) fields.set(name, value)
  const lines = [...fields].map(([name, value]) => `  ${name}: ${value}\n`).join('')
  return `apiVersion: touchstone/v1\nkind: PolicyException\nmetadata: { name: lab-keys }\nspec:\n${lines}`
}

/** `name: value` lines. */
function changesOf(spec: string): Record<string, string> {
  return Object.fromEntries(
    spec
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const at = line.indexOf(':')
        return [line.slice(0, at).trim(), line.slice(at + 1).trim()]
      }),
  )
}

const policy = parsePolicy(`apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: test }
spec:
  pcrs: sha256:0-15
  requiredFacts: [secureBoot.dbr]
  secureBoot:
    enabled: { is: true, name: secure-boot-on }
    setupMode: { is: false }
  rules:
    - { name: never, expression: "boot.secureBoot.setupMode" , claim: configuration, mode: monitor }
`)
const off = { ...evidenceOf(recordedBoot('secureboot-off')), policy }

function judged(spec = '', circumstances: { now?: number; node?: typeof LAB | undefined } = {}): Appraisal {
  const { now = EXPIRES - 1, node = 'node' in circumstances ? circumstances.node : LAB } = circumstances
  const exceptions = [parseException(exceptionText(spec))]
  return appraise({ ...off, exceptions, now, ...(node === undefined ? {} : { node }) })
}

function of({ checks }: Appraisal, rule: string): Check {
  const found = checks.find((check) => check.rule === `test/${rule}`)
  assert.ok(found)
  return found
}

function said(appraisal: Appraisal, rule: string): string {
  const { outcome, code, exception } = of(appraisal, rule)
  return [outcome, code, exception === undefined ? '' : (exception.unused ?? 'excused')].join(' ').trim()
}

const ALL = 'rules: [secure-boot-on, secureBoot.dbr]'

test('a live exception makes a warning of a failed rule, and names owner, reason and end', () => {
  const appraisal = judged()
  assert.equal(said(appraisal, 'secure-boot-on'), 'warn policy.no_match excused')
  assert.deepEqual(of(appraisal, 'secure-boot-on').exception, {
    name: 'lab-keys',
    owner: 'ops@example.com',
    reason: 'keys are exchanged, ticket 12',
    expires: '2026-12-24T12:00:00.000Z',
  })
  assert.match(explainCheck(of(appraisal, 'secure-boot-on')), /excused until 2026-12-24.* of ops@example\.com/)
})

test('a node under exceptions is warned of and never affirmed', () => {
  assert.equal(judged().status, 'contraindicated')
  const all = judged(ALL)
  assert.equal(all.status, 'warning')
  assert.equal(all.vector.configuration, 32)
  assert.equal(judged(`${ALL}\nsets: 60`).vector.configuration, 60)
  assert.equal(judged(`${ALL}\nsets: unsafe_config`).vector.configuration, 32)
  assert.equal(judged(`${ALL}\nsets: unrecognized_rt`).vector.configuration, 32)
})

test('an exception ends in the very moment that it says, and is shown as expired from then on', () => {
  assert.equal(said(judged('', { now: EXPIRES - 1 }), 'secure-boot-on'), 'warn policy.no_match excused')
  const over = judged('', { now: EXPIRES })
  assert.equal(said(over, 'secure-boot-on'), 'fail policy.no_match expired')
  assert.match(explainCheck(of(over, 'secure-boot-on')), /expired at 2026-12-24.*repair the node, or renew it/)
})

test('rules are named by their name or by the fact that they are over, and facts that must be known by themselves', () => {
  assert.equal(said(judged('rules: [secureBoot.enabled]'), 'secure-boot-on'), 'warn policy.no_match excused')
  assert.equal(said(judged(ALL), 'requiredFacts'), 'warn fact.unknown excused')
  assert.equal(said(judged('rules: [something-else]'), 'secure-boot-on'), 'fail policy.no_match')
})

for (const [what, spec, circumstances, result] of [
  ['of another policy', 'policy: other', {}, 'fail policy.no_match'],
  ['of just this policy', 'policy: test', {}, 'warn policy.no_match excused'],
  ['for this node by its id', `nodes: { ids: [${ID}] }`, {}, 'warn policy.no_match excused'],
  ['for another node', 'nodes: { ids: [0198f3c2-0000-7000-8000-000000000002] }', {}, 'fail policy.no_match'],
  ['for nodes of another site', 'nodes: { selector: { site: north } }', {}, 'fail policy.no_match'],
  ['for nodes with one more label', 'nodes: { selector: { site: lab, ring: one } }', {}, 'fail policy.no_match'],
  ['and nobody says which node it is', '', { node: undefined }, 'fail policy.no_match'],
] as const) {
  test(`an exception ${what} is about what it says and nothing else`, () => {
    assert.equal(said(judged(spec, circumstances), 'secure-boot-on'), result)
  })
}

test('of several exceptions the one that lasts longest is named, and an expired one takes nothing from it', () => {
  const texts = ['2026-12-20', '2026-12-30', '2026-12-25'].map((expires) => exceptionText(`expires: ${expires}`))
  const exceptions = texts.map(parseException)
  const appraisal = appraise({ ...off, exceptions, now: EXPIRES, node: LAB })
  assert.equal(of(appraisal, 'secure-boot-on').exception?.expires, '2026-12-30T00:00:00.000Z')
  assert.equal(of(appraisal, 'secure-boot-on').outcome, 'warn')
})

test('exceptions may stand in the text of the policy', () => {
  const text = `apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: test }
spec: { pcrs: "sha256:0-15", secureBoot: { enabled: { is: true } } }
---
${exceptionText('rules: [secureBoot.enabled]')}`
  const appraisal = appraise({ ...off, policy: parsePolicy(text), now: EXPIRES - 1, node: LAB })
  assert.equal(appraisal.status, 'warning')
})

test('what the house asks is no rule, and quotes, keys and monitored rules are never excused', () => {
  const rules = 'rules: [quote.signature, ak.enrolled, secureBoot.enabled, secureBoot.setupMode, quote.nonce, never]'
  const exceptions = [parseException(exceptionText(rules))]
  const forged = appraise({ ...off, ak: { public: fakeTpm().akBytes }, exceptions, now: 0, node: LAB })
  assert.equal(forged.status, 'contraindicated')
  assert.deepEqual(
    forged.checks
      .filter(({ exception }) => exception !== undefined)
      .map(({ outcome, exception }) => [outcome, exception?.unused]),
    [
      ['indeterminate', 'refused'],
      ['indeterminate', 'refused'],
    ],
  )
  const { mode, exception } = of(judged(rules), 'never')
  assert.deepEqual([mode, exception], ['monitor', undefined])
})

test('a revoked value contraindicates under any exception, which says that it does not count', () => {
  const sets = `---\napiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: lines }\nspec:\n  entries: [{ value: "VALUE", state: revoked }]\n`
  const base = `apiVersion: touchstone/v1\nkind: AttestationPolicy\nmetadata: { name: test }\nspec:\n  pcrs: sha256:0-15\n  pcr: { "7": { references: [lines], onFailure: warn } }\n`
  const value = honest.pcrs['sha256']?.['7'] ?? ''
  const revoking = parsePolicy(base + sets.replace('VALUE', value))
  const exceptions = [parseException(exceptionText('rules: [pcr.7]'))]
  const appraisal = appraise({ ...evidenceOf(honest), policy: revoking, exceptions, now: 0, node: LAB })
  assert.equal(appraisal.status, 'contraindicated')
  assert.equal(said(appraisal, 'pcr.7'), 'fail policy.revoked refused')
})

test('a reference set that is missing might revoke, so no exception makes up for it', () => {
  const missing = parsePolicy(
    `apiVersion: touchstone/v1\nkind: AttestationPolicy\nmetadata: { name: test }\nspec: { pcrs: "sha256:0-15", pcr: { "7": { references: [gone] } } }\n`,
  )
  const exceptions = [parseException(exceptionText('rules: [pcr.7]'))]
  const appraisal = appraise({ ...evidenceOf(honest), policy: missing, exceptions, now: 0, node: LAB })
  assert.equal(said(appraisal, 'pcr.7'), 'indeterminate policy.reference_missing refused')
})

test('a revoked file is not excused with many unknown ones that hide it', () => {
  const list = setOf('os', [
    [sha256Of('shell'), '/bin/sh'],
    [sha256Of('bad'), '/bin/bad', 'revoked'],
  ])
  const files = imaPolicy('allow: { references: [os] }', list)
  const unknown = Array.from({ length: 20 }, (_, n) => fileEntry(`/opt/${n}`, `new ${n}`))
  const exceptions = [parseException(exceptionText('rules: [ima.allow]'))]
  const under = (entries: readonly Buffer[]) =>
    appraise({ ...imaEvidence(files, entries), exceptions, now: 0, node: LAB })
  const good = under([fileEntry('/bin/sh', 'shell'), ...unknown])
  assert.equal(good.status, 'warning')
  const bad = under([fileEntry('/bin/sh', 'shell'), ...unknown, fileEntry('/bin/bad', 'bad')])
  assert.equal(bad.status, 'contraindicated')
  const failed = bad.checks.filter(({ outcome }) => outcome === 'fail')
  assert.deepEqual(
    failed.map(({ code, event, exception }) => [code, event?.summary, exception?.unused]),
    [['policy.revoked', '/bin/bad', 'refused']],
  )
})

test('nothing depends on exceptions where the time is not known', () => {
  const exceptions = [parseException(exceptionText(ALL))]
  assert.equal(appraise({ ...off, exceptions, node: LAB }).status, 'contraindicated')
})

test('an exception lasts at most 90 days from when it is applied', () => {
  const exception = parseException(exceptionText())
  const day = 24 * 3600 * 1000
  assert.equal(exceptionFault(exception, EXPIRES - 90 * day), undefined)
  assert.match(exceptionFault(exception, EXPIRES - 90 * day - 1) ?? '', /at most 90 days, until 2026-12-24/)
})

test('an exception to rules that there are not is doubted, with what was meant', () => {
  const doubts = (spec: string, now?: number) =>
    exceptionDoubts(parseException(exceptionText(spec)), [policy], now).map(({ message }) => message)
  assert.deepEqual(doubts(ALL), [])
  assert.deepEqual(doubts('rules: [secureBoot.enabeld]'), [
    'no policy has a rule secureBoot.enabeld: it excuses nothing; did you mean secureBoot.enabled?',
  ])
  assert.match(doubts('policy: tset').join(), /there is no policy tset; did you mean test\?/)
  assert.match(doubts('', EXPIRES).join(), /has expired/)
})

test('policy check shows where an exception is wrong, or says nothing', () => {
  const review = (spec: string, now?: number) =>
    reviewPolicies(
      [
        {
          file: 'a.yaml',
          text: `apiVersion: touchstone/v1\nkind: AttestationPolicy\nmetadata: { name: test }\nspec: { pcrs: "sha256:7", secureBoot: { enabled: { is: true } } }\n`,
        },
        { file: 'b.yaml', text: exceptionText(spec) },
      ],
      now === undefined ? {} : { now },
    ).map(({ file, line, column, severity, path }) => `${file}:${line}:${column} ${severity} ${path}`)
  assert.deepEqual(review('rules: [secureBoot.enabled]'), [])
  assert.deepEqual(review('rules: [secureBoot.enabled, other]'), ['b.yaml:5:31 warning spec.rules[1]'])
  assert.deepEqual(review('rules: [secureBoot.enabled]', EXPIRES), ['b.yaml:9:12 warning spec.expires'])
  assert.deepEqual(review('rules: [secureBoot.enabled]', 0), ['b.yaml:9:12 error spec.expires'])
})

for (const [what, spec, path] of [
  ['without an end', 'expires: soon', 'spec.expires'],
  ['for no rule', 'rules: []', 'spec.rules'],
  ['without an owner', 'owner: ""', 'spec.owner'],
  ['without a reason', 'reason: ""', 'spec.reason'],
  ['for nodes by id and label at once', `nodes: { ids: [${ID}], selector: { a: b } }`, 'spec.nodes'],
  ['for nodes that nobody names', 'nodes: {}', 'spec.nodes'],
  ['for every node', 'nodes: { selector: {} }', 'spec.nodes.selector'],
  ['that denies', 'sets: 96', 'spec.sets'],
  ['with a field that there is not', 'until: 2027-01-01', 'spec.until'],
] as const) {
  test(`an exception ${what} is refused at its place`, () => {
    assert.throws(
      () => parseException(exceptionText(spec)),
      (error) => error instanceof PolicyError && error.faults.map((fault) => fault.path).includes(path),
    )
  })
}

test('a document is ended where it stands, in YAML and in JSON, and says what it said otherwise', () => {
  const at = EXPIRES - 5000
  const text = exceptionText().replace(/^ {2}expires:.*$/m, (line) => `${line} # ask first`)
  const ended = endException(text, at)
  assert.equal(parseException(ended).expires, at)
  assert.match(ended, /^ {2}expires: "20\S+Z" # ask first$/m)
  const { name, rules, nodes, owner, reason } = parseException(text)
  const json = JSON.stringify({
    apiVersion: 'touchstone/v1',
    kind: 'PolicyException',
    metadata: { name },
    spec: { rules, nodes, owner, reason, expires: '2026-12-24' },
  })
  const endedJson = endException(json, at)
  assert.doesNotThrow(() => JSON.parse(endedJson))
  assert.equal(parseException(endedJson).expires, at)
})
