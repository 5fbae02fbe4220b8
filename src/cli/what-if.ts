import { Command } from 'commander'
import { whatIfPage, type WhatIfPage } from '../wire/index.ts'
import { counted } from './boot-picture-lines.ts'
import { checkLines, checkSentence } from './check-sentence.ts'
import { readDocuments } from './documents.ts'
import { EXIT } from './failure.ts'
import { operatorClient } from './operator-client.ts'
import { paint, parseOutputFormat, printable, printObject } from './output.ts'

const PAGE = 1000
/** Nodes named under one reason; the rest is counted. */
const NAMED = 3

interface WhatIfOptions {
  readonly filename: readonly string[]
  readonly output?: string
  readonly json?: boolean
}

type Whole = Pick<WhatIfPage, 'counts' | 'changes'>

/** `touchstone policy what-if`: the stored evidence of the fleet, judged by documents that are not applied yet. */
export function whatIfCommand(finish: (code: number) => void): Command {
  return new Command('what-if')
    .description(
      'Who would change status under these documents, and why. Nothing is applied. Exit 1 if a node would get worse.',
    )
    .requiredOption('-f, --filename <path...>', 'YAML files, or folders of them')
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText(
      'after',
      `
Each node's newest stored evidence is judged again: the same logs, under other documents, at this moment and with the labels that
the node has now. Policies, reference sets and exceptions may be drafts. A rule over registers that nodes do not quote yet cannot be answered before they attest again, and shows as such.

Example:
  touchstone policy what-if -f draft.yaml`,
    )
    .action(async (options: WhatIfOptions) => {
      const whole = await walk(await readDocuments(options.filename))
      printObject(parseOutputFormat(options), whole, () => render(whole))
      finish(whole.changes.some(isWorse) ? EXIT.no : EXIT.done)
    })
}

async function walk(documents: readonly string[]): Promise<Whole> {
  const client = operatorClient(process.env)
  const counts = { same: 0, changed: 0, impossible: 0, none: 0 }
  const changes: WhatIfPage['changes'] = []
  let after: string | undefined
  do {
    const body = { documents, limit: PAGE, ...(after === undefined ? {} : { after }) }
    const page = whatIfPage.parse(await client.post('/v1/what-if', body))
    for (const name of ['same', 'changed', 'impossible', 'none'] as const) counts[name] += page.counts[name]
    changes.push(...page.changes)
    after = page.next
    progress(
      Object.values(counts).reduce((sum, count) => sum + count, 0),
      after !== undefined,
    )
  } while (after !== undefined)
  return { counts, changes }
}

function progress(nodes: number, more: boolean): void {
  if (!process.stderr.isTTY) return
  process.stderr.write(more ? `\r${nodes} nodes judged …` : '\r\x1b[K')
}

const ORDER = ['affirming', 'warning', 'none', 'contraindicated'] as const

function isWorse({ from, to }: WhatIfPage['changes'][number]): boolean {
  return ORDER.indexOf(to) > ORDER.indexOf(from)
}

function verbed(count: number, one: string, more: string): string {
  return `${count} ${count === 1 ? one : more}`
}

function render({ counts, changes }: Whole): string {
  const lines = [
    `${counts.same === 1 ? '1 node stays as it is' : `${counts.same} nodes stay as they are`}, ${verbed(counts.changed, 'changes', 'change')}` +
      (counts.impossible === 0 ? '' : `, ${counts.impossible} cannot be judged before attesting again`) +
      (counts.none === 0 ? '' : `, ${verbed(counts.none, 'has', 'have')} no verdict yet`),
  ]
  for (const nodes of grouped(changes)) {
    const [first] = nodes
    if (first === undefined) continue
    const colour = isWorse(first) ? 'red' : 'green'
    lines.push('', `${paint(process.stdout, colour, `${first.from} → ${first.to}`)}  ${counted(nodes.length, 'node')}`)
    const why = first.why === undefined ? ['every check passes'] : checkLines(first.why, '    ')
    lines.push(...why.map((line, at) => (at === 0 ? `  ${line}` : line)))
    lines.push(...nodes.slice(0, NAMED).map((node) => printable(`    ${node.nodeId}  ${node.model}, ${node.serial}`)))
    if (nodes.length > NAMED) lines.push(`    … and ${nodes.length - NAMED} more (--json names them)`)
  }
  return lines.join('\n')
}

/** By what changes and why, the largest group first. */
function grouped(changes: WhatIfPage['changes']): WhatIfPage['changes'][] {
  const groups = new Map<string, WhatIfPage['changes']>()
  for (const change of changes) {
    const key = `${change.from} ${change.to} ${change.why === undefined ? '' : checkSentence(change.why)}`
    groups.set(key, [...(groups.get(key) ?? []), change])
  }
  return [...groups.values()].sort((a, b) => b.length - a.length)
}
