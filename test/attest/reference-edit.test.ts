import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { parseReferences } from '../../src/attest/policy.ts'
import { promote } from '../../src/attest/reference-edit.ts'
import type { Promotion } from '../../src/attest/reference-edit.ts'
import { changesBetween, countStandings } from '../../src/attest/reference-history.ts'
import { isTouchstoneError } from '../../src/core/index.ts'

const AT = Date.parse('2026-11-23T12:00:00Z')
const SINCE = '2026-11-23T12:00:00.000Z'
const A = 'aa'.repeat(32)
const B = 'bb'.repeat(32)
const C = 'cc'.repeat(32)

const TEXT = `# Releases of the edge image; ask ops before you change this.
apiVersion: touchstone/v1
kind: ReferenceSet
metadata: { name: edge }   # one set for all boxes
spec:
    provenance: { kind: vendor, source: "https://example.com/14.2" }
    entries:
    # what everybody has
    - { value: ${A}, label: 'release 14.1',   state: active } # since spring
    - value: ${B}   # the kernel
      label: release 14.2
      state:   candidate # seen on box 7
      canary:
        selector:
          site: lab

    - value: ${C}
`

function promoted(change: Partial<Promotion> & Pick<Promotion, 'which' | 'to'>, text = TEXT) {
  return promote(text, { at: AT, ...change })
}

/** Lines that are no longer there, and lines that are new. */
function difference(before: string, after: string): { gone: string[]; made: string[] } {
  const [old, now] = [before.split('\n'), after.split('\n')]
  return { gone: old.filter((line) => !now.includes(line)), made: now.filter((line) => !old.includes(line)) }
}

test('an entry on one line is changed in it, and nothing else of the text is', () => {
  const { text, changed } = promoted({ which: { value: A }, to: 'revoked' })
  assert.equal(changed, 1)
  assert.deepEqual(difference(TEXT, text), {
    gone: [`    - { value: ${A}, label: 'release 14.1',   state: active } # since spring`],
    made: [`    - { value: ${A}, label: 'release 14.1',   state: revoked, since: ${SINCE} } # since spring`],
  })
})

test('an entry in a block is changed line by line, comments kept', () => {
  const { text } = promoted({ which: { label: 'release 14.2' }, to: 'active' })
  assert.deepEqual(difference(TEXT, text), {
    gone: ['      state:   candidate # seen on box 7'],
    made: ['      state:   active # seen on box 7', `      since: ${SINCE}`],
  })
})

test('an entry without a state gets one', () => {
  const { text } = promoted({ which: { value: C }, to: 'deprecated', until: AT + 1000, thereafter: 'revoked' })
  assert.ok(
    text.endsWith(`    - value: ${C}
      state: deprecated
      since: ${SINCE}
      until: 2026-11-23T12:00:01.000Z
      thereafter: revoked
`),
  )
})

test('a canary keeps the labels that choose its nodes when only its share is raised', () => {
  const { text } = promoted({ which: { value: B }, to: 'canary', canary: { percentage: 10 } })
  const [set] = parseReferences(text)
  assert.deepEqual(set?.entries[1]?.canary, { selector: { site: 'lab' }, percentage: 10 })
  const again = promoted({ which: { value: B }, to: 'canary', canary: { percentage: 50 } }, text)
  assert.deepEqual(parseReferences(again.text)[0]?.entries[1]?.canary, { selector: { site: 'lab' }, percentage: 50 })
  assert.equal(again.changed, 1)
})

test('what no longer fits goes: the end of what is deprecated no more', () => {
  const deprecated = promoted({ which: { value: A }, to: 'deprecated', until: AT, thereafter: 'revoked' }).text
  const inBlock = promoted({ which: { value: C }, to: 'deprecated', until: AT, thereafter: 'revoked' }, deprecated).text
  for (const value of [A, C]) {
    const { text } = promoted({ which: { value }, to: 'active' }, inBlock)
    const entry = parseReferences(text)[0]?.entries.find((each) => each.value === value)
    assert.deepEqual([entry?.state, entry?.until, entry?.thereafter], ['active', undefined, undefined])
  }
})

test('all entries but the revoked ones change together', () => {
  const revoked = promoted({ which: { value: A }, to: 'revoked' }).text
  const { text, changed } = promoted({ which: 'all', to: 'deprecated' }, revoked)
  assert.equal(changed, 2)
  assert.deepEqual(
    parseReferences(text)[0]?.entries.map(({ state }) => state),
    ['revoked', 'deprecated', 'deprecated'],
  )
  assert.ok(
    text.includes(
      `spec:\n    provenance: { kind: vendor, source: "https://example.com/14.2" }\n    state: deprecated\n`,
    ),
  )
})

test('what is so already changes nothing', () => {
  assert.equal(promoted({ which: { value: A }, to: 'active' }).changed, 0)
  assert.equal(promoted({ which: { value: C }, to: 'active' }).changed, 0)
})

test('where the set comes from stays', () => {
  const { text } = promoted({ which: { value: A }, to: 'revoked' })
  assert.deepEqual(parseReferences(text)[0]?.provenance, { kind: 'vendor', source: 'https://example.com/14.2' })
})

test('a value or label that is not there is not found', () => {
  for (const which of [{ value: 'dd' }, { label: 'release 15' }]) {
    assert.throws(
      () => promoted({ which, to: 'active' }),
      (error) => isTouchstoneError(error, 'reference.not_found'),
    )
  }
})

