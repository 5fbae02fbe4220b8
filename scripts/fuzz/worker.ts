import { parentPort, workerData } from 'node:worker_threads'
import { openFuzzer, type Fuzzer } from './fuzzer.ts'
import { HEAD, type Orders, type Report } from './messages.ts'
import { shrink } from './shrink.ts'
import { TARGETS } from './targets/index.ts'

// Runs the targets in turn, a while each, until it is ended.

const SLICE_MS = 1_000

const { targets, seed, shared } = workerData as Orders
const numbers = new Int32Array(shared, 0, 3)
const bytes = new Uint8Array(shared, HEAD.bytes)
const report = (message: Report): void => parentPort?.postMessage(message)

function runFor(fuzzer: Fuzzer, at: number, known: Set<string>): void {
  const end = performance.now() + SLICE_MS
  const begin = (input: Buffer): void => {
    const kept = input.subarray(0, bytes.byteLength)
    bytes.set(kept)
    Atomics.store(numbers, HEAD.target, at)
    Atomics.store(numbers, HEAD.size, kept.byteLength)
    Atomics.add(numbers, HEAD.begun, 1)
  }
  while (performance.now() < end) {
    const failure = fuzzer.step(begin)
    if (failure === undefined || known.has(failure.signature)) continue
    known.add(failure.signature)
    const { target, kind, message, input } = shrink(fuzzer.target, failure)
    report({ kind: 'failure', target, signature: kind, message, input })
  }
  report({ kind: 'progress', target: fuzzer.target.name, progress: fuzzer.progress() })
}

const fuzzers = TARGETS.filter(({ name }) => targets.includes(name)).map((target, at) => openFuzzer(target, seed + at))
const known = new Set<string>()
for (;;) for (const [at, fuzzer] of fuzzers.entries()) runFor(fuzzer, at, known)
