import { Command } from 'commander'
import { reviewPolicies, SCHEMAS, schemaText } from '../attest/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { EXIT } from './failure.ts'
import { MAX_DOCUMENT, readText } from './files.ts'
import { learnCommand } from './learn.ts'
import { paint, print, printJson } from './output.ts'
import { findingLine } from './policy-faults.ts'
import { whatIfCommand } from './what-if.ts'

export function policyCommand(finish: (code: number) => void): Command {
  return new Command('policy')
    .description('Check policies before they are applied, and learn one from a known-good boot.')
    .addCommand(checkCommand(finish))
    .addCommand(learnCommand(finish))
    .addCommand(schemaCommand(finish))
    .addCommand(whatIfCommand(finish))
}

function checkCommand(finish: (code: number) => void): Command {
  return new Command('check')
    .description('Every fault of policies and reference sets, with line and column. Exit 2 if there is one.')
    .argument('<file...>', 'YAML files that belong together: policies, the sets that their rules name, exceptions')
    .option('--partial', 'the verifier has the sets that are in none of these files')
    .option('--json', 'files and warnings as JSON')
    .addHelpText(
      'after',
      `
Warnings do not change the exit code: sets that no rule names, rules that can never be evaluated, exceptions that excuse nothing.

Example:
  touchstone policy check policies/*.yaml`,
    )
    .action(async (files: readonly string[], options: { json?: boolean; partial?: boolean }) => {
      const texts = await Promise.all(files.map(async (file) => ({ file, text: await readText(file, MAX_DOCUMENT) })))
      const findings = reviewPolicies(texts, { partial: options.partial === true, now: Date.now() })
      const errors = findings.filter(({ severity }) => severity === 'error')
      if (options.json === true) {
        if (errors.length > 0) throw new TouchstoneError('policy.invalid', errors.map(findingLine).join('\n'))
        printJson({ files, warnings: findings })
      } else {
        for (const finding of findings) process.stderr.write(`${findingLine(finding)}\n`)
        for (const file of files.filter((each) => !errors.some((error) => error.file === each))) {
          print(`${paint(process.stdout, 'green', '✓')} ${file}`)
        }
      }
      finish(errors.length === 0 ? EXIT.done : EXIT.bad)
    })
}

function isKind(text: string): text is keyof typeof SCHEMAS {
  return Object.hasOwn(SCHEMAS, text)
}

function schemaCommand(finish: (code: number) => void): Command {
  const kinds = Object.keys(SCHEMAS)
  return new Command('schema')
    .description('Print the JSON Schema of a kind of document, for editors.')
    .argument('[kind]', kinds.join(', '), 'AttestationPolicy')
    .addHelpText(
      'after',
      `
Example:
  touchstone policy schema > AttestationPolicy.json
and as the first line of a policy, for editors with the YAML language server:
  # yaml-language-server: $schema=AttestationPolicy.json
A verifier serves the same at /schemas/AttestationPolicy.json.`,
    )
    .action((kind: string) => {
      if (!isKind(kind)) {
        throw new TouchstoneError('usage.arguments', `there is no kind ${kind}`, {
          hint: `There are ${kinds.join(', ')}.`,
        })
      }
      print(schemaText(kind))
      finish(EXIT.done)
    })
}
