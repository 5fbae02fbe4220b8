import { execa, ExecaError } from 'execa'
import { TouchstoneError } from '../src/core/index.ts'

/** Far beyond what a tool needs; a hundred boxes being made at once share the machine. */
const TIMEOUT = 120_000

/** Runs a program to its end in `directory`. `standin.tool` has what it said on stderr. */
export async function runTool(program: string, args: readonly string[], directory: string): Promise<void> {
  try {
    await execa(program, args, { cwd: directory, timeout: TIMEOUT, stdin: 'ignore' })
  } catch (cause) {
    if (!(cause instanceof ExecaError)) throw cause
    const said = typeof cause.stderr === 'string' && cause.stderr !== '' ? cause.stderr : cause.originalMessage
    throw new TouchstoneError('standin.tool', `${program} failed: ${said}`, { cause })
  }
}
