import { Command, Option } from 'commander'
import { nodeResult } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { operatorClient } from './operator-client.ts'
import { print, printJson } from './output.ts'

type ResultOptions = {
  readonly audience?: string
  readonly nonce?: string
  readonly profile?: string
  readonly format: string
  readonly json?: boolean
}

/** `touchstone result`: what a relying party would be told of a node, asked of the verifier and not of the node. */
export function resultCommand(finish: (code: number) => void): Command {
  return new Command('result')
    .description("A node's newest verdict as a signed EAR token. It ends when the evidence is no longer fresh.")
    .argument('<node>', 'the id of the node')
    .option('--audience <name>', 'who the result is for')
    .option('--nonce <text>', 'to be found in the result; base64url of 8 to 64 bytes where the result is a CWT')
    .addOption(
      new Option('--profile <name>', 'spelling of the claims (default: as configured)').choices([
        'ear-03',
        'veraison-2023',
      ]),
    )
    .addOption(new Option('--format <name>', 'serialisation').choices(['jwt', 'cwt']).default('jwt'))
    .option('--json', 'the whole answer instead of the token alone')
    .addHelpText(
      'after',
      `
A CWT is printed in base64url. The keys that verify results are at <verifier>/.well-known/jwks.json.

Example:
  touchstone result 0198f3c2-… --audience https://broker.example --format jwt`,
    )
    .action(async (node: string, { json, ...options }: ResultOptions) => {
      const query = new URLSearchParams({ ...options })
      const path = `/v1/nodes/${encodeURIComponent(node)}/result?${query.toString()}`
      const answer = nodeResult.parse(await operatorClient(process.env).get(path))
      if (json === true) printJson(answer)
      else print(answer.result)
      finish(EXIT.done)
    })
}
