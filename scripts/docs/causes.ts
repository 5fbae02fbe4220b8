import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PATTERN_GROUPS, type CheckSight, type Pattern, type Sight } from '../../src/attest/index.ts'

/** Writes docs/causes.md from the table of patterns; a test holds the two together. */

const INTRODUCTION = `# Likely causes

\`touchstone explain\`, \`touchstone describe node\` and \`touchstone appraise --baseline GOOD.LOG\` say in words why a verdict is what it
is. The words come from this table of patterns over the checks that did not pass, and over the difference between the event log of the
boot and that of the node's last good one (\`touchstone log diff\` shows it whole). Nothing is guessed: where no pattern fits, that is said,
and the differing events are shown.

- Patterns are tried in this order. A difference that one of them explains is not seen by those behind it, so what is special stands
  before what is general.
- **certain**: nothing else looks like this. **likely**: other things may, and seldom do. **possible**: one explanation of several.
- **attack**: only tampering, or a fault that looks the same, is known to do this. **check**: somebody may have done it on purpose, and
  somebody must say so. **expected**: an operator prepared for it.
- A cause says what it rests on: \`measured\` (digests that the TPM signed vouch for everything that was looked at), \`labels\` (digests
  vouch that something changed; what it is called is only what the log says), \`log\` (the log does not lead to what the TPM signed),
  \`checks\` (outcomes of the verdict).
- A cause explains and never judges: none makes a verdict better.
`

function sight({ what, registers, changes, stages, bound }: Sight): string {
  const notes = [
    pcrs(registers),
    ...(changes === undefined ? [] : [changes.join(' or ')]),
    ...(stages === undefined
      ? []
      : [`while the ${stages.map((stage) => stage.replace('-', ' ')).join(' or ')} is at work`]),
    ...(bound === undefined ? [] : ['bound']),
  ]
  return `${what} (${notes.join('; ')})`
}

/** `PCR 0–7`, `PCR 8, 12`. */
function pcrs(registers: readonly number[]): string {
  const [first, last] = [registers[0], registers.at(-1)]
  const isRun =
    registers.length > 2 && last !== undefined && first !== undefined && last - first === registers.length - 1
  return `PCR ${isRun ? `${first}–${last}` : registers.join(', ')}`
}

function checks({ names, codes, outcomes }: CheckSight): string {
  const list = (values: readonly string[]) => values.map((value) => `\`${value}\``).join(', ')
  const outcome = outcomes === undefined ? 'did not pass' : `is ${outcomes.join(' or ')}`
  return `a check ${outcome}: ${list(names)}${codes === undefined ? '' : `, with ${list(codes)}`}`
}

function lines({ see = [], with: along = [], without = [], checks: asked, condition }: Pattern): string[] {
  const must = [
    ...(asked === undefined ? [] : [checks(asked)]),
    ...see.map(sight),
    ...(condition === undefined ? [] : [condition]),
  ]
  return [
    `- seen: ${must.join('; and ')}`,
    ...(without.length === 0 ? [] : [`- not seen: ${without.map(sight).join('; ')}`]),
    ...(along.length === 0 ? [] : [`- comes with it: ${along.map(sight).join('; ')}`]),
  ]
}

function section(pattern: Pattern): string {
  const { id, sentence, confidence, concern, next, example } = pattern
  return [
    `### \`${id}\``,
    '',
    sentence.replaceAll(/\{([a-zA-Z]+)\}/g, '‹$1›'),
    '',
    ...lines(pattern),
    `- ${confidence}, ${concern}`,
    `- next: ${next}`,
    `- example: ${example}`,
    '',
  ].join('\n')
}

const body = PATTERN_GROUPS.map(({ title, patterns }) => `## ${title}\n\n${patterns.map(section).join('\n')}`).join(
  '\n',
)

writeFileSync(join(import.meta.dirname, '..', '..', 'docs', 'causes.md'), `${INTRODUCTION}\n${body}`)
