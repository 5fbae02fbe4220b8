import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CLAIMS, type ClaimType } from '../../src/eventlog/index.ts'

/** Writes docs/claims.md from the table of claims; a test holds the two together. */

const INTRODUCTION = `# Claims of a boot

\`touchstone log show FILE --json\` answers in \`boot\` what a log says of its boot: one claim a fact, in groups. A claim is

- \`{ "state": "known", "value", "bound", "events" }\`: what is the case, and the indices of the events that it came from; or
- \`{ "state": "unknown", "reason", "bound": false, "events" }\`: why nobody can tell, and the events that are in the way.
  Unknown is never "no".

**Bound** means that digests of \`boot.bank\` vouch for the value: it is true of the machine once the log replays to values
that a quote signed. \`log show\` has no quote, so it shows what would then be true. A known claim that is not bound is what
the log merely says, which anybody who has the log may have written; its name begins with \`untrusted\`, and so do the names
of fields within a value that nothing vouches for, such as the path of an image.

A **list** also has \`complete\`. A list that is not complete proves what is in it, and nothing about what is not; \`reason\` says
why, and \`unread\` has the events that may be what is missing.

Expressions in policies see claims as \`boot.group.claim\`: those that are known and bound and, for lists, complete; without
what is \`untrusted…\`, and without indices of events (\`event\`). All others are missing, and a rule that needs one of them cannot
be evaluated, which is a failure.

In RTMR logs (CCEL) one register holds several PCRs: register 1 has PCR 1 and 7, register 2 has 2 to 6, register 3 has 8 to 15.
Claims say so where that leaves something open.
`

function typeText(type: ClaimType): string {
  if (typeof type === 'string') return type
  if ('list' in type) return `list of ${typeText(type.list)}`
  if ('map' in type) return 'texts by name'
  return `{ ${Object.entries(type.fields)
    .map(([name, field]) => (field === 'string' ? name : `${name}: ${typeText(field)}`))
    .join(', ')} }`
}

/** `0–7`, `8, 12`. */
function pcrText(pcrs: readonly number[]): string {
  const [first, last] = [pcrs[0], pcrs.at(-1)]
  if (first === undefined || last === undefined) return 'none'
  return pcrs.length > 2 && last - first === pcrs.length - 1 ? `${first}–${last}` : pcrs.join(', ')
}

const groups = new Map<string, string[]>()
for (const [name, row] of Object.entries(CLAIMS)) {
  const group = name.split('.')[0] ?? name
  const type = row.list === true ? `list of ${typeText(row.type)}` : typeText(row.type)
  const cells = [`\`${name}\``, `\`${type}\``, pcrText(row.pcrs), row.meaning, row.bound, row.unknown]
  groups.set(group, [...(groups.get(group) ?? []), `| ${cells.join(' | ').replaceAll('\n', ' ')} |`])
}

const HEAD = '| claim | type | PCRs | meaning | bound by | unknown, or incomplete |\n|---|---|---|---|---|---|\n'
const body = [...groups].map(([group, rows]) => `## ${group}\n\n${HEAD}${rows.join('\n')}\n`).join('\n')

writeFileSync(
  join(import.meta.dirname, '..', '..', 'docs', 'claims.md'),
  `${INTRODUCTION}\nFields are texts unless a type stands behind them; \`?\` marks those that may be absent.\n\n${body}`,
)
