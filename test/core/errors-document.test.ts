import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { ERRORS } from '../../src/core/index.ts'

const document = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'errors.md'), 'utf8')
const documented = new Map(
  [...document.matchAll(/^\| `([a-z0-9_.-]+)` \| (\d{3}) \| (.+?) \| (.+?) \|$/gm)].map((row) => [
    row[1] ?? '',
    row.slice(2, 5),
  ]),
)

test('every code of the error table is documented with the same status, title and hint', () => {
  for (const [code, row] of Object.entries(ERRORS)) {
    assert.deepEqual(documented.get(code), [String(row.status), row.title, row.hint.replaceAll('|', '\\|')], code)
  }
})

test('the document names no code that the table does not have', () => {
  assert.deepEqual(
    [...documented.keys()].filter((code) => !Object.hasOwn(ERRORS, code)),
    [],
  )
})
