import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { splitDocuments } from '../attest/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { applyResult } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { readText } from './files.ts'
import { faultLines } from './policy-faults.ts'
import { operatorClient } from './operator-client.ts'
import { parseOutputFormat, printRows } from './output.ts'

export function applyCommand(finish: (code: number) => void): Command {
  return new Command('apply')
    .description('Give the verifier policies and reference sets; all documents take effect, or none.')
    .requiredOption('-f, --filename <path...>', 'YAML files, or folders of them; a file may hold several documents')
    .option('-o, --output <format>', 'json, yaml or wide')
    .option('--json', 'the same as -o json')
    .addHelpText('after', '\nExample:\n  touchstone apply -f edge-100.yaml')
    .action(async (options: { filename: readonly string[]; output?: string; json?: boolean }) => {
      const files = await expand(options.filename)
      const texts = await Promise.all(files.map(async (file) => ({ file, text: await readText(file) })))
      requireFaultless(texts)
      const documents = texts.flatMap(({ text }) => splitDocuments(text))
      if (documents.length === 0) throw new TouchstoneError('usage.arguments', 'there is no document in these files')
      const result = applyResult.parse(await operatorClient(process.env).put('/v1/resources', { documents }))
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
      )
      finish(EXIT.done)
    })
}

/** The verifier checks again; here the faults have file, line and column. */
function requireFaultless(texts: readonly { readonly file: string; readonly text: string }[]): void {
  const faults = texts.flatMap(({ file, text }) => faultLines(file, text))
  if (faults.length > 0) throw new TouchstoneError('policy.invalid', faults.join('\n'))
}

async function expand(paths: readonly string[]): Promise<readonly string[]> {
  const lists = await Promise.all(
    paths.map(async (path) => {
      try {
        if (!(await stat(path)).isDirectory()) return [path]
        const names = await readdir(path)
        return names
          .filter((name) => /\.ya?ml$/.test(name))
          .sort()
          .map((name) => join(path, name))
      } catch (cause) {
        throw new TouchstoneError('usage.file', `cannot read ${path}`, { cause })
      }
    }),
  )
  return lists.flat()
}
