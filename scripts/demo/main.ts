import { parseArgs } from 'node:util'
import { isTouchstoneError } from '../../src/core/index.ts'
import { runDemo } from './demo.ts'
import { createTranscript } from './transcript.ts'

/**
 * `npm run demo`: the main job on a real TPM stack. With `--json` the last line of stdout is the answer of the contract
 * and everything else goes to stderr; with `--keep` everything stays up until Ctrl-C.
 */
const { values } = parseArgs({
  options: { json: { type: 'boolean', default: false }, keep: { type: 'boolean', default: false } },
})

const transcript = createTranscript(values.json ? process.stderr : process.stdout)
try {
  await runDemo(transcript, values.keep, (answer) => {
    if (values.json) process.stdout.write(`${JSON.stringify(answer)}\n`)
  })
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`)
  if (isTouchstoneError(error)) process.stderr.write(`hint: ${error.hint}\n`)
  process.exitCode = 1
}
