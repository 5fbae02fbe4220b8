import { Command } from 'commander'
import { isTouchstoneError } from '../../src/core/index.ts'
import { runDemo } from './demo.ts'
import { createTranscript } from './transcript.ts'

/**
 * `npm run demo`: the main job on a real TPM stack. With `--json` the last line of stdout is the answer of the contract
 * and everything else goes to stderr; with `--keep` everything stays up until Ctrl-C.
 */
const values = new Command('npm run demo --')
  .description('Play the main job on a real TPM stack.')
  .option('--json', 'print the answer as the last line of stdout, everything else on stderr')
  .option('--keep', 'leave everything running until Ctrl-C, and say how to look around')
  .parse()
  .opts<{ json?: true; keep?: true }>()

const transcript = createTranscript(values.json === true ? process.stderr : process.stdout)
try {
  await runDemo(transcript, values.keep === true, (answer) => {
    if (values.json === true) process.stdout.write(`${JSON.stringify(answer)}\n`)
  })
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`)
  if (isTouchstoneError(error)) process.stderr.write(`hint: ${error.hint}\n`)
  process.exitCode = 1
}
