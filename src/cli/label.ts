import { Command } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import { nodeDetail } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { parseLabel } from './label-options.ts'
import { operatorClient } from './operator-client.ts'
import { parseOutputFormat, printable, printObject } from './output.ts'

/** `touchstone label`: what canaries, exceptions and rules choose nodes by. */
export function labelCommand(finish: (code: number) => void): Command {
  return new Command('label')
    .description('Set labels of a node, or take them away; the others stay. Counts from the next attestation on.')
    .argument('<kind>', 'node')
    .argument('<name>', 'the id of the node')
    .argument('<label...>', 'NAME=VALUE, or NAME- to take it away')
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText(
      'after',
      `
Labels choose the nodes of canary references (canary: { selector }) and of exceptions (nodes: { selector }), and rules read
them as node.labels.

Example:
  touchstone label node 0198f3c2-… ring=canary site=north old-`,
    )
    .action(
      async (kind: string, id: string, given: readonly string[], options: { output?: string; json?: boolean }) => {
        if (kind !== 'node' && kind !== 'nodes') {
          throw new TouchstoneError('usage.arguments', `cannot label ${kind}`, {
            hint: 'Use: touchstone label node ID NAME=VALUE',
          })
        }
        const labels = Object.fromEntries(given.map(changeOf))
        const path = `/v1/nodes/${encodeURIComponent(id)}/labels`
        const node = nodeDetail.parse(await operatorClient(process.env).patch(path, { labels }))
        printObject(parseOutputFormat(options), node, () => {
          const now = Object.entries(node.labels).map(([name, value]) => `${name}=${value}`)
          return printable(`${node.nodeId} has ${now.length === 0 ? 'no labels' : now.join(', ')}`)
        })
        finish(EXIT.done)
      },
    )
}

function changeOf(text: string): readonly [name: string, value: string | null] {
  return text.endsWith('-') && !text.includes('=') ? [text.slice(0, -1), null] : parseLabel(text)
}
