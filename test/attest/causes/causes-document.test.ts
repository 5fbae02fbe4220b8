import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ERRORS } from '../../../src/core/index.ts'
import { PATTERNS } from '../../../src/attest/causes/patterns.ts'

const document = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'causes.md'), 'utf8')
const sections = new Map(
  document
    .split(/^### /m)
    .slice(1)
    .map((text) => [/^`([a-z0-9.-]+)`/.exec(text)?.[1] ?? '', text]),
)

test('every pattern is documented with its sentence, its certainty, what to do next and an example', () => {
  for (const { id, sentence, confidence, concern, next, example } of PATTERNS) {
    const section = sections.get(id)
    assert.ok(section, id)
    const said = [
      sentence.replaceAll(/\{([a-zA-Z]+)\}/g, '‹$1›'),
      `- ${confidence}, ${concern}\n`,
      `- next: ${next}\n`,
      `- example: ${example}\n`,
    ]
    for (const text of said) assert.ok(section.includes(text), `${id}: ${text}`)
  }
})

test('everything that a pattern must see is documented', () => {
  for (const { id, see = [], without = [], checks, condition } of PATTERNS) {
    const section = sections.get(id) ?? ''
    const texts = [...see, ...without].map(({ what }) => what)
    const names = [...(checks?.names ?? []), ...(checks?.codes ?? [])].map((name) => `\`${name}\``)
    for (const text of [...texts, ...names, condition ?? '']) assert.ok(section.includes(text), `${id}: ${text}`)
  }
})

test('the document has the patterns in the order in which they are tried, each once, and no others', () => {
  assert.deepEqual(
    [...sections.keys()],
    PATTERNS.map(({ id }) => id),
  )
})

test('every pattern can be told apart, asks for something, and says what to do in a sentence', () => {
  assert.equal(new Set(PATTERNS.map(({ id }) => id)).size, PATTERNS.length)
  for (const { id, see = [], checks, condition, next, tell, sentence } of PATTERNS) {
    assert.ok(see.length > 0 || checks !== undefined || condition !== undefined, id)
    assert.match(next, /\.$/, id)
    assert.ok(checks?.where === undefined || condition !== undefined, id)
    assert.equal(/\{[a-zA-Z]+\}/.test(sentence) && tell === undefined, false, `${id}: nothing fills it in`)
  }
})

test('patterns name checks and codes that there are', () => {
  const path = join(import.meta.dirname, '..', '..', '..', 'docs', 'checks.md')
  const rows = [...readFileSync(path, 'utf8').matchAll(/^\| `([a-z0-9_.-]+)` \|/gm)]
  const documented = new Set(rows.map(([, name]) => name))
  for (const { id, checks } of PATTERNS) {
    for (const name of checks?.names ?? []) assert.ok(documented.has(name), `${id}: ${name}`)
    for (const code of checks?.codes ?? []) assert.ok(Object.hasOwn(ERRORS, code), `${id}: ${code}`)
  }
})
