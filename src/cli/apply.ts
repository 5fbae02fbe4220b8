import { Command } from 'commander'
import { applyResult } from '../wire/index.ts'
import { readDocuments } from './documents.ts'
import { EXIT } from './failure.ts'
import { operatorClient } from './operator-client.ts'
import { parseOutputFormat, printable, printRows } from './output.ts'

interface ApplyOptions {
  readonly filename: readonly string[]
  readonly reason?: string
  readonly output?: string
  readonly json?: boolean
}

export function applyCommand(finish: (code: number) => void): Command {
  return new Command('apply')
    .description('Give the verifier policies, reference sets and exceptions; all documents take effect, or none.')
    .requiredOption('-f, --filename <path...>', 'YAML files, or folders of them; a file may hold several documents')
    .option('--reason <text>', 'why; kept with each revision, and shown by: touchstone reference history')
    .option('-o, --output <format>', 'json, yaml or wide')
    .option('--json', 'the same as -o json')
    .addHelpText('after', '\nExample:\n  touchstone apply -f edge-100.yaml --reason "release 14.2"')
    .action(async (options: ApplyOptions) => {
      const documents = await readDocuments(options.filename)
      const { reason } = options
      const body = { documents, ...(reason === undefined ? {} : { reason }) }
      const result = applyResult.parse(await operatorClient(process.env).put('/v1/resources', body))
      printRows(
        parseOutputFormat(options),
        result.items,
        [
          { title: 'KIND', value: (item) => item.kind },
          { title: 'NAME', value: (item) => item.name },
          { title: 'CHANGE', value: (item) => item.change },
          { title: 'REVISION', value: (item) => String(item.revision) },
          { title: 'DIGEST', value: (item) => item.digest, wide: true },
        ],
        'nothing was applied',
        result,
      )
      for (const warning of result.warnings ?? []) process.stderr.write(`warning: ${printable(warning)}\n`)
      finish(EXIT.done)
    })
}
