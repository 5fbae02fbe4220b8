import assert from 'node:assert/strict'
import test from 'node:test'
import { openFuzzer } from '../../scripts/fuzz/fuzzer.ts'
import { TARGETS } from '../../scripts/fuzz/targets/index.ts'

/** As many as a busy machine runs in a second or two; `npm run fuzz` runs the same for as long as one likes. */
const EXECUTIONS = 300
const SEED = 20_260_101

for (const target of TARGETS) {
  test(`fuzzed ${target.name}: ${target.promise}`, () => {
    const fuzzer = openFuzzer(target, SEED)
    for (let execution = 0; execution < EXECUTIONS; execution += 1) {
      const failure = fuzzer.step()
      // What depends on how busy the machine is belongs to long runs.
      if (failure === undefined || failure.kind === 'slow' || failure.kind === 'memory') continue
      assert.fail(`${failure.kind}: ${failure.message}\n${failure.input.toString('base64')}`)
    }
    assert.ok(fuzzer.progress().features > 0)
  })
}
