import { rm, writeFile } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { decode, encode } from '../../../../codec/index.ts'
import { isTouchstoneError } from '../../../../core/index.ts'
import { oneAtATime } from '../../one-at-a-time.ts'
import { identifyProcess } from '../process-identity.ts'
import { framesOn, type Frames } from './frames.ts'
import { keepTpm, type KeptTpm } from './kept-tpm.ts'
import {
  FROM_KEEPER,
  HELLO,
  KEEPER_FILES,
  PROTOCOL,
  prose,
  TO_KEEPER,
  type Exposure,
  type FromKeeper,
  type KeeperOrders,
  type KeptState,
  type ToKeeper,
} from './protocol.ts'
import { refusalQueue } from './refusals.ts'

/** As many guests as a ledger holds. */
const MOST_GUESTS = 4_096
/** One broker a node; a second connection is one that follows on the first. */
const MOST_BROKERS = 4
/** How often what changes by itself is looked at. */
const ROUND_MS = 2_000

/**
 * Serves the control sockets of a node's guests until there is none and no broker either. It holds what must outlive a
 * broker, and nothing that could be missed: no keys, and no memory of guests that were retracted.
 */
export async function runKeeper(orders: KeeperOrders): Promise<void> {
  const { dir, build, program } = orders
  const runtime = { program, privateDir: dir }
  const kept = new Map<string, KeptTpm>()
  /** Guests that were reset while nobody was there to be told, and how often all in all. */
  const resets = new Map<string, { count: number; isTold: boolean }>()
  const brokers = new Set<Frames>()
  const turns = oneAtATime()
  let wasIdle = false

  const say = (to: Frames, message: FromKeeper): void => to.send(encode(FROM_KEEPER, message))
  const newest = (): Frames | undefined => [...brokers].at(-1)
  const refusals = refusalQueue(
    () => performance.now(),
    (refusal) => {
      const to = newest()
      if (to !== undefined) say(to, { type: 'refused', ...refusal })
    },
  )
  const tellReset = (guest: string): void => {
    const reset = resets.get(guest)
    const to = newest()
    if (reset === undefined || reset.isTold || to === undefined) return
    reset.isTold = true
    say(to, { type: 'reset', guest, count: reset.count })
  }
  const onReset = (guest: string): void => {
    resets.set(guest, { count: (resets.get(guest)?.count ?? 0) + 1, isTold: false })
    tellReset(guest)
  }

  const expose = (exposure: Exposure): Promise<KeptTpm> =>
    turns.run(exposure.guest, async () => {
      const { guest } = exposure
      const before = kept.get(guest)
      if (before !== undefined && isSameTpm(before.exposure, exposure)) return before
      await before?.retract(true)
      kept.delete(guest)
      if (kept.size >= MOST_GUESTS) throw new RangeError('too many guests')
      const tpm = await keepTpm(runtime, exposure, {
        onRefused: (refused) => refusals.add({ guest, ...refused }),
        onReset: () => onReset(guest),
        onChange() {
          const now = kept.get(guest)
          if (now !== undefined) for (const broker of brokers) say(broker, { type: 'state', state: stateOf(now) })
        },
      })
      kept.set(guest, tpm)
      return tpm
    })
  const retract = (guest: string, force: boolean): Promise<boolean> =>
    turns.run(guest, async () => {
      const shutDown = (await kept.get(guest)?.retract(force)) ?? false
      kept.delete(guest)
      resets.delete(guest)
      return shutDown
    })

  const act = async (message: Exclude<ToKeeper, { type: 'acknowledge' }>): Promise<FromKeeper> => {
    const { id } = message
    try {
      return message.type === 'expose'
        ? { type: 'exposed', id, attached: (await expose(message.exposure)).attached }
        : { type: 'retracted', id, shutDown: await retract(message.guest, message.force) }
    } catch (error) {
      const why = isTouchstoneError(error, 'guest.attached') ? 'attached' : 'other'
      return { type: 'failed', id, why, message: prose(error instanceof Error ? error.message : String(error)) }
    }
  }
  const catchUp = (broker: Frames): void => {
    for (const guest of kept.keys()) tellReset(guest)
    for (const refusal of refusals.waiting) say(broker, { type: 'refused', ...refusal })
  }
  const serve = (socket: Socket): void => {
    if (brokers.size >= MOST_BROKERS) {
      socket.destroy()
      return
    }
    const onFrame = (body: Buffer): void => {
      const message = decode('keeper', TO_KEEPER, body)
      if (message.type === 'acknowledge') refusals.acknowledge(message.sequence)
      else void act(message).then((answer) => say(broker, answer))
    }
    const broker = framesOn(socket, onFrame, () => {
      brokers.delete(broker)
      const next = newest()
      if (next !== undefined) catchUp(next)
      endIfIdle()
    })
    brokers.add(broker)
    broker.send(encode(HELLO, { protocol: PROTOCOL, pid: process.pid, build, later: Buffer.alloc(0) }))
    for (const tpm of kept.values()) say(broker, { type: 'state', state: stateOf(tpm) })
    say(broker, { type: 'ready' })
    catchUp(broker)
  }

  let server: Server | undefined
  const isIdle = () => kept.size === 0 && brokers.size === 0
  const endIfIdle = (): void => {
    // What a broker asked for that is gone now may still be on its way.
    void turns.idle().then(async () => {
      if (!isIdle() || server === undefined) return
      server.close()
      server = undefined
      await rm(dir, { recursive: true, force: true })
      process.exit(0)
    })
  }
  /** Without a broker nobody else sees that a TPM has ended. */
  const round = async (): Promise<void> => {
    refusals.flush()
    if (brokers.size > 0) return
    const before = kept.size
    for (const [guest, tpm] of kept) if (!(await tpm.isAlive())) await retract(guest, true)
    // Whoever has just started this needs a moment to connect.
    if (isIdle() && (wasIdle || before > 0)) endIfIdle()
    wasIdle = isIdle()
  }
  setInterval(() => void round().catch(() => undefined), ROUND_MS)

  const identity = await identifyProcess(process.pid)
  await writeFile(join(dir, KEEPER_FILES.process), JSON.stringify(identity))
  server = createServer(serve)
  server.listen(join(dir, KEEPER_FILES.socket))
}

function isSameTpm({ swtpm: one }: Exposure, { swtpm: other }: Exposure): boolean {
  return one.pid === other.pid && one.startTime === other.startTime && one.bootId === other.bootId
}

function stateOf({ exposure: { guest, swtpm }, attached }: KeptTpm): KeptState {
  return { guest, pid: swtpm.pid, startTime: swtpm.startTime, attached }
}
