import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { appraise } from '../../src/attest/appraise.ts'
import { imaBasis } from '../../src/attest/ima-basis.ts'
import { canaryShare, setsInForce } from '../../src/attest/lifecycle.ts'
import type { Circumstances } from '../../src/attest/lifecycle.ts'
import { parseReferences, PolicyError } from '../../src/attest/policy.ts'
import { fileEntry } from '../eventlog/build-ima-log.ts'
import { evidenceOf, honest, learned, policyOf, ruleCheck } from './case.ts'
import { checksNamed, imaEvidence, imaPolicy, setOf as setOfFiles, sha256Of } from './ima-case.ts'

const HEAD = 'apiVersion: touchstone/v1\nkind: ReferenceSet\n'
const DBX = learned.rules.find(({ row }) => row.fact === 'secureBoot.dbx')?.matcher.anyOf?.[0] ?? ''
const OTHER = 'ab'.repeat(32)
const ID = '0198f3c2-0000-7000-8000-000000000001'
const at = (time: string) => Date.parse(time)
const NOW = at('2026-11-23T12:00:00Z')
const EK = 'ec'.repeat(32)
const LAB = { ekSha256: EK, labels: { site: 'lab' } }

/** Sets whose spec begins with `spec`, with one entry of these fields, and what comes of it. */
function setOf(entry: string, spec = '', name = 'dbx', value = DBX): string {
  return `${HEAD}metadata: { name: ${name} }\nspec:\n${spec}  entries: [{ value: ${value}, label: release 14.2${entry} }]\n`
}

function judged(text: string, circumstances: Circumstances = { now: NOW, node: LAB }, rule = 'references: [dbx]') {
  const policy = policyOf(`  pcrs: sha256:0-15\n  secureBoot: { dbx: { ${rule} } }`)
  const { now, node } = circumstances
  const appraisal = appraise({
    ...evidenceOf(honest),
    policy,
    references: parseReferences(text),
    ...(now === undefined ? {} : { now }),
    ...(node === undefined
      ? {}
      : { node: { labels: node.labels, ...(node.ekSha256 === undefined ? {} : { ekSha256: node.ekSha256 }) } }),
  })
  const check = ruleCheck(appraisal, 'secureBoot.dbx')
  return { ...check, result: [check.outcome, check.code ?? ''].join(' ').trim(), status: appraisal.status }
}

const CASES: readonly (readonly [what: string, entry: string, result: string])[] = [
  ['a candidate does not match', ', state: candidate', 'fail policy.candidate'],
  ['a canary matches on a node that has the label', ', state: canary, canary: { selector: { site: lab } }', 'pass'],
  [
    'a canary does not match on a node with another value of the label',
    ', state: canary, canary: { selector: { site: north } }',
    'fail policy.canary',
  ],
  [
    'a canary does not match on a node that lacks one of its labels',
    ', state: canary, canary: { selector: { site: lab, ring: one } }',
    'fail policy.canary',
  ],
  ['a canary of all nodes matches', ', state: canary, canary: { percentage: 100 }', 'pass'],
  ['a canary of none does not', ', state: canary, canary: { percentage: 0 }', 'fail policy.canary'],
  ['a deprecated value matches with a warning', ', state: deprecated', 'warn policy.deprecated'],
  [
    'a deprecated value still matches in the moment before its end',
    ', state: deprecated, until: 2026-11-23T12:00:00.001Z',
    'warn policy.deprecated',
  ],
  [
    'a deprecated value is unknown from its end on',
    ', state: deprecated, until: 2026-11-23T12:00:00Z',
    'fail policy.reference_expired',
  ],
  [
    'a deprecated value is revoked from its end on, where that is said',
    ', state: deprecated, until: 2026-11-23, thereafter: revoked',
    'fail policy.revoked',
  ],
  ['a value is not known before it is valid', ', validFrom: 2026-11-23T12:00:00.001Z', 'fail policy.reference_early'],
  ['a value is known in the moment that it is valid from', ', validFrom: 2026-11-23T12:00:00Z', 'pass'],
  [
    'a value is not known when it is no longer valid',
    ', validUntil: 2026-11-23T12:00:00Z',
    'fail policy.reference_expired',
  ],
  ['what is revoked stays so behind its time', ', state: revoked, validUntil: 2026-01-01', 'fail policy.revoked'],
  ['the time since when it has a state is only told', ', state: active, since: 2027-01-01', 'pass'],
]
for (const [what, entry, result] of CASES) {
  test(what, () => {
    assert.equal(judged(setOf(entry)).result, result)
  })
}

