import { createConnection, type Socket } from 'node:net'
import { decode, encode } from '../../../../codec/index.ts'
import { TouchstoneError } from '../../../../core/index.ts'
import { framesOn } from './frames.ts'
import {
  FROM_KEEPER,
  HELLO,
  PROTOCOL,
  TO_KEEPER,
  type Exposure,
  type FromKeeper,
  type KeptState,
  type ToKeeper,
} from './protocol.ts'

/** A broker's connection to a keeper. */
export interface KeeperLink {
  readonly pid: number
  /** Of which Touchstone it is. */
  readonly build: string
  /** What it keeps, by guest. */
  readonly guests: ReadonlyMap<string, KeptState>
  expose(exposure: Exposure): Promise<void>
  /** Resolves with whether the TPM is shut down; false where it was not kept. Throws `guest.attached`. */
  retract(guest: string, force: boolean): Promise<boolean>
  /** However it ended. */
  readonly closed: Promise<void>
  close(): void
}

export interface LinkEvents {
  onState(state: KeptState, link: KeeperLink): void
  /** Acknowledged when this has resolved. */
  onRefused(refused: Omit<Extract<FromKeeper, { type: 'refused' }>, 'type' | 'sequence'>): Promise<void>
  onReset(guest: string, count: number): void
}

/** A keeper may have a control command of a TPM to wait for, and that for a TPM command. */
const ANSWER_TIMEOUT = 180_000

/**
 * Connects to the keeper at `path`, and resolves when it has told what it keeps. Rejects with `guest.keeper`; where nobody
 * listens there, `cause` is the error of the connection.
 */
export async function connectKeeper(path: string, events: LinkEvents, timeoutMs: number): Promise<KeeperLink> {
  const socket = createConnection({ path })
  const guests = new Map<string, KeptState>()
  const waiting = new Map<number, (answer: FromKeeper | undefined) => void>()
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<undefined>()
  const ready = Promise.withResolvers<KeeperLink>()
  let lastId = 0
  let link: KeeperLink | undefined

  /** `onAnswer` runs before anything that came behind the answer is looked at. */
  const ask = async (
    message: (id: number) => ToKeeper,
    onAnswer: (answer: FromKeeper) => void,
  ): Promise<FromKeeper> => {
    if (socket.destroyed) throw new TouchstoneError('guest.keeper', 'the control keeper has ended')
    const id = ++lastId
    const { promise, resolve } = Promise.withResolvers<FromKeeper | undefined>()
    waiting.set(id, (answer) => {
      if (answer !== undefined) onAnswer(answer)
      resolve(answer)
    })
    // An idle connection holds nobody's process; an answer that is waited for does.
    socket.ref()
    const timer = setTimeout(() => socket.destroy(), ANSWER_TIMEOUT)
    frames.send(encode(TO_KEEPER, message(id)))
    const answer = await promise
    clearTimeout(timer)
    waiting.delete(id)
    if (waiting.size === 0) socket.unref()
    if (answer === undefined) throw new TouchstoneError('guest.keeper', 'the control keeper ended meanwhile')
    if (answer.type !== 'failed') return answer
    throw new TouchstoneError(answer.why === 'attached' ? 'guest.attached' : 'guest.keeper', answer.message)
  }
  const begin = (body: Buffer): KeeperLink => {
    const { protocol, pid, build } = decode('hello', HELLO, body)
    if (protocol !== PROTOCOL) {
      const which = `the control keeper (process ${pid}, of Touchstone ${build || '?'}) speaks protocol ${protocol}`
      throw new TouchstoneError('guest.keeper', `${which}, and this broker ${PROTOCOL}`, { details: { protocol } })
    }
    return {
      ...{ pid, build, guests, closed },
      async expose(exposure) {
        const { guest, swtpm } = exposure
        await ask(
          (id) => ({ type: 'expose', id, exposure }),
          (answer) => {
            if (answer.type !== 'exposed') return
            guests.set(guest, { guest, pid: swtpm.pid, startTime: swtpm.startTime, attached: answer.attached })
          },
        )
      },
      async retract(guest, force) {
        const answer = await ask(
          (id) => ({ type: 'retract', id, guest, force }),
          ({ type }) => {
            if (type === 'retracted') guests.delete(guest)
          },
        )
        return answer.type === 'retracted' && answer.shutDown
      },
      close: () => frames.close(),
    }
  }
  const tell = ({ sequence, guest, command, reason }: Extract<FromKeeper, { type: 'refused' }>): void => {
    void events.onRefused({ guest, command, reason }).then(
      () => frames.send(encode(TO_KEEPER, { type: 'acknowledge', sequence })),
      // It stays the keeper's, for the next broker.
      () => undefined,
    )
  }
  const onMessage = (message: FromKeeper, of: KeeperLink): void => {
    switch (message.type) {
      case 'state':
        guests.set(message.state.guest, message.state)
        events.onState(message.state, of)
        return
      case 'ready':
        ready.resolve(of)
        return
      case 'reset':
        events.onReset(message.guest, message.count)
        return
      case 'refused':
        tell(message)
        return
      default:
        waiting.get(message.id)?.(message)
    }
  }
  const onFrame = (body: Buffer): void => {
    try {
      if (link === undefined) link = begin(body)
      else onMessage(decode('keeper', FROM_KEEPER, body), link)
    } catch (error) {
      ready.reject(error)
      throw error
    }
  }
  const frames = framesOn(socket, onFrame, () => {
    for (const answer of waiting.values()) answer(undefined)
    ready.reject(new TouchstoneError('guest.keeper', 'the control keeper ended before it said anything'))
    onClosed(undefined)
  })
  const timer = setTimeout(() => {
    ready.reject(new TouchstoneError('guest.keeper', `the control keeper at ${path} does not answer`))
  }, timeoutMs)
  try {
    const [opened] = await Promise.all([ready.promise, connected(socket)])
    socket.unref()
    return opened
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

async function connected(socket: Socket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve())
    socket.once('error', (cause) => {
      reject(new TouchstoneError('guest.keeper', `no control keeper: ${cause.message}`, { cause }))
    })
  })
}
