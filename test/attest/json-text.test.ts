import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseDocument } from 'yaml'
import { readJson } from '../../src/attest/json-text.ts'
import { parseReferences, parseResources, PolicyError } from '../../src/attest/policy.ts'
import { readYaml } from '../../src/attest/yaml-document.ts'

const DIGEST = 'ab'.repeat(32)

function read(text: string) {
  const json = readJson(text)
  assert.ok(json !== undefined && 'value' in json, JSON.stringify(json))
  return json
}

function faultsOf(text: string): string[] {
  try {
    parseResources(text)
    return []
  } catch (error) {
    assert.ok(error instanceof PolicyError)
    return error.faults.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`)
  }
}

/** As the reader of YAML has it: every scalar is the text that was written. */
function asTexts(value: unknown): unknown {
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value.map(asTexts)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, asTexts(each)]))
}

const member = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 }), { maxKeys: 5 })

test('whatever JSON says is read as it was written, with or without white space', () => {
  fc.assert(
    fc.property(member, fc.constantFrom(0, 2, '\t'), (value, space) => {
      assert.deepEqual(read(JSON.stringify(value, null, space)).value, asTexts(value))
    }),
  )
})

test('the reader of YAML reads the same', () => {
  for (const text of [
    '{"a": 1.10, "b": [true, null, "no"], "c": {"d": "\\u00e9\\n\\"q\\""}}',
    '{ "a": [ ], "b": { } }',
    '{"x": -0e+10}',
  ]) {
    const yaml: unknown = parseDocument(text, { schema: 'failsafe' }).toJS()
    assert.deepEqual(read(text).value, yaml)
  }
})

test('a place is that of the value, of the key, or of the character within a text', () => {
  const text = '{ "a": [ {"b": 1}, {"b\\"": "x\\n\\u0041y"} ],\n "c": "" }'
  const { offsetOf, offsetWithin } = read(text)
  assert.equal(offsetOf([]), 0)
  assert.equal(offsetOf(['a', 0, 'b']), text.indexOf('1'))
  assert.equal(offsetOf(['a', 1, 'b"']), text.indexOf('"x'))
  assert.equal(offsetOf([], 'c'), text.indexOf('"c"'))
  assert.equal(offsetOf(['a', 7, 'b']), text.indexOf('['))
  assert.equal(offsetWithin(['a', 1, 'b"'], 3), text.indexOf('y"'))
})

test('faults have line and column', () => {
  const head = '{\n  "apiVersion": "touchstone/v1",\n  "kind": "ReferenceSet",\n  "metadata": {"name": "a"},\n'
  assert.deepEqual(faultsOf(`${head}  "spec": {"entries": [\n    {"value": "${DIGEST}"},\n    {"vlue": "x"}\n]}}`), [
    '7:5 spec.entries[1].value: the field is required',
    '7:6 spec.entries[1].vlue: unknown field; did you mean value?',
  ])
  assert.deepEqual(faultsOf(`${head}  "spec": {"entries": []},\n  "spec": {"entries": []}}`), [
    '6:3 : keys must be unique',
  ])
  assert.deepEqual(faultsOf(`${head}  "__proto__": {}, "spec": {"entries": []}}`), ['5:3 __proto__: unknown field'])
  assert.deepEqual(faultsOf(`{"a": ${'['.repeat(30)}${']'.repeat(30)}}`), ['1:31 : nested deeper than 24 levels'])
})

test('a character within an expression is found behind escapes', () => {
  const text = `{"apiVersion": "touchstone/v1", "kind": "AttestationPolicy", "metadata": {"name": "a"}, "spec": {"pcrs": "sha256:0-15",
"rules": [{"name": "r", "claim": "configuration", "expression": "quote.safe &&\\n\\tboot.secureBoot.enabld"}]}}`
  const at = (text.split('\n')[1] ?? '').indexOf('enabld') + 1
  assert.deepEqual(faultsOf(text), [
    `2:${at} spec.rules[0].expression: there is no claim enabld here; did you mean enabled?`,
  ])
})

test('a set of more entries than YAML may have is read in JSON, and in nothing else', () => {
  const entries = Array.from({ length: 30_000 }, (_, at) => ({ value: at.toString(16).padStart(64, '0'), label: 'p' }))
  const text = JSON.stringify({
    apiVersion: 'touchstone/v1',
    kind: 'ReferenceSet',
    metadata: { name: 'a' },
    spec: { entries },
  })
  const [set] = parseResources(text)
  assert.equal(set?.kind === 'ReferenceSet' ? set.entries.length : 0, 30_000)
  assert.deepEqual(faultsOf(text.slice(0, -1)), [
    '1:1 : larger than 1048576 bytes; as one document in JSON it may have 33554432',
  ])
})

test('a text with more faults than anybody reads is told some of them', () => {
  const entries = Array.from({ length: 30_000 }, () => ({ vlue: 'x' }))
  const text = JSON.stringify({
    apiVersion: 'touchstone/v1',
    kind: 'ReferenceSet',
    metadata: { name: 'a' },
    spec: { entries },
  })
  assert.ok(faultsOf(text).length <= 200)
})

test('what begins like JSON and is YAML is read as that', () => {
  assert.deepEqual(readYaml('{a: 1, b: [c]}').documents[0]?.value, { a: '1', b: ['c'] })
})

test('of the unknown fields of one mapping no more are looked up than anybody repairs', () => {
  const fields = Array.from({ length: 1000 }, (_, index) => `"field${index}": 1`).join()
  const text = `{"apiVersion": "touchstone/v1", "kind": "ReferenceSet", "metadata": {"name": "x"}, "spec": {"entries": [{"value": "00", ${fields}}]}}`
  assert.throws(
    () => parseReferences(text),
    (error) => error instanceof PolicyError && error.faults.length === 100,
  )
})
