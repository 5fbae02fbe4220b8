import { execFile } from 'node:child_process'
import { join } from 'node:path'

const program = join(import.meta.dirname, '..', '..', 'bin', 'touchstone')

export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs the real command, as a person's shell would. */
export function touchstone(...args: readonly string[]): Promise<CommandResult> {
  return new Promise((resolve) => {
    execFile(
      program,
      args,
      { maxBuffer: 64 << 20, env: { ...process.env, NO_COLOR: '1' } },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr })
      },
    )
  })
}
