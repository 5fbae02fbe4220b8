import { join } from 'node:path'
import { startSwtpm } from '../src/device/index.ts'
import { compare, type Bench } from './framework.ts'
import { startGuests } from './peers/guests.ts'
import { stayOnOneCore } from './peers/one-core.ts'
import { compileClient, startClient } from './peers/tpm-client.ts'
import { GET_RANDOM } from './tpm-commands.ts'

const ROUNDS = 31
const COUNT = 1_000

/**
 * A guest's command as the guest sends it, through tpm2-tss' swtpm TCTI and on a connection that is kept, against the same
 * on a swtpm that no broker has anything to do with.
 */
export const vtpmPath: Bench = async (stage) => {
  await stayOnOneCore(stage)
  const program = await compileClient(stage)
  const [socket = ''] = (await startGuests(stage, 1)).sockets
  // Detached as a guest's is: the scheduler shares out a core by session first.
  const bare = await startSwtpm({ stateDir: join(stage.directory, 'bare-tpm'), startup: 'clear', detached: true })
  stage.onEnd(async () => {
    await bare.stop()
  })
  const row = async (name: string, address: (path: string) => string) => {
    const sample = async (path: string) => {
      const client = await startClient(stage, program, address(path))
      const { p50 } = await client.measure(GET_RANDOM, COUNT)
      // A kept connection keeps others out.
      await client.stop()
      return p50
    }
    return await compare(
      name,
      ROUNDS,
      () => sample(socket),
      () => sample(bare.socket),
    )
  }
  return [await row('vtpm-path', (path) => `swtpm:path=${path}`), await row('vtpm-path-kept', (path) => `unix:${path}`)]
}
