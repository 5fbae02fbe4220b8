import { isTouchstoneError } from '../../src/core/index.ts'
import { swtpmControl } from '../../src/device/index.ts'
import type { GuestSummary } from '../../src/wire/index.ts'
import type { Broker } from '../stage/broker.ts'
import { guestNv } from './guest-nv.ts'

/** What was asked of a guest and what of it was acknowledged, over all brokers. */
export interface GuestLife {
  readonly guest: string
  /** `asked`: nobody knows whether it was done. */
  created: 'no' | 'asked' | 'yes'
  deleted: 'no' | 'asked' | 'yes'
  /** Of its counter; undefined before the first acknowledgement. */
  counted: bigint | undefined
  /** What its record may hold: the last one that was acknowledged, and what was asked for since. */
  recorded: bigint[]
  actions: number
  writes: number
}

export function newLife(guest: string): GuestLife {
  return { guest, created: 'no', deleted: 'no', counted: undefined, recorded: [], actions: 0, writes: 0 }
}

/** Has the guest do this and that until the broker or its TPM is gone. */
export async function liveOn(broker: Broker, life: GuestLife, random: () => number, over: AbortSignal): Promise<void> {
  const { guest } = life
  if (life.deleted !== 'no') return
  const isOver = () => over.aborted
  try {
    if (life.created !== 'yes') {
      life.created = 'asked'
      await broker.ask('POST', '/v1/guests', { guest, tenant: 'web', attachment: 'socket' })
      life.created = 'yes'
      life.actions++
    }
    while (!isOver()) {
      const { state, running } = await broker.describe(guest)
      if (state !== 'running') {
        await broker.start(guest)
        life.actions++
        continue
      }
      await use(life, running?.data ?? '', 1 + Math.floor(random() * 40))
      const next = random()
      if (next < 0.1) await broker.ask('POST', `/v1/guests/${guest}/backup`, {})
      else if (next < 0.7) {
        await broker.stop(guest)
        life.actions++
      } else if (next < 0.75) {
        await broker.stop(guest)
        life.deleted = 'asked'
        await broker.ask('POST', `/v1/guests/${guest}/delete`, {})
        life.deleted = 'yes'
        life.actions++
        return
      }
    }
  } catch {
    // The broker was killed, or the TPM was; what is there afterwards is compared.
  }
}

async function use(life: GuestLife, dataSocket: string, rounds: number): Promise<void> {
  const nv = await guestNv(dataSocket, { define: life.counted === undefined })
  try {
    for (let round = 0; round < rounds; round++) {
      life.counted = await nv.increment()
      const value = life.counted * 1000n + BigInt(round)
      life.recorded.push(value)
      await nv.write(value)
      life.recorded = [value]
      life.writes += 2
    }
  } finally {
    await nv.close()
  }
}

/** What is wrong with a guest after a strike. It runs afterwards, unless it was deleted or never came to be. */
export async function checkGuest(
  broker: Broker,
  life: GuestLife,
  found: GuestSummary | undefined,
): Promise<readonly string[]> {
  const { guest } = life
  if (found === undefined) return life.created === 'yes' ? [`${guest} is gone`] : []
  if (life.created === 'asked') life.created = 'yes'
  if (found.state === 'retired') {
    if (life.deleted === 'no') return [`${guest} was deleted by nobody`]
    life.deleted = 'yes'
    return []
  }
  if (life.deleted === 'yes') return [`${guest} was deleted and is ${found.state}`]
  life.deleted = 'no'
  try {
    if (found.state !== 'running') await broker.start(guest)
    const { running } = await broker.describe(guest)
    // What tpm2-tss asks before its first command.
    await swtpmControl(running?.control ?? '').setLocality(0)
    return await compare(life, running?.data ?? '')
  } catch (error) {
    const why = isTouchstoneError(error) ? `${error.code}: ${error.message}` : String(error)
    return [`${guest} is stranded (${found.state}, generation ${found.generation}): ${why}`]
  }
}

async function compare(life: GuestLife, dataSocket: string): Promise<readonly string[]> {
  const { guest, counted, recorded } = life
  if (counted === undefined) return []
  const nv = await guestNv(dataSocket, { define: false })
  try {
    const faults: string[] = []
    const count = await nv.count()
    // One more may have been done and not been answered.
    if (count < counted || count > counted + 1n) faults.push(`${guest} counted ${counted}, its TPM says ${count}`)
    life.counted = count
    if (recorded.length > 0) {
      const record = await nv.read()
      if (!recorded.includes(record)) {
        faults.push(`${guest} wrote ${recorded.join(' or ')}, its TPM says ${record}`)
      }
      life.recorded = [record]
    }
    return faults
  } finally {
    await nv.close()
  }
}
