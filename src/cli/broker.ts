import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { pino } from 'pino'
import { z } from 'zod'
import type { BrokerStatus } from '../vtpm/broker/index.ts'
import { brokerAuditCommand } from './broker-audit.ts'
import { askBroker, SOCKET_OPTION } from './broker-socket.ts'
import { EXIT } from './failure.ts'
import { paint, parseOutputFormat, print, printable, printJson, printObject } from './output.ts'
import { stopSignal } from './serve.ts'

export function brokerCommand(finish: (code: number) => void): Command {
  return new Command('broker')
    .description("The vTPM broker: shares the node's TPM, gives every guest one of its own, and apps keys.")
    .addCommand(runCommand(finish))
    .addCommand(statusCommand(finish))
    .addCommand(fetchCommand(finish))
    .addCommand(brokerAuditCommand(finish))
}

function runCommand(finish: (code: number) => void): Command {
  return new Command('run')
    .description('Run the broker until SIGTERM or SIGINT. Guests go on running when it ends.')
    .requiredOption('--config <file>', 'YAML configuration: tpm, stateDir, runDir, tenants, agent, …')
    .addHelpText(
      'after',
      `
The node agent reaches the TPM through the broker: give it a tenant of class agent, and tcti: swtpm:path=<runDir>/t/NAME/tpm.

Example:
  printf 'tpm: /dev/tpm0\\nagent: /var/lib/touchstone-node\\ntenants:\\n  - { name: node, class: agent, serve: [tpm] }\\n  - { name: web, uid: 1001 }\\n' > broker.yaml
  touchstone broker run --config broker.yaml`,
    )
    .action(async (options: { config: string }) => {
      const { readBrokerConfig, runBroker } = await import('../vtpm/broker/index.ts')
      const config = await readBrokerConfig(options.config)
      const logger = pino(
        { level: config.logLevel, timestamp: pino.stdTimeFunctions.isoTime },
        pino.destination({ dest: 2, sync: true }),
      )
      await runBroker(config, stopSignal(), { logger, version: versionOf() })
      finish(EXIT.done)
    })
}

function statusCommand(finish: (code: number) => void): Command {
  return new Command('status')
    .description('What the broker on this node is doing. Exit 1 unless its secrets are open.')
    .option(...SOCKET_OPTION)
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .action(async (options: { socket?: string; output?: string; json?: boolean }) => {
      const { brokerStatus } = await import('../vtpm/broker/index.ts')
      const status = brokerStatus.parse(await askBroker(options.socket, 'GET', '/v1/status'))
      printObject(parseOutputFormat(options), status, () => render(status))
      finish(status.state === 'ready' ? EXIT.done : EXIT.no)
    })
}

function fetchCommand(finish: (code: number) => void): Command {
  return new Command('fetch')
    .description('Fetch the releases that the fleet has signed for this node, now: before a reboot into an update.')
    .option(...SOCKET_OPTION)
    .option('--json', 'the answer as JSON')
    .action(async (options: { socket?: string; json?: boolean }) => {
      const answer = z
        .object({ releases: z.array(z.int()) })
        .parse(await askBroker(options.socket, 'POST', '/v1/releases/fetch'))
      if (options.json === true) printJson(answer)
      else
        print(answer.releases.length === 0 ? 'none' : answer.releases.map((number) => `release ${number}`).join('\n'))
      finish(EXIT.done)
    })
}

function render(status: BrokerStatus): string {
  const row = (name: string, value: string | undefined) =>
    value === undefined ? [] : [`${name.padEnd(16)}${printable(value)}`]
  const { roots, release, guests, problems } = status
  return [
    `${'broker'.padEnd(16)}${paint(process.stdout, status.state === 'ready' ? 'green' : 'yellow', status.state)}`,
    ...row('TPM', status.tpm),
    ...row('verifier', status.verifier),
    ...row(
      'tenants',
      status.tenants.map(({ name, class: of, serve }) => `${name} (${of}: ${serve.join(', ')})`).join('; ') || 'none',
    ),
    ...row('node reference', roots?.nodeRef),
    ...row('counter name', roots?.counterName),
    ...row(
      'release',
      release === undefined
        ? undefined
        : `${release.number}${release.description === undefined ? '' : `, ${release.description}`}; counter at ${release.counter}`,
    ),
    ...row('guests', guests === undefined ? undefined : `${guests.running} running of ${guests.all}`),
    ...row('audit head', `${status.audit.sequence} ${status.audit.hash}`),
    ...problems.flatMap(({ source, code, message, hint, time }) => [
      ...row(source, `${message} [${code}] since ${time}`),
      ...row('hint', hint),
    ]),
  ].join('\n')
}

function versionOf(): string {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')
  return z.object({ version: z.string() }).parse(JSON.parse(text)).version
}
