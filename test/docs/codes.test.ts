import assert from 'node:assert/strict'
import test from 'node:test'
import { PATTERN_GROUPS } from '../../src/attest/index.ts'
import { ERRORS } from '../../src/core/index.ts'
import { markdownFiles } from './markdown.ts'

const files = markdownFiles()

const areas = new Set(Object.keys(ERRORS).map((code) => code.split('.')[0]))
const checks = new Set(files.find(({ path }) => path === 'docs/checks.md')?.code)
const causes = new Set(PATTERN_GROUPS.flatMap(({ patterns }) => patterns.map(({ id }) => id)))

/** What looks like a code and is none: files and sockets, registers as facts, members of a policy, files of the fuzzer. */
const OTHERS = /\.(?:yaml|ctrl|sock|bin|json)$|^pcr\.\d+$|^ima\.allow$|^log\.ima$/

/** These are made from the tables themselves. */
const GENERATED = ['docs/errors.md', 'docs/causes.md', 'docs/claims.md']

for (const { path, code } of files) {
  const named = code.filter((span) => /^[a-z_]+(?:\.[a-z0-9_]+)+$/.test(span) && areas.has(span.split('.')[0] ?? ''))
  if (named.length === 0 || GENERATED.includes(path)) continue

  test(`every code that ${path} names is of the error table, or a check or a cause`, () => {
    const unknown = named.filter(
      (span) => !Object.hasOwn(ERRORS, span) && !checks.has(span) && !causes.has(span) && !OTHERS.test(span),
    )
    assert.deepEqual(unknown, [])
  })
}
