import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Stage } from '../../scripts/stage/processes.ts'
import { MissingPeer } from '../framework.ts'
import { startChild } from './child.ts'
import { installed } from './installed.ts'

const run = promisify(execFile)
const LIBRARY = 'libtss2-tctildr.so.0'

/** Microseconds for one command and its answer. */
export interface Times {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface TpmClient {
  /** Sends `command` that often, one after the other. Rejects when an answer is not TPM_RC_SUCCESS. */
  measure(command: Buffer, count: number): Promise<Times>
  /** Begins to send it without pause, until the client is stopped. */
  hammer(command: Buffer): void
  stop(): Promise<void>
}

/** Compiles tpm-client.c into the stage's directory, and resolves with its path. */
export async function compileClient(stage: Stage): Promise<string> {
  const compiler = installed('gcc', 'gcc libc6-dev')
  const program = join(stage.directory, 'tpm-client')
  const source = join(import.meta.dirname, 'tpm-client.c')
  try {
    await run(compiler, ['-O2', '-Wall', '-o', program, source, `-l:${LIBRARY}`])
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause)
    if (said.includes(LIBRARY)) throw new MissingPeer(LIBRARY, 'libtss2-tctildr0')
    throw cause
  }
  return program
}

/** A client of `address`: a TCTI string, or `unix:PATH` for a raw socket that stays connected. */
export async function startClient(
  stage: Stage,
  program: string,
  address: string,
  env: NodeJS.ProcessEnv = {},
): Promise<TpmClient> {
  const child = startChild(stage, program, [address], { TSS2_LOG: 'all+none', ...env })
  const greeting = await child.line()
  if (greeting !== 'ready') throw new Error(greeting)
  return {
    async measure(command, count) {
      child.write(`${count} ${command.toString('hex')}\n`)
      const answer = await child.line()
      const [p50, p99, max] = answer.split(' ').map((word) => Number(word) / 1000)
      if (p50 === undefined || p99 === undefined || max === undefined || Number.isNaN(p50)) {
        throw new Error(`${address} answered: ${answer}`)
      }
      return { p50, p99, max }
    },
    hammer(command) {
      child.write(`100000000 ${command.toString('hex')}\n`)
    },
    stop: () => child.stop(),
  }
}
