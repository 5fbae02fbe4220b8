import { Command } from 'commander'
import { learnPolicy, parseResources, PolicyError } from '../attest/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { EXIT } from './failure.ts'
import { readInput, readText } from './files.ts'
import { paint, print, printJson } from './output.ts'

export function policyCommand(finish: (code: number) => void): Command {
  return new Command('policy')
    .description('Check policies before they are applied, and learn one from a known-good boot.')
    .addCommand(checkCommand(finish))
    .addCommand(learnCommand(finish))
}

function checkCommand(finish: (code: number) => void): Command {
  return new Command('check')
    .description('Every fault of policy and reference files, with line and column. Exit 2 if there is one.')
    .argument('<file...>', 'YAML files')
    .option('--json', 'the faults as JSON')
    .addHelpText('after', '\nExample:\n  touchstone policy check policies/*.yaml')
    .action(async (files: readonly string[], options: { json?: boolean }) => {
      const results = await Promise.all(files.map(async (file) => ({ file, faults: faultsOf(await readText(file)) })))
      const bad = results.filter(({ faults }) => faults.length > 0)
      if (options.json === true) {
        const [first] = bad
        if (first === undefined) printJson({ files: results })
        else throw new TouchstoneError('policy.invalid', messageOf(bad))
      } else {
        for (const { file, faults } of results) {
          if (faults.length === 0) print(`${paint(process.stdout, 'green', '✓')} ${file}`)
          for (const { line, column, path, message } of faults) {
            process.stderr.write(`${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}\n`)
          }
        }
      }
      finish(bad.length === 0 ? EXIT.done : EXIT.bad)
    })
}

function learnCommand(finish: (code: number) => void): Command {
  return new Command('learn')
    .description('Print a policy that accepts exactly the boot of an event log.')
    .requiredOption('--from <file>', 'the event log of a boot that is known to be good')
    .option('--name <name>', 'name of the policy', 'learned')
    .addHelpText(
      'after',
      `
Nothing is verified here: a policy learned from a tampered boot accepts the tampering.

Example:
  touchstone policy learn --from binary_bios_measurements > policies/edge-100.yaml`,
    )
    .action(async (options: { from: string; name: string }) => {
      print(learnPolicy({ name: options.name, eventLog: await readInput(options.from) }))
      finish(EXIT.done)
    })
}

function faultsOf(text: string): PolicyError['faults'] {
  try {
    parseResources(text)
    return []
  } catch (error) {
    if (error instanceof PolicyError) return error.faults
    throw error
  }
}

function messageOf(bad: readonly { file: string; faults: PolicyError['faults'] }[]): string {
  return bad
    .flatMap(({ file, faults }) =>
      faults.map((fault) => `${file}:${fault.line}:${fault.column}: ${fault.path}: ${fault.message}`),
    )
    .join('\n')
}