test('what would not come true is refused: a canary of nobody, and an entry of a set that is held back', () => {
  const held = TEXT.replace('    entries:', '    state: candidate\n    entries:')
  for (const [change, text] of [
    [{ which: { value: A }, to: 'canary' }, TEXT],
    [{ which: { value: A }, to: 'active' }, held],
  ] as const) {
    assert.throws(
      () => promoted(change, text),
      (error) => isTouchstoneError(error, 'reference.unfit'),
    )
  }
})

const label = fc.constantFrom('release 1', "it's", 'a "b"', 'x: y', '# no comment', 'é, {}', 'two\nlines')
const entry = fc.record(
  {
    value: fc.stringMatching(/^[0-9a-f]{8}$/),
    label,
    state: fc.constantFrom('candidate', 'active', 'deprecated', 'revoked'),
    path: fc.constant('/usr/bin/**'),
    canary: fc.constant({ selector: { 'a/b': 'c d' }, percentage: '5' }),
  },
  { requiredKeys: ['value', 'canary'] },
)

test('whatever a document looks like, promoting does what was meant or refuses', () => {
  fc.assert(
    fc.property(
      fc.array(entry, { minLength: 1, maxLength: 6 }),
      fc.constantFrom('candidate', 'canary', 'active', 'deprecated', 'revoked'),
      fc.record({ flow: fc.nat(6), indent: fc.constantFrom(2, 4), crlf: fc.boolean() }),
      (entries, to, { flow, indent, crlf }) => {
        const spec = { entries }
        const plain = { apiVersion: 'touchstone/v1', kind: 'ReferenceSet', metadata: { name: 'a' }, spec }
        const written = stringify(plain, {
          indent,
          collectionStyle: flow > 4 ? 'flow' : 'any',
          lineWidth: flow * 20,
          aliasDuplicateObjects: false,
        })
        const text = crlf ? written.replaceAll('\n', '\r\n') : written
        const value = entries[0]?.value ?? ''
        const made = promoted({ which: { value }, to, ...(to === 'canary' ? { canary: { percentage: 7 } } : {}) }, text)
        const before = parseReferences(text)[0]?.entries ?? []
        const after = parseReferences(made.text)[0]?.entries ?? []
        const told = (each: (typeof before)[number]) => [each.value, each.label, each.path, each.canary?.selector]
        assert.deepEqual(after.map(told), before.map(told))
        for (const [at, each] of after.entries()) {
          assert.equal(each.state, each.value === value ? to : before[at]?.state)
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('a history tells what became of each value', () => {
  const before = parseReferences(TEXT)[0]
  const text = promoted({ which: { value: B }, to: 'canary', canary: { percentage: 10 } }).text.replace(
    A,
    'dd'.repeat(32),
  )
  const after = parseReferences(text)[0]
  assert.ok(before !== undefined && after !== undefined)
  assert.deepEqual(changesBetween(before, after), [
    { value: 'dd'.repeat(32), label: 'release 14.1', to: 'active' },
    { value: B, label: 'release 14.2', from: 'candidate', to: 'canary 10 %' },
    { value: A, label: 'release 14.1', from: 'active' },
  ])
  assert.equal(changesBetween(undefined, before).length, 3)
})

test('values are counted as they stand now', () => {
  const text = promoted({ which: { value: A }, to: 'deprecated', until: AT }).text
  const [set] = parseReferences(promoted({ which: { value: B }, to: 'canary' }, text).text)
  assert.ok(set !== undefined)
  assert.deepEqual(countStandings(set, AT - 1), { deprecated: 1, canary: 1, active: 1 })
  assert.deepEqual(countStandings(set, AT), { expired: 1, canary: 1, active: 1 })
})

const JSON_TEXT = JSON.stringify({
  apiVersion: 'touchstone/v1',
  kind: 'ReferenceSet',
  metadata: { name: 'edge' },
  spec: {
    provenance: { kind: 'package', source: 'debian' },
    entries: [
      { value: A, label: 'a', state: 'active' },
      { value: B, label: 'b', state: 'candidate', canary: { selector: { site: 'lab' } } },
      { value: C },
    ],
  },
})

function statesOf(text: string): (string | undefined)[] {
  assert.doesNotThrow(() => JSON.parse(text))
  return parseReferences(text)[0]?.entries.map(({ state }) => state) ?? []
}

test('a set in JSON is promoted too, and stays JSON that says what it said otherwise', () => {
  const one = promoted({ which: { value: A }, to: 'deprecated', until: AT + 1000, thereafter: 'revoked' }, JSON_TEXT)
  assert.equal(one.changed, 1)
  assert.deepEqual(statesOf(one.text), ['deprecated', 'candidate', 'active'])
  assert.match(one.text, /"until":"2026-11-23T12:00:01.000Z","thereafter":"revoked"/)
  assert.match(one.text, /"provenance": \{"kind":"package","source":"debian"\},/)
  const back = promoted({ which: { value: A }, to: 'active' }, one.text)
  assert.deepEqual(statesOf(back.text), ['active', 'candidate', 'active'])
  assert.doesNotMatch(back.text, /until|thereafter/)
  const canary = promoted({ which: { label: 'b' }, to: 'canary', canary: { percentage: 2.5 } }, JSON_TEXT)
  assert.match(canary.text, /"canary":\{"selector":\{"site":"lab"\},"percentage":2.5\}/)
  const all = promoted({ which: 'all', to: 'revoked' }, JSON_TEXT)
  assert.deepEqual([all.changed, statesOf(all.text)], [3, ['revoked', 'revoked', 'revoked']])
  assert.throws(() => promoted({ which: { value: 'x' }, to: 'active' }, JSON_TEXT), { code: 'reference.not_found' })
})
