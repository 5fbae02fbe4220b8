import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ERRORS } from '../../src/core/index.ts'

/** Writes docs/errors.md from the error table; a test holds the two together. */

const INTRODUCTION = `# Error and check codes

Every refusal, and every failed check of a verdict, carries one of these codes. They are stable: scripts may rely on them.

- On the command line: \`error: <what happened> [<code>]\` and \`hint: <what to do>\`; with \`--json\`
  \`{ "error": { "code", "message", "hint" } }\`. Exit code 2 for input that cannot be used (codes that begin with
  \`decode.\`, \`usage.\`, \`config.\`, \`policy.\`, \`eventlog.\` or \`ima.\`), 1 where the answer is no, 70 for a fault of Touchstone itself.
- Over HTTP: a problem document (RFC 9457) with \`code\`, \`hint\` and the request's id.
- In a verdict: the field \`code\` of a check whose outcome is \`fail\`, \`warn\` or \`indeterminate\`.
`

const sections = new Map<string, string[]>()
for (const [code, row] of Object.entries(ERRORS)) {
  const room = code.split('.')[0] ?? code
  const rows = sections.get(room) ?? []
  rows.push(`| \`${code}\` | ${row.status} | ${row.title} | ${row.hint.replaceAll('|', '\\|')} |`)
  sections.set(room, rows)
}

const body = [...sections]
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(
    ([room, rows]) =>
      `## ${room}\n\n| code | HTTP | what happened | what to do |\n|---|---|---|---|\n${rows.join('\n')}\n`,
  )
  .join('\n')

writeFileSync(join(import.meta.dirname, '..', '..', 'docs', 'errors.md'), `${INTRODUCTION}\n${body}`)