test('what a whole set is goes for its entries, and the more cautious of two states stands', () => {
  const results = (spec: string, entry: string) => judged(setOf(entry, spec)).result
  assert.equal(results('  state: candidate\n', ''), 'fail policy.candidate')
  assert.equal(results('  state: revoked\n', ', state: active'), 'fail policy.revoked')
  assert.equal(results('  state: deprecated\n', ', state: candidate'), 'fail policy.candidate')
  assert.equal(results('  state: deprecated\n  until: 2026-01-01\n', ''), 'fail policy.reference_expired')
  assert.equal(results('  state: canary\n  canary: { selector: { site: lab } }\n', ''), 'pass')
  assert.equal(results('  canary: { selector: { site: north } }\n', ', state: canary'), 'fail policy.canary')
  assert.equal(results('  validUntil: 2026-01-01\n', ', validUntil: 2030-01-01'), 'fail policy.reference_expired')
})

test('a revoked value contraindicates however little the rule asks', () => {
  const { outcome, status } = judged(setOf(', state: revoked'), undefined, 'references: [dbx], onFailure: warn')
  assert.deepEqual([outcome, status], ['fail', 'contraindicated'])
})

test('releases share files: what does not match in one takes nothing from what matches in another', () => {
  const both = (a: string, b: string) => judged(`${setOf(a)}---\n${setOf(b)}`).result
  const candidate = ', state: candidate'
  const canary = ', state: canary, canary: { percentage: 0 }'
  for (const other of [candidate, canary, ', state: deprecated', ', validUntil: 2026-01-01']) {
    assert.equal(both('', other), 'pass', other)
    assert.equal(both(other, ''), 'pass', other)
    assert.equal(both(other, ', state: revoked'), 'fail policy.revoked', other)
  }
  assert.equal(both(candidate, ', state: deprecated'), 'warn policy.deprecated')
})

test('a value that does not match may still be allowed by itself', () => {
  const rule = `references: [dbx], anyOf: [${DBX}]`
  assert.equal(judged(setOf(', state: candidate'), undefined, rule).result, 'pass')
})

test('a check names the entry: what it is called, in which set, since and until when', () => {
  const { nearest } = judged(setOf(', state: deprecated, since: 2026-10-01, until: 2026-12-01'))
  assert.deepEqual(nearest, {
    value: DBX,
    label: 'release 14.2',
    state: 'deprecated',
    set: 'dbx',
    since: '2026-10-01T00:00:00.000Z',
    until: '2026-12-01T00:00:00.000Z',
  })
})

test('without the node a canary cannot be judged, unless its labels or its share say enough', () => {
  const share = ', state: canary, canary: { percentage: 50 }'
  const labelled = ', state: canary, canary: { selector: { site: lab } }'
  const nobody = 'indeterminate policy.reference_undetermined'
  assert.equal(judged(setOf(share), { now: NOW }).result, nobody)
  assert.equal(judged(setOf(labelled), { now: NOW }).result, nobody)
  assert.equal(judged(setOf(labelled), { now: NOW, node: { labels: { site: 'lab' } } }).result, 'pass')
  assert.equal(judged(setOf(share), { now: NOW, node: { labels: {} } }).result, nobody)
  assert.equal(judged(setOf(share), { now: NOW, node: { nodeId: ID, labels: {} } }).result, nobody)
  assert.notEqual(judged(setOf(share), { now: NOW, node: { ekSha256: EK, labels: {} } }).result, nobody)
  assert.equal(judged(setOf(', validUntil: 2030-01-01'), { node: LAB }).result, nobody)
  assert.equal(judged(setOf(share), { now: NOW }).status, 'contraindicated')
})

