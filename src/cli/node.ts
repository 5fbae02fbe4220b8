import { Command, Option } from 'commander'
import { pino } from 'pino'
import { EXIT } from './failure.ts'
import { paint, parseOutputFormat, print, printable, printJson, printObject } from './output.ts'
import { wrapped } from './screen.ts'
import { stopSignal } from './serve.ts'
import type { AgentStatus } from '../agent/index.ts'

const CONFIG = ['--config <file>', 'YAML configuration: verifier, trustAnchor, stateDir, tcti, …'] as const

/** Logs are JSON on stderr, so that stdout has only what a command answers. */
const logger = () =>
  pino(
    { level: process.env['TOUCHSTONE_LOG_LEVEL'] ?? 'info', timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 2, sync: true }),
  )

export function nodeCommand(finish: (code: number) => void): Command {
  return new Command('node')
    .description('The node agent: from first power-on to a device certificate, and attestation from then on.')
    .addCommand(runCommand(finish))
    .addCommand(enrollCommand(finish))
    .addCommand(attestCommand(finish))
    .addCommand(statusCommand(finish))
}

function runCommand(finish: (code: number) => void): Command {
  return new Command('run')
    .description('Onboard when needed, then attest for ever, until SIGTERM or SIGINT.')
    .requiredOption(...CONFIG)
    .addHelpText(
      'after',
      `
Example:
  printf 'verifier: https://verifier.example:8443\\ntrustAnchor: /etc/touchstone/root.pem\\n' > node.yaml
  touchstone node run --config node.yaml`,
    )
    .action(async (options: { config: string }) => {
      const { readAgentConfig, runAgent } = await import('../agent/index.ts')
      await runAgent(await readAgentConfig(options.config), stopSignal(), { logger: logger() })
      finish(EXIT.done)
    })
}

function enrollCommand(finish: (code: number) => void): Command {
  return new Command('enroll')
    .description('Onboard once and stop; answers the enrolment that there is already.')
    .requiredOption(...CONFIG)
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .action(async (options: { config: string; output?: string; json?: boolean }) => {
      const { readAgentConfig, enrollOnce } = await import('../agent/index.ts')
      const enrolment = await enrollOnce(await readAgentConfig(options.config), { logger: logger() }, stopSignal())
      printObject(
        parseOutputFormat(options),
        enrolment,
        () => `enrolled as ${enrolment.nodeId} at ${enrolment.verifier}`,
      )
      finish(EXIT.done)
    })
}

interface AttestOptions {
  readonly config: string
  readonly audience?: string
  readonly nonce?: string
  readonly profile?: 'ear-03' | 'veraison-2023'
  readonly format?: 'jwt' | 'cwt'
  readonly json?: boolean
}

function attestCommand(finish: (code: number) => void): Command {
  return new Command('attest')
    .description(
      'Attest once, for a relying party where one is named, and print the result. Exit 1 unless affirming or warning.',
    )
    .requiredOption(...CONFIG)
    .option('--audience <name>', 'who the result is for')
    .option('--nonce <text>', 'what the relying party gave to be found in the result, 8 to 88 characters')
    .addOption(new Option('--profile <name>', 'spelling of the claims').choices(['ear-03', 'veraison-2023']))
    .addOption(new Option('--format <name>', 'serialisation; a CWT is printed in base64url').choices(['jwt', 'cwt']))
    .option('--json', 'the whole answer instead of the token alone')
    .action(async (options: AttestOptions) => {
      const { readAgentConfig, attestOnce } = await import('../agent/index.ts')
      const { config, json, ...request } = options
      const answer = await attestOnce(await readAgentConfig(config), request, { logger: logger() }, stopSignal())
      if (json === true) printJson(answer)
      else print(answer.result)
      if (answer.reason !== undefined) process.stderr.write(`${answer.status}: ${printable(answer.reason)}\n`)
      finish(answer.status === 'affirming' || answer.status === 'warning' ? EXIT.done : EXIT.no)
    })
}

function statusCommand(finish: (code: number) => void): Command {
  return new Command('status')
    .description('What the agent on this node is doing. Exit 1 unless it is enrolled and its last verdict was good.')
    .requiredOption(...CONFIG)
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .action(async (options: { config: string; output?: string; json?: boolean }) => {
      const { readAgentConfig, readStatus } = await import('../agent/index.ts')
      const status = await readStatus((await readAgentConfig(options.config)).stateDir)
      printObject(parseOutputFormat(options), status, () => render(status))
      finish(status.ready ? EXIT.done : EXIT.no)
    })
}

/** Where one part of such a sentence ends: the event, both values, what tells them apart, what to do. */
const PARTS = /; (?=(?:at|expected|got|registers:|added:|missing:|nearest|it is|excused) )|, (?=got )|(?<=\.) (?=[A-Z])/

/** The verifier's sentence, a part a line: it is long, because it has everything. */
function reasonLines(reason: string | undefined): readonly string[] {
  if (reason === undefined) return []
  return reason.split(PARTS).flatMap((part, at) => wrapped(part, (at === 0 ? 'reason' : '').padEnd(20), (line) => line))
}

function render(status: AgentStatus): string {
  const row = (name: string, value: string | undefined) =>
    value === undefined ? [] : [`${name.padEnd(20)}${printable(value)}`]
  const { lastAttestation: last, lastError: error, ek } = status
  return [
    `${'agent'.padEnd(20)}${paint(process.stdout, status.ready ? 'green' : 'yellow', status.state)}`,
    ...row('node', status.nodeId ?? 'not enrolled'),
    ...row('verifier', status.verifier),
    ...row('claims', status.model === undefined ? undefined : `${status.model}, ${status.serial ?? ''}`),
    ...row('EK', ek === undefined ? undefined : `${ek.template} ${ek.digest}`),
    ...row('certificate until', status.certificateExpires),
    ...row('clock', status.clock === 'behind' ? 'behind: validity dates are ignored' : undefined),
    ...row('last verdict', last === undefined ? undefined : `${last.status} at ${last.time}`),
    ...reasonLines(last?.reason),
    ...row('last error', error === undefined ? undefined : `${error.message} [${error.code}] at ${error.time}`),
    ...row('hint', error?.hint),
    ...row('next attempt', status.nextAttempt),
  ].join('\n')
}
