import { isTouchstoneError } from '../../src/core/index.ts'
import { BrokenPromise, type Target } from './target.ts'

export type FailureKind = 'crash' | 'broken-promise' | 'slow' | 'memory' | 'large-answer'

export interface Failure {
  readonly target: string
  readonly kind: FailureKind
  readonly message: string
  /** Equal for inputs that fail in the same way. */
  readonly signature: string
  readonly input: Buffer
}

export interface Execution {
  readonly features: readonly string[]
  readonly failure: Failure | undefined
}

// Everything is O(n), so each byte may cost so much and no more. The bases are for what is done once, with a busy machine
// in mind; the factors are several times what the most expensive bytes were seen to cost.
const TIME = { base: 60, perByte: 0.01 }
const MEMORY = { base: 64 * 1024 * 1024, perByte: 4_000 }
const ANSWER = { base: 512 * 1024, perByte: 300 }
/** A machine that does something else makes one run slow, and not four. */
const RETRIES = 3

/** Runs a target once, and holds its answer, its time in ms and its memory against what was promised. */
export function execute(target: Target, input: Buffer): Execution {
  const before = process.memoryUsage().heapUsed
  const { features, failure, ms } = attempt(target, input)
  if (failure !== undefined) return { features, failure }
  const grown = process.memoryUsage().heapUsed - before
  const fail = (kind: FailureKind, message: string): Execution => {
    return { features, failure: { target: target.name, kind, message, signature: `${target.name} ${kind}`, input } }
  }
  const longest = TIME.base + TIME.perByte * input.byteLength
  if (ms > longest) {
    const again = Array.from({ length: RETRIES }, () => attempt(target, input).ms)
    const best = Math.min(ms, ...again)
    if (best > longest) return fail('slow', `${best.toFixed(0)} ms for ${input.byteLength} bytes`)
  }
  if (grown > MEMORY.base + MEMORY.perByte * input.byteLength) {
    return fail('memory', `${(grown / 1024 / 1024).toFixed(0)} MiB for ${input.byteLength} bytes`)
  }
  return { features, failure: undefined }
}

function attempt(target: Target, input: Buffer): Execution & { readonly ms: number } {
  const copy = Buffer.from(input)
  const begin = process.threadCpuUsage()
  const elapsed = (): number => {
    const { user, system } = process.threadCpuUsage(begin)
    return (user + system) / 1000
  }
  const fail = (kind: FailureKind, message: string, signature: string, ms: number) => {
    const failure: Failure = {
      target: target.name,
      kind,
      message,
      signature: `${target.name} ${kind} ${signature}`,
      input,
    }
    return { features: [], failure, ms }
  }
  try {
    const { features, answer } = target.run(copy)
    const ms = elapsed()
    const size = answer === undefined ? 0 : Buffer.byteLength(JSON.stringify(answer))
    if (size > ANSWER.base + ANSWER.perByte * input.byteLength) {
      return fail('large-answer', `${size} bytes for ${input.byteLength}`, '', ms)
    }
    if (!copy.equals(input)) return fail('broken-promise', 'the input was written to', 'write', ms)
    return { features, failure: undefined, ms }
  } catch (error) {
    const ms = elapsed()
    if (isTouchstoneError(error)) {
      const where = String(error.details['path'] ?? '').replaceAll(/\d+/g, '')
      return { features: [`refused ${error.code} ${where}`], failure: undefined, ms }
    }
    if (error instanceof BrokenPromise) return fail('broken-promise', error.message, error.message, ms)
    const { stack = String(error), message } = error instanceof Error ? error : new Error(String(error))
    return fail('crash', stack, `${message.slice(0, 80)} ${placeOf(stack)}`, ms)
  }
}

/** The first line of the program's own in a stack. */
function placeOf(stack: string): string {
  return /\/(src\/\S+?:\d+)/.exec(stack)?.[1] ?? ''
}
