import { Command } from 'commander'
import { learnPolicy } from '../attest/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { EXIT } from './failure.ts'
import { readInput, readText } from './files.ts'
import { paint, print, printJson } from './output.ts'
import { faultLines } from './policy-faults.ts'

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
      const results = await Promise.all(
        files.map(async (file) => ({ file, faults: faultLines(file, await readText(file)) })),
      )
      const bad = results.flatMap(({ faults }) => faults)
      if (options.json === true) {
        if (bad.length > 0) throw new TouchstoneError('policy.invalid', bad.join('\n'))
        printJson({ files })
      } else {
        for (const { file, faults } of results) {
          if (faults.length === 0) print(`${paint(process.stdout, 'green', '✓')} ${file}`)
          for (const fault of faults) process.stderr.write(`${fault}\n`)
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
