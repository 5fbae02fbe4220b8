import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readYaml, splitDocuments } from '../../src/attest/yaml-document.ts'

function onlyValue(text: string): unknown {
  const { documents, faults } = readYaml(text)
  assert.deepEqual(faults, [])
  assert.equal(documents.length, 1)
  return documents[0]?.value
}

test('every scalar stays the string that was written', () => {
  const text = 'version: 1.10\ncountry: no\nhex: 0x1f\noctal: 010\ndate: 2026-01-01\nnothing: null\nquoted: "1.0"\n'
  assert.deepEqual(onlyValue(text), {
    version: '1.10',
    country: 'no',
    hex: '0x1f',
    octal: '010',
    date: '2026-01-01',
    nothing: 'null',
    quoted: '1.0',
  })
})

test('block scalars, lists and empty values read as text', () => {
  assert.deepEqual(onlyValue('a: |\n  one\n  two\nb: [x, y]\nc:\n'), { a: 'one\ntwo\n', b: ['x', 'y'], c: '' })
})

test('several documents in one text are read apart', () => {
  const { documents } = readYaml('a: 1\n---\na: 2\n')
  assert.deepEqual(
    documents.map(({ value }) => value),
    [{ a: '1' }, { a: '2' }],
  )
})

const refused = {
  'an anchor': ['a: &x 1\n', 1, 7],
  'an alias': ['a: 1\nb: *a\n', 2, 4],
  'a tag': ['a: !!int 1\n', 1, 4],
  'a tag of its own kind': ['a: !secret 1\n', 1, 4],
  'a merge key': ['a:\n  <<: {b: c}\n', 2, 3],
  'a duplicate key': ['a: 1\nb: 2\na: 3\n', 3, 1],
  'a key that is no text': ['? [a]\n: b\n', 1, 3],
  'bad syntax': ['a: [1, 2\nb: 3\n', 2, 1],
} as const
for (const [what, [text, line, column]] of Object.entries(refused)) {
  test(`${what} is a fault at its place`, () => {
    const { documents, faults } = readYaml(text)
    assert.deepEqual(documents, [])
    assert.ok(
      faults.some((fault) => fault.line === line && fault.column === column),
      JSON.stringify(faults),
    )
  })
}

test('all faults of a text are told at once', () => {
  const { faults } = readYaml('a: &x 1\nb: !!str 2\nc:\n  <<: {}\n')
  assert.deepEqual(
    faults.map(({ line }) => line),
    [1, 2, 4],
  )
})

const hostile = {
  'a text of more than a megabyte': `a: ${'x'.repeat(1 << 20)}`,
  'nesting without end, in flow style': '['.repeat(50_000),
  'nesting without end, in balanced flow style': '['.repeat(5_000) + ']'.repeat(5_000),
  'nesting without end, in block style': `${'- '.repeat(50_000)}x`,
  'more values than any policy has': `a: [${'x,'.repeat(60_000)}]`,
  'a key that is the prototype': '__proto__: &x {a: 1}',
}
for (const [what, text] of Object.entries(hostile)) {
  test(`${what} is a fault`, () => {
    const { documents, faults } = readYaml(text)
    assert.deepEqual(documents, [])
    assert.ok(faults.length > 0 && faults.length <= 100)
  })
}

test('a key named __proto__ is a key like any other', () => {
  assert.deepEqual(Object.keys(onlyValue('__proto__: {a: 1}') as object), ['__proto__'])
})

test('a place is found by path, by key, and by its nearest ancestor', () => {
  const { documents } = readYaml('a:\n  - b: 1\n    c: 2\n')
  const [document] = documents
  assert.ok(document)
  assert.deepEqual(document.locate(['a', 0, 'c']), { line: 3, column: 8 })
  assert.deepEqual(document.locate(['a', 0], 'c'), { line: 3, column: 5 })
  assert.deepEqual(document.locate(['a', 0, 'absent', 'deeper']), { line: 2, column: 5 })
})

test('a stream is cut into documents without a byte of any changed', () => {
  const [first = '', second = '', ...more] = splitDocuments(
    '# one\na: |\n  --- not a border\n---\nb: 1.10 # as written\n',
  )
  assert.deepEqual(more, [])
  assert.ok(first.includes('--- not a border'))
  assert.ok(second.includes('b: 1.10 # as written'))
  assert.deepEqual(splitDocuments('\n'), [])
})

test('nesting that ends the stack of the parser is a fault, whatever it is made of', () => {
  for (const step of ['- ', '[', '{a: ', '? ', '- [', 'a:\n ']) {
    const { documents, faults } = readYaml(step.repeat(20_000))
    assert.deepEqual(documents, [])
    assert.ok(faults.length > 0, step)
  }
})
