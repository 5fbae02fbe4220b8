import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { z } from 'zod'
import { appraiseCommand } from './appraise.ts'
import { applyCommand } from './apply.ts'
import { caCommand } from './ca.ts'
import { activateCommand, approveCommand, suspendCommand } from './decide.ts'
import { describeCommand } from './describe.ts'
import { EXIT, failureOf } from './failure.ts'
import { getCommand } from './get.ts'
import { logCommand } from './log-show.ts'
import { nodeCommand } from './node.ts'
import { printJson } from './output.ts'
import { policyCommand } from './policy.ts'
import { serveCommand } from './serve.ts'
import { tokenCommand } from './token.ts'

const EXAMPLE = `
Examples:
  touchstone ca init --data-dir /var/lib/touchstone
  touchstone serve --config verifier.yaml
  touchstone node run --config node.yaml
  touchstone log show /sys/kernel/security/tpm0/binary_bios_measurements
  touchstone get nodes -o wide

Exit codes: 0 done, 1 the answer is no, 2 the input cannot be used, 70 a fault of Touchstone.
Operators' commands read TOUCHSTONE_URL, TOUCHSTONE_CA and TOUCHSTONE_TOKEN_FILE.`

function buildProgram(finish: (code: number) => void): Command {
  const program = new Command('touchstone')
    .description('Trust and attestation for fleets of edge nodes.')
    .version(readVersion())
    .showHelpAfterError('(run with --help to see what it takes)')
    .addHelpText('after', EXAMPLE)
  for (const command of [
    serveCommand,
    nodeCommand,
    appraiseCommand,
    logCommand,
    policyCommand,
    caCommand,
    tokenCommand,
    applyCommand,
    getCommand,
    describeCommand,
    approveCommand,
    suspendCommand,
    activateCommand,
  ]) {
    program.addCommand(command(finish))
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
  const program = buildProgram((answer) => {
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
