import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Mapping } from '../../../src/attest/cel/values.ts'
import { byBuf, ours } from './oracle.ts'

/**
 * Expressions of the subset, well typed, over claims that may be missing; made as texts, so that both sides parse them
 * too. Division by zero, overflow, missing claims and indices beyond a list are wanted: both must fail then.
 */
type Kind = 'bool' | 'int' | 'string' | 'ints' | 'strings'

const NAMES = ['a', 'b', 'x y', 'é', '😀', '']

const { bool } = fc.letrec<Record<Kind, string>>((tie) => ({
  bool: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'expression' },
    fc.constantFrom('true', 'false', 'boot.secureBoot.enabled', 'boot.secureBoot.setupMode', 'has(boot.kernel.path)'),
    operation(tie('bool'), ['&&', '||'], tie('bool')),
    operation(tie('int'), ['==', '<', '>='], tie('int')),
    operation('int', ['==', '!=', '<', '<=', '>', '>='], 'int'),
    operation('string', ['==', '!='], 'string'),
    operation('strings', ['==', '!='], 'strings'),
    operation('ints', ['==', '!='], 'ints'),
    operation('string', ['in'], 'strings'),
    operation('int', ['in'], 'ints'),
    operation('bool', ['==', '<', '>='], 'bool'),
    tie('bool').map((of) => `!(${of})`),
    fc.tuple(tie('bool'), tie('bool'), tie('bool')).map(([of, then, other]) => `(${of} ? ${then} : ${other})`),
    fc
      .tuple(tie('string'), fc.constantFrom('startsWith', 'endsWith', 'contains'), tie('string'))
      .map(([text, call, part]) => `(${text}).${call}(${part})`),
    overStrings(['all', 'exists', 'exists_one']),
    overInts(['all', 'exists', 'exists_one']),
  ),
  int: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'expression' },
    fc.constantFrom('0', '1', '2', '-3', '9223372036854775807', 'boot.boot.attempts', 'boot.firmware.startupLocality'),
    operation(tie('int'), ['+', '-', '*', '/', '%'], tie('int')),
    tie('int').map((of) => `-(${of})`),
    tie('string').map((of) => `size(${of})`),
    tie('strings').map((of) => `(${of}).size()`),
    fc.tuple(tie('ints'), tie('int')).map(([list, at]) => `(${list})[${at}]`),
  ),
  string: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'expression' },
    fc.constantFrom(...NAMES.map((name) => JSON.stringify(name)), 'boot.kernel.commandLine', 'boot.kernel.path'),
    operation(tie('string'), ['+'], tie('string')),
    tie('string').map((of) => `(${of}).lowerAscii()`),
    fc.tuple(tie('strings'), tie('int')).map(([list, at]) => `(${list})[${at}]`),
    fc.constantFrom('node.labels["a"]', 'node.labels.b'),
  ),
  strings: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'expression' },
    fc.constantFrom('boot.kernel.commandLines', 'boot.kernel.initrdPaths', 'boot.boot.images.map(i, i.digest)'),
    fc.array(tie('string'), { minLength: 1, maxLength: 3 }).map((items) => `[${items.join(', ')}]`),
    operation(tie('strings'), ['+'], tie('strings')),
    overStrings(['filter']),
  ),
  ints: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'expression' },
    fc.constantFrom('boot.boot.order', 'boot.firmware.failedRegisters', 'boot.boot.images.map(i, i.attempt)'),
    fc.array(tie('int'), { minLength: 1, maxLength: 3 }).map((items) => `[${items.join(', ')}]`),
    overInts(['filter']),
  ),
}))

type Operand = fc.Arbitrary<string> | Kind

function operation(left: Operand, operators: readonly string[], right: Operand): fc.Arbitrary<string> {
  const operand = (of: Operand) => (typeof of === 'string' ? leaf(of) : of)
  return fc
    .tuple(operand(left), fc.constantFrom(...operators), operand(right))
    .map(([a, operator, b]) => `(${a} ${operator} ${b})`)
}

/** Enough to meet every pair of values, and small enough to be read when it fails. */
function leaf(of: Kind): fc.Arbitrary<string> {
  switch (of) {
    case 'bool':
      return fc.constantFrom(
        'true',
        'boot.secureBoot.enabled',
        'boot.secureBoot.setupMode',
        '(boot.kernel.path == "a")',
      )
    case 'int':
      return fc.constantFrom('0', '1', '-2', '9223372036854775807', 'boot.boot.attempts', 'size(boot.kernel.path)')
    case 'string':
      return fc.constantFrom('"a"', '""', '"é"', 'boot.kernel.commandLine', 'boot.kernel.path', 'node.labels.a')
    case 'ints':
      return fc.constantFrom('[1]', '[0, 1]', 'boot.boot.order', 'boot.firmware.failedRegisters')
    case 'strings':
      return fc.constantFrom('["a"]', '["", "b"]', 'boot.kernel.commandLines', 'boot.kernel.initrdPaths')
  }
}

function overStrings(macros: readonly string[]): fc.Arbitrary<string> {
  const predicates = ['s == "a"', 's != boot.kernel.path', 's.contains("a")', 'size(s) > 0 && boot.secureBoot.enabled']
  return over('strings', macros, 's', predicates)
}

function overInts(macros: readonly string[]): fc.Arbitrary<string> {
  const predicates = ['n > 0', '10 / n > 1', 'boot.boot.order.exists(m, m == n)', 'boot.secureBoot.setupMode || n == 1']
  return over('ints', macros, 'n', predicates)
}

function over(list: Kind, macros: readonly string[], variable: string, predicates: readonly string[]) {
  return fc
    .tuple(leaf(list), fc.constantFrom(...macros), fc.constantFrom(...predicates))
    .map(([of, macro, predicate]) => `${of}.${macro}(${variable}, ${predicate})`)
}

const name = fc.constantFrom(...NAMES)
const number = fc.integer({ min: -3, max: 3 })

const variables: fc.Arbitrary<Mapping> = fc.record({
  boot: fc.record({
    secureBoot: fc.record({ enabled: fc.boolean(), setupMode: fc.boolean() }, { requiredKeys: [] }),
    boot: fc.record(
      {
        attempts: number,
        order: fc.array(number, { maxLength: 3 }),
        images: fc.array(fc.record({ digest: name, attempt: number }, { requiredKeys: [] }), { maxLength: 3 }),
      },
      { requiredKeys: [] },
    ),
    firmware: fc.record(
      { startupLocality: number, failedRegisters: fc.array(number, { maxLength: 2 }) },
      { requiredKeys: [] },
    ),
    kernel: fc.record(
      {
        commandLine: name,
        path: name,
        commandLines: fc.array(name, { maxLength: 3 }),
        initrdPaths: fc.array(name, { maxLength: 2 }),
      },
      { requiredKeys: [] },
    ),
  }),
  node: fc.record({ labels: fc.dictionary(fc.constantFrom('a', 'b', 'c'), name) }),
})

test('any expression of the subset has the answer that an evaluator by others gives it, or none where that has none', () => {
  const readsSomething = bool.filter((text) => /boot\.|node\./.test(text))
  fc.assert(
    fc.property(readsSomething, variables, (text, values) => {
      assert.equal(ours(text, values), byBuf(text, values), text)
    }),
    { numRuns: 2000 },
  )
})
