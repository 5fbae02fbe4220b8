import { CommanderError } from 'commander'
import { TouchstoneError } from '../core/index.ts'

/** Exit codes of the contract. */
export const EXIT = { done: 0, no: 1, bad: 2, internal: 70 } as const

/** Codes of these rooms mean that what was given cannot be used at all: arguments, configuration, policy, structure. */
const BAD_INPUT =
  /^(?:decode|usage|config|policy|manifest|eventlog|ima|learn)\.|^(?:agent|broker)\.config$|^ak\.pem$|^tpm\.selection_syntax$|^device\.tcti$/

export interface Failure {
  readonly exit: number
  /** Empty where the failure has been told already (commander prints its own). */
  readonly lines: readonly string[]
  readonly body?: { readonly error: { readonly code: string; readonly message: string; readonly hint: string } }
}

/** What a person and what a script is told of `error`. An error without a code is a bug and says so. */
export function failureOf(error: unknown, debug: boolean): Failure {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return { exit: EXIT.done, lines: [] }
    const message = error.message.replace(/^error: /, '')
    return {
      exit: EXIT.bad,
      lines: [],
      body: { error: { code: 'usage.arguments', message, hint: 'Run the command with --help to see what it takes.' } },
    }
  }
  if (error instanceof TouchstoneError) {
    const lines = [`error: ${error.message} [${error.code}]`, `hint: ${error.hint}`]
    for (let cause = error.cause; cause instanceof Error; cause = cause.cause) lines.push(`cause: ${cause.message}`)
    if (debug && error.stack !== undefined) lines.push(error.stack)
    return {
      exit: BAD_INPUT.test(error.code) ? EXIT.bad : EXIT.no,
      lines,
      body: { error: { code: error.code, message: error.message, hint: error.hint } },
    }
  }
  const message = error instanceof Error ? error.message : String(error)
  const lines = [
    `error: ${message} [internal]`,
    'hint: this is a fault of Touchstone; run again with TOUCHSTONE_DEBUG=1 and report what it prints',
  ]
  if (debug && error instanceof Error && error.stack !== undefined) lines.push(error.stack)
  return {
    exit: EXIT.internal,
    lines,
    body: { error: { code: 'internal', message, hint: 'This is a fault of Touchstone; report it with the message.' } },
  }
}