test('entries that a database must have may be undetermined, which is no pass', () => {
  const rule = 'atLeast: { references: [dbx] }'
  const canary = ', state: canary, canary: { selector: { site: lab } }'
  const absent = (node: Circumstances['node']) =>
    judged(setOf(canary, '', 'dbx', OTHER), { now: NOW, node }, rule).result
  assert.equal(absent(undefined), 'indeterminate policy.reference_undetermined')
  assert.equal(absent(LAB), 'fail policy.entries_missing')
  assert.equal(absent({ ekSha256: EK, labels: {} }), 'pass')
})

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/)

test('raising the percentage only ever adds nodes', () => {
  const chosen = (set: string, percentage: number, ekSha256: string) => {
    const entry = { value: 'v', state: 'canary' as const, canary: { percentage } }
    const [inForce] = setsInForce([{ name: set, entries: [entry] }], { now: 0, node: { ekSha256, labels: {} } })
    return inForce?.entries[0]?.state === 'active'
  }
  const share = fc.integer({ min: 0, max: 10_000 }).map((hundredths) => hundredths / 100)
  fc.assert(
    fc.property(name, fc.stringMatching(/^[0-9a-f]{64}$/), share, share, (set, ek, a, b) => {
      const [less, more] = a < b ? [a, b] : [b, a]
      assert.ok(!chosen(set, less, ek) || chosen(set, more, ek))
      assert.ok(chosen(set, 100, ek) && !chosen(set, 0, ek))
      assert.equal(chosen(set, a, ek), chosen(set, a, ek))
    }),
  )
})

test('a percentage chooses about that share of the nodes, and other ones for other sets', () => {
  const nodes = Array.from({ length: 4000 }, (_, n) => `0198f3c2-0000-7000-8000-${n.toString(16).padStart(12, '0')}`)
  const tenth = (set: string) => nodes.filter((node) => canaryShare(set, node) < 1000)
  const [a, b] = [tenth('one'), tenth('two')]
  for (const each of [a, b]) assert.ok(each.length > 300 && each.length < 500, String(each.length))
  const both = a.filter((node) => b.includes(node)).length
  assert.ok(both < 100, String(both))
})

test('where nodes stand among canaries is the same in every version', () => {
  // Made with: printf 'touchstone canary v1\nedge\n%s' ID | sha256sum; the first 64 bits as a fraction, times 10,000.
  assert.equal(canaryShare('edge', ID), 6135)
})

test('files of an allow-list have a life like every other value, and are judged anew when it changes', () => {
  const entry = `{ value: "${sha256Of('shell')}", path: /bin/sh`
  const under = (more: string, node: Circumstances['node'], now = NOW) => {
    const list = `${HEAD}metadata: { name: os }\nspec: { entries: [${entry}${more} }] }\n`
    const policy = imaPolicy('allow: { references: [os] }', `---\n${list}`)
    const circumstances = { now, ...(node === undefined ? {} : { node: { labels: node.labels, ekSha256: EK } }) }
    const said = checksNamed(
      appraise({ ...imaEvidence(policy, [fileEntry('/bin/sh', 'shell')]), ...circumstances }),
      'ima.files',
    )
    return { said: said.map(({ outcome, code = '' }) => `${outcome} ${code}`.trim()).join(), policy, circumstances }
  }
  const canary = ', state: canary, canary: { selector: { site: lab } }'
  const here = under(canary, LAB)
  assert.equal(here.said, 'pass')
  assert.equal(under(canary, { labels: {} }).said, 'fail policy.canary')
  assert.equal(under(canary, undefined).said, 'indeterminate policy.reference_undetermined')
  const ending = ', state: deprecated, until: 2026-11-24, thereafter: revoked'
  assert.equal(under(ending, LAB).said, 'warn policy.deprecated')
  assert.equal(under(ending, LAB, NOW + 24 * 3600 * 1000).said, 'fail policy.revoked')
  const basis = (node: Circumstances['node']) =>
    imaBasis({
      policy: here.policy,
      now: NOW,
      ...(node === undefined ? {} : { node: { labels: node.labels, ekSha256: EK } }),
    })
  assert.equal(basis(LAB), basis({ labels: { site: 'lab', more: 'x' } }))
  assert.notEqual(basis(LAB), basis({ labels: {} }))
})

