import assert from 'node:assert/strict'
import test from 'node:test'
import { execute } from '../../scripts/fuzz/execute.ts'
import { openFuzzer } from '../../scripts/fuzz/fuzzer.ts'
import { shrink } from '../../scripts/fuzz/shrink.ts'
import { BrokenPromise, type Target } from '../../scripts/fuzz/target.ts'
import { TouchstoneError } from '../../src/core/index.ts'

function targetOf(run: Target['run']): Target {
  return {
    name: 'example',
    promise: 'none',
    seeds: () => [Buffer.from('seed'), Buffer.from('another')],
    mutate: (input, random) => Buffer.concat([input, random.bytes(1)]),
    run,
  }
}

const input = Buffer.from('some bytes of which one is X and no other')
const isBad = (bytes: Buffer): boolean => bytes.includes('X')

for (const [what, kind, run] of [
  ['an error without a code', 'crash', () => assert.fail('no')],
  [
    'a stack that ends',
    'crash',
    function deeper(bytes: Buffer): never {
      return deeper(bytes)
    },
  ],
  [
    'an answer that is not as it must be',
    'broken-promise',
    () => {
      throw new BrokenPromise('no')
    },
  ],
  ['an answer out of proportion', 'large-answer', () => ({ features: [], answer: 'x'.repeat(1 << 20) })],
  [
    'an input that was written to',
    'broken-promise',
    (bytes: Buffer) => {
      bytes.fill(0)
      return { features: [] }
    },
  ],
] as const) {
  test(`${what} is a failure`, () => {
    const { failure } = execute(targetOf(run), input)
    assert.equal(failure?.kind, kind)
    assert.deepEqual(failure.input, input)
  })
}

test('a coded refusal is an answer, and tells where it was refused', () => {
  const { failure, features } = execute(
    targetOf(() => {
      throw new TouchstoneError('decode.truncated', 'cut', { details: { path: 'events[12].size' } })
    }),
    input,
  )
  assert.equal(failure, undefined)
  assert.deepEqual(features, ['refused decode.truncated events[].size'])
})

test('a failing input is made shorter for as long as it fails in the same way', () => {
  const target = targetOf((bytes) => {
    if (isBad(bytes)) throw new Error('X is not borne')
    return { features: [] }
  })
  const { failure } = execute(target, input)
  assert.ok(failure)
  assert.equal(shrink(target, failure).input.toString(), 'X')
})

test('what meets something new is kept, and the same seed runs the same inputs', () => {
  const run = () => {
    const seen: string[] = []
    const fuzzer = openFuzzer(
      targetOf((bytes) => ({ features: [`size ${bytes.byteLength % 16}`] })),
      7,
    )
    for (let step = 0; step < 60; step += 1) fuzzer.step((bytes) => seen.push(bytes.toString('hex')))
    return { seen, progress: fuzzer.progress() }
  }
  const { seen, progress } = run()
  assert.deepEqual(run().seen, seen)
  assert.equal(progress.executions, 60)
  assert.ok(progress.corpus > 4 && progress.features > 4)
})
