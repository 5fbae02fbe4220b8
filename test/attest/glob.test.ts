import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileGlob } from '../../src/attest/glob.ts'

for (const [glob, path, expected] of [
  ['/usr/**', '/usr/bin/x', true],
  ['/usr/**', '/usr', false],
  ['/usr/*', '/usr/bin', true],
  ['/usr/*', '/usr/bin/x', false],
  ['/usr/*/x', '/usr/bin/x', true],
  ['/usr/*/x', '/usr/a/b/x', false],
  ['**/x', '/a/b/x', true],
  ['/a?c', '/abc', true],
  ['/a?c', '/a/c', false],
  ['/a\\*', '/a*', true],
  ['/a\\*', '/ab', false],
  ['/a', '/a', true],
  ['/a', '/ab', false],
  ['**', '', true],
  ['*', 'a', true],
  ['/a/**/b*/c', '/a/q/b/z/b1/c', true],
  ['/[ab]', '/a', false],
  ['/[ab]', '/[ab]', true],
] as const) {
  test(`${glob} ${expected ? 'matches' : 'does not match'} "${path}"`, () => {
    assert.equal(compileGlob(glob).matches(path), expected)
  })
}

test('matches what the regular expression of its meaning does', () => {
  const token = fc.constantFrom('a', 'b', '/', '*', '**', '?')
  const path = fc.array(fc.constantFrom('a', 'b', '/'), { maxLength: 12 }).map((parts) => parts.join(''))
  fc.assert(
    fc.property(fc.array(token, { minLength: 1, maxLength: 40 }), path, (tokens, text) => {
      const glob = tokens.join('')
      // Stars that meet are one: the longest run counts.
      const meaning = glob.replace(/\*\*+|\*|\?/g, (part) => (part.length > 1 ? '.*' : part === '*' ? '[^/]*' : '[^/]'))
      assert.equal(compileGlob(glob).matches(text), new RegExp(`^${meaning}$`, 's').test(text), `${glob} on ${text}`)
    }),
  )
})