test('a file that is revoked at another path is revoked at this one, too', () => {
  const digest = sha256Of('shell')
  const list = setOfFiles('os', [
    [digest, '/bin/sh'],
    [digest, '/opt/sh', 'revoked'],
  ])
  const policy = imaPolicy('allow: { references: [os] }', list)
  const [check] = checksNamed(appraise(imaEvidence(policy, [fileEntry('/bin/sh', 'shell')])), 'ima.files')
  assert.equal(check?.code, 'policy.revoked')
})

test('the same objects are answered for as long as no entry changes, for every node of a kind', () => {
  const [set] = parseReferences(setOf(', state: canary, canary: { selector: { site: lab } }, validUntil: 2027-01-01'))
  assert.ok(set !== undefined)
  const stand = (now: number, labels: Record<string, string>) =>
    setsInForce([set], { now, node: { ekSha256: EK, labels } })[0]
  const first = stand(NOW, { site: 'lab' })
  assert.equal(stand(NOW + 1, { site: 'lab', more: 'x' }), first)
  assert.notEqual(stand(NOW, { site: 'north' }), first)
  assert.notEqual(stand(at('2027-01-01T00:00:00Z'), { site: 'lab' }), first)
  assert.equal(stand(NOW, { site: 'lab' }), first)
})

test('where a set comes from is kept', () => {
  const from = `  provenance: { kind: corim, source: release.corim, digest: "sha256:${OTHER}", by: vendor key, at: 2026-11-01 }\n`
  const [set] = parseReferences(setOf('', from))
  assert.deepEqual(set?.provenance, {
    kind: 'corim',
    source: 'release.corim',
    digest: `sha256:${OTHER}`,
    by: 'vendor key',
    at: at('2026-11-01T00:00:00Z'),
  })
})

const FAULTS: readonly (readonly [what: string, entry: string, spec: string, fault: string])[] = [
  ['a canary of nobody', ', state: canary', '', 'spec.entries[0].state'],
  ['a set of canaries of nobody', '', '  state: canary\n', 'spec.state'],
  ['an empty canary', ', state: canary, canary: {}', '', 'spec.entries[0].canary'],
  ['a selector without labels', ', canary: { selector: {} }', '', 'spec.entries[0].canary.selector'],
  ['more than all nodes', ', canary: { percentage: 100.1 }', '', 'spec.entries[0].canary.percentage'],
  ['an end of what is not deprecated', ', until: 2027-01-01', '', 'spec.entries[0].until'],
  ['what comes after no end', ', state: deprecated, thereafter: revoked', '', 'spec.entries[0].thereafter'],
  ['a span that is none', ', validFrom: 2027-01-01, validUntil: 2027-01-01', '', 'spec.entries[0].validUntil'],
  ['a day that there is not', ', since: 2027-02-30', '', 'spec.entries[0].since'],
  ['a time of nowhere', ', since: 2027-02-01T12:00:00', '', 'spec.entries[0].since'],
  ['a source of no kind', '', '  provenance: { source: x }\n', 'spec.provenance.kind'],
]
for (const [what, entry, spec, fault] of FAULTS) {
  test(`${what} is a fault at its place`, () => {
    const paths = (): readonly string[] => {
      try {
        parseReferences(setOf(entry, spec))
        return []
      } catch (error) {
        assert.ok(error instanceof PolicyError)
        return error.faults.map(({ path }) => path)
      }
    }
    assert.deepEqual(paths(), [fault])
  })
}
