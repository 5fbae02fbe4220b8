import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { root } from '../stage/processes.ts'
import { execute } from './execute.ts'
import type { Progress } from './fuzzer.ts'
import { HEAD, type Orders, type Report } from './messages.ts'
import { MAX_INPUT } from './mutate/bytes.ts'
import { TARGETS } from './targets/index.ts'

const PRINT_SECONDS = 10
/** No input may take this long. */
const HANG_MS = 30_000

const USAGE = `usage: npm run fuzz -- [--minutes N] [--seed S] [--target NAME]... [--corpus DIR]
       npm run fuzz -- --target NAME --input FILE

Feeds changed evidence, logs and policies to whatever reads them, and holds the answers against what is promised: a
result or a coded refusal; time and memory in proportion; nothing affirmed that was changed within reach of a quote.
Runs until --minutes are over, or Ctrl-C. What fails is kept in DIR (fuzz-corpus), with the command that repeats it.

targets:
${TARGETS.map(({ name, promise }) => `  ${name.padEnd(10)} ${promise}`).join('\n')}
`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    target: { type: 'string', multiple: true },
    corpus: { type: 'string' },
    input: { type: 'string' },
    help: { type: 'boolean' },
  },
})

const names = values.target ?? TARGETS.map(({ name }) => name)
const unknown = names.filter((name) => TARGETS.every((target) => target.name !== name))
const minutes = values.minutes === undefined ? Infinity : Number(values.minutes)
const seed = values.seed === undefined ? Date.now() % 0x7fffffff : Number(values.seed)
if (values.help === true) process.stdout.write(USAGE)
else if (unknown.length > 0 || !(minutes > 0) || !Number.isSafeInteger(seed)) {
  const problem = unknown.length > 0 ? `there is no target ${unknown.join(', ')}` : '--minutes and --seed are numbers'
  process.stderr.write(`error: ${problem}\nhint: npm run fuzz -- --help\n`)
  process.exitCode = 2
} else if (values.input !== undefined) repeat(values.input)
else process.exitCode = (await fuzz()) === 0 ? 0 : 1

/** Runs one saved input by each of the targets, and says what it does. */
function repeat(file: string): void {
  const input = readFileSync(file)
  for (const target of TARGETS.filter(({ name }) => names.includes(name))) {
    target.seeds()
    const { failure, features } = execute(target, input)
    process.stdout.write(
      `${target.name}: ${failure === undefined ? 'as it must be' : `${failure.kind}: ${failure.message}`}\n`,
    )
    if (failure === undefined) process.stdout.write(`${[...new Set(features)].map((each) => `  ${each}`).join('\n')}\n`)
    else process.exitCode = 1
  }
}

/** Fuzzes until the time is over; resolves with the number of failures. */
async function fuzz(): Promise<number> {
  const corpus = values.corpus ?? join(root, 'fuzz-corpus')
  const chosen = TARGETS.filter(({ name }) => names.includes(name)).map(({ name }) => name)
  const begin = performance.now()
  const state = new Map<string, Progress>()
  const earlier = new Map<string, Progress>()
  let failures = 0
  process.stdout.write(`seed ${seed}; failing inputs go to ${corpus}\n`)

  const save = (target: string, kind: string, message: string, input: Uint8Array): void => {
    failures += 1
    mkdirSync(corpus, { recursive: true })
    const digest = createHash('sha256').update(input).digest('hex').slice(0, 12)
    const file = join(corpus, `${target}-${kind}-${digest}.bin`)
    writeFileSync(file, input)
    process.stdout.write(
      `FAILED ${target}: ${kind} (${input.byteLength} bytes)\n  ${message.split('\n').slice(0, 6).join('\n  ')}\n`,
    )
    process.stdout.write(`  repeat: npm run fuzz -- --target ${target} --input ${file}\n`)
  }

  const print = (): void => {
    const seconds = (performance.now() - begin) / 1000
    for (const [target, { executions, corpus: kept, features }] of state) {
      const rate = (executions - (earlier.get(target)?.executions ?? 0)) / PRINT_SECONDS
      const done = String(executions).padStart(9)
      process.stdout.write(
        `${seconds.toFixed(0).padStart(6)} s ${target.padEnd(10)} ${done} executions, ${rate.toFixed(0).padStart(5)}/s, corpus ${kept}, met ${features}\n`,
      )
      earlier.set(target, state.get(target) ?? { executions, corpus: kept, features })
    }
  }

  const ending = new AbortController()
  const stop = new Promise<void>((resolve) => {
    const end = (): void => {
      ending.abort()
      resolve()
    }
    process.once('SIGINT', end)
    process.once('SIGTERM', end)
    if (minutes !== Infinity) setTimeout(end, minutes * 60_000).unref()
  })
  const printing = setInterval(print, PRINT_SECONDS * 1000)
  // A worker that hangs or dies is replaced by another, with another seed, or it would do so again.
  const before = new Map<string, number>()
  for (let round = 0; !ending.signal.aborted; round += 1) {
    for (const [target, { executions }] of state) before.set(target, executions)
    const told = (target: string, progress: Progress): void => {
      const executions = (before.get(target) ?? 0) + progress.executions
      state.set(target, { ...progress, executions })
    }
    await runWorker({ targets: chosen, seed: seed + 1000 * round }, stop, told, save)
  }
  clearInterval(printing)
  print()
  process.stdout.write(`${failures} failures\n`)
  return failures
}

type Save = (target: string, kind: string, message: string, input: Uint8Array) => void

async function runWorker(
  orders: Omit<Orders, 'shared'>,
  stop: Promise<void>,
  told: (target: string, progress: Progress) => void,
  save: Save,
): Promise<void> {
  const shared = new SharedArrayBuffer(HEAD.bytes + 2 * MAX_INPUT)
  const numbers = new Int32Array(shared, 0, 3)
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: { ...orders, shared } satisfies Orders,
    resourceLimits: { maxOldGenerationSizeMb: 1024 },
  })
  const current = (kind: string, message: string): void => {
    const target = orders.targets[Atomics.load(numbers, HEAD.target)] ?? 'unknown'
    const size = Atomics.load(numbers, HEAD.size)
    save(target, kind, message, Buffer.from(new Uint8Array(shared, HEAD.bytes, size)))
  }
  worker.on('message', (message: Report) => {
    if (message.kind === 'progress') told(message.target, message.progress)
    else save(message.target, message.signature, message.message, message.input)
  })
  let begun = -1
  const watch = setInterval(() => {
    const now = Atomics.load(numbers, HEAD.begun)
    if (now === begun && now > 0) {
      current('hang', `no answer within ${HANG_MS / 1000} s`)
      void worker.terminate()
    }
    begun = now
  }, HANG_MS)
  const died = new Promise<void>((resolve) => {
    worker.once('error', (error: unknown) => {
      current('died', error instanceof Error ? (error.stack ?? error.message) : String(error))
      resolve()
    })
    worker.once('exit', () => resolve())
  })
  await Promise.race([stop, died])
  clearInterval(watch)
  await worker.terminate()
}
