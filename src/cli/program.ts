import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { z } from 'zod'
import { EXIT, failureOf } from './failure.ts'
import { printJson } from './output.ts'

type Finish = (code: number) => void

/** The commands in the order of the help. Each is loaded when it is asked for: reading all of them takes half a second. */
const COMMANDS: Readonly<Record<string, () => Promise<(finish: Finish) => Command>>> = {
  serve: async () => (await import('./serve.ts')).serveCommand,
  node: async () => (await import('./node.ts')).nodeCommand,
  broker: async () => (await import('./broker.ts')).brokerCommand,
  vtpm: async () => (await import('./vtpm.ts')).vtpmCommand,
  key: async () => (await import('./key.ts')).keyCommand,
  appraise: async () => (await import('./appraise.ts')).appraiseCommand,
  log: async () => (await import('./log-show.ts')).logCommand,
  policy: async () => (await import('./policy.ts')).policyCommand,
  ca: async () => (await import('./ca.ts')).caCommand,
  token: async () => (await import('./token.ts')).tokenCommand,
  apply: async () => (await import('./apply.ts')).applyCommand,
  reference: async () => (await import('./reference.ts')).referenceCommand,
  exception: async () => (await import('./exception.ts')).exceptionCommand,
  get: async () => (await import('./get.ts')).getCommand,
  describe: async () => (await import('./describe.ts')).describeCommand,
  explain: async () => (await import('./explain.ts')).explainCommand,
  result: async () => (await import('./result.ts')).resultCommand,
  approve: async () => (await import('./decide.ts')).approveCommand,
  label: async () => (await import('./label.ts')).labelCommand,
  suspend: async () => (await import('./decide.ts')).suspendCommand,
  activate: async () => (await import('./decide.ts')).activateCommand,
  place: async () => (await import('./place.ts')).placeCommand,
  placement: async () => (await import('./place.ts')).placementCommand,
  release: async () => (await import('./release.ts')).releaseCommand,
  recovery: async () => (await import('./recovery.ts')).recoveryCommand,
}

const EXAMPLE = `
Examples:
  touchstone ca init --data-dir /var/lib/touchstone
  touchstone serve --config verifier.yaml
  touchstone node run --config node.yaml
  touchstone log show /sys/kernel/security/tpm0/binary_bios_measurements
  touchstone get nodes -o wide

Exit codes: 0 done, 1 the answer is no, 2 the input cannot be used, 70 a fault of Touchstone.
Operators' commands read TOUCHSTONE_URL, TOUCHSTONE_CA and TOUCHSTONE_TOKEN_FILE.`

/** With the one command that `args` name, or with all of them where it takes all: help, and a name that is none. */
export async function buildProgram(args: readonly string[], finish: Finish): Promise<Command> {
  const program = new Command('touchstone')
    .description('Trust and attestation for fleets of edge nodes.')
    .version(readVersion())
    .showHelpAfterError('(run with --help to see what it takes)')
    .addHelpText('after', EXAMPLE)
  const [first = ''] = args
  const named = Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined
  const isVersion = first === '--version' || first === '-V'
  for (const load of named !== undefined ? [named] : isVersion ? [] : Object.values(COMMANDS)) {
    program.addCommand((await load())(finish))
  }
  for (const command of everyCommand(program)) command.exitOverride()
  return program
}

function readVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')
  return z.object({ version: z.string() }).parse(JSON.parse(text)).version
}

function everyCommand(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap((child) => everyCommand(child))]
}

/** Runs the command line `args` (without node and script) and gives the exit code of the contract. */
export async function runCli(args: readonly string[]): Promise<number> {
  let code: number = EXIT.done
  const program = await buildProgram(args, (answer) => {
    code = answer
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    const failure = failureOf(error, process.env['TOUCHSTONE_DEBUG'] !== undefined)
    for (const line of failure.lines) process.stderr.write(`${line}\n`)
    if (failure.body !== undefined && asksForJson(args)) printJson(failure.body)
    return failure.exit
  }
}

function asksForJson(args: readonly string[]): boolean {
  const at = args.findIndex((arg) => arg === '-o' || arg === '--output')
  return args.includes('--json') || (at >= 0 && args[at + 1] === 'json') || args.includes('-ojson')
}
