import { cp, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ERRORS, isTouchstoneError, type ErrorCode } from '../../src/core/index.ts'
import type { BrokerNode } from '../stage/broker-node.ts'
import type { Stage } from '../stage/processes.ts'
import type { Guest } from './guests.ts'
import type { Transcript } from './transcript.ts'

/**
 * What somebody does who has the disk and copies of what it held before: a password that was changed since, a secret that was
 * used up, would be there again. First one guest's state, then all of it, with the ledger that goes with it.
 */
export async function rollbackChapter(
  stage: Stage,
  show: Transcript,
  node: BrokerNode,
  { guest, agent }: Guest,
  other: Guest,
): Promise<void> {
  show.chapter(9, 'Rollback', 'an older copy of the disk, put back under a stopped guest')
  const { broker } = node
  const { stateDir } = broker
  const copy = join(stage.directory, 'copy-of-the-disk')
  const stateOf = (root: string, generation: number) => join(root, 'guests', guest, `gen-${generation}`)

  const { before, now } = await show.step(
    'a guest is powered off, its disk copied; then it runs once more',
    async () => {
      await agent.stop()
      const stopped = await broker.stop(guest)
      await cp(stateDir, copy, { recursive: true, filter: isFile })
      await broker.start(guest)
      return { before: stopped.generation, now: (await broker.stop(guest)).generation }
    },
  )
  show.fact('generation', `${before} in the copy, ${now} in the ledger`)
  await rm(stateOf(stateDir, now), { recursive: true })
  await cp(stateOf(copy, before), stateOf(stateDir, now), { recursive: true })
  await refused(
    show,
    `its state of generation ${before} in the place of generation ${now}`,
    'guest.state_rolled_back',
    () => broker.start(guest),
  )

  const ledger = join(stateDir, 'ledger')
  const kept = join(stage.directory, 'newest-ledger')
  const again = await show.step('the whole disk goes back, ledger included, while the broker is off', async () => {
    await broker.command.stop()
    await cp(ledger, kept)
    await cp(join(copy, 'ledger'), ledger)
    await cp(join(copy, 'guests', guest), join(stateDir, 'guests', guest), { recursive: true })
    return await node.startBroker()
  })
  const { code, message, hint } = await again.whyLocked()
  expectCode('ledger.rolled_back', code)
  show.refused('a ledger that matches the old state', `${message} [${code}]. ${hint}`)

  const { running } = await show.step(
    'with the true ledger back the broker goes on, and takes over the guest that ran all along',
    async () => {
      await cp(kept, ledger)
      await again.open()
      return await again.describe(other.guest)
    },
  )
  show.fact('guest', `${other.guest}, running since before, process ${running?.pid ?? 0}`)
}

/** Sockets are none of the disk's. */
/** The audit log is written while it is copied, and nobody puts it back. */
function isFile(path: string): boolean {
  return !path.endsWith('.sock') && basename(path) !== 'audit'
}

async function refused(
  show: Transcript,
  attack: string,
  code: ErrorCode,
  attempt: () => Promise<unknown>,
): Promise<void> {
  try {
    await attempt()
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    expectCode(code, error.code)
    show.refused(attack, `${error.message} [${error.code}]. ${ERRORS[code].hint}`)
    return
  }
  throw new Error(`not refused: ${attack}`)
}

function expectCode(expected: ErrorCode, actual: string | undefined): void {
  if (actual !== expected) throw new Error(`refused with ${actual ?? 'nothing'} instead of ${expected}`)
}
