import { chmod, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { isTouchstoneError } from '../../../core/index.ts'
import type { SwtpmControl } from '../../../device/swtpm-control.ts'
import { controlAnswer, parseControl, RESULT, type ControlCommand } from './control-commands.ts'
import { ATTACHED, decideControl, NOT_ATTACHED, type ControlAction, type ControlState } from './control-rules.ts'
import { receiveDataChannel } from './handshake.ts'
import type { SwtpmProgram } from './features.ts'
import type { Attachment, RefusedControl } from './types.ts'

/** What a port does with the TPM behind it. Results are swtpm's; 0 is success. */
export interface ControlTarget {
  readonly control: SwtpmControl
  /** swtpm's own control socket. */
  readonly controlPath: string
  /** A virtual machine's data channel was passed on. */
  onAttached(): void
  /** Its connection has ended: its data channel may have, too. */
  onLeft(): void
  reset(bufferSize: number): Promise<number>
  /** One after the other with whatever else is done to this TPM. */
  exclusively<T>(work: () => Promise<T>): Promise<T>
  /**
   * A virtual machine has the data channel. Where its control connection is lost, as after the death of a control keeper,
   * nobody else gets one: QEMU never connects again, and to anybody else a reset is not due.
   */
  readonly attached: boolean
}

export interface ControlPortOptions {
  readonly path: string
  readonly attachment: Attachment
  readonly program: SwtpmProgram
  readonly target: ControlTarget
  readonly onRefused: (refused: Omit<RefusedControl, 'guest'>) => void
}

export interface ControlPort {
  /** Somebody has a connection. */
  readonly connected: boolean
  close(): Promise<void>
}

/** Tools connect for a moment each; a virtual machine has one connection for its life. */
const MOST_CONNECTIONS = { socket: 16, qemu: 1 } as const
/** For the rest of a command that has begun. Nobody splits five bytes on purpose. */
const PARTIAL_TIMEOUT = 2_000
/** A handshake takes a process: whoever begins many and brings no data channel waits, longer each time. */
const PAUSES = [0, 100, 300, 1_000, 3_000]

/** Serves a guest's control channel: what {@link decideControl} allows, and an error result for all else. */
export async function openControlPort(options: ControlPortOptions): Promise<ControlPort> {
  const { path, attachment, program, target, onRefused } = options
  const open = new Set<Socket>()
  const closing = new AbortController()
  let failures = 0

  const greet = async (socket: Socket): Promise<void> => {
    await delay(PAUSES[Math.min(failures, PAUSES.length - 1)], undefined, { signal: closing.signal })
    const shaken = await receiveDataChannel(socket, target.controlPath, program)
    if (closing.signal.aborted || shaken.kind === 'nothing') {
      failures++
      onRefused({ command: 'connect', reason: 'control.malformed' })
      socket.destroy()
      return
    }
    if (shaken.kind === 'other') {
      failures++
      serve(options, socket, NOT_ATTACHED, shaken.bytes)
      return
    }
    failures = shaken.result === 0 ? 0 : failures + 1
    if (shaken.result === 0) target.onAttached()
    socket.write(controlAnswer('SET_DATAFD', shaken.result))
    serve(options, socket, shaken.result === 0 ? ATTACHED : NOT_ATTACHED)
  }

  await rm(path, { force: true })
  const server = createServer({ pauseOnConnect: attachment === 'qemu' }, (socket) => {
    socket.on('error', () => undefined)
    if (open.size >= MOST_CONNECTIONS[attachment] || target.attached) {
      onRefused({ command: 'connect', reason: 'control.busy' })
      socket.destroy()
      return
    }
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    if (attachment === 'socket') serve(options, socket, NOT_ATTACHED)
    else greet(socket).catch(() => socket.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
  server.unref()
  await chmod(path, 0o600)
  return {
    get connected() {
      return open.size > 0
    },
    async close() {
      closing.abort()
      server.close()
      for (const socket of open) socket.destroy()
      await rm(path, { force: true })
    },
  }
}

/** The conversation on one connection; `begun` was read from it already. */
function serve(
  { attachment, target, onRefused }: ControlPortOptions,
  socket: Socket,
  initial: ControlState,
  begun: Buffer = Buffer.alloc(0),
): void {
  let state = initial
  let received: Buffer = Buffer.alloc(0)
  let busy = false
  let timer: NodeJS.Timeout | undefined
  const malformed = (command: string, answer: Buffer) => {
    onRefused({ command, reason: 'control.malformed' })
    socket.end(answer)
    socket.off('data', onData).resume()
  }
  const run = async (command: ControlCommand): Promise<void> => {
    const { action, next } = decideControl(attachment, state, command)
    if (action.kind === 'attach') {
      // With a descriptor it would not have come this far.
      malformed(command.name, controlAnswer(command.name, RESULT.badParameter))
      return
    }
    if (action.kind === 'refuse') onRefused({ command: command.name, reason: action.reason })
    const answer = await perform(target, command, action)
    if (answer.readUInt32BE(0) === RESULT.success || action.kind === 'answer') state = next
    else if (action.kind === 'reset') state = { ...state, step: 'running' }
    socket.write(answer)
  }
  const onData = (bytes: Buffer): void => {
    clearTimeout(timer)
    received = Buffer.concat([received, bytes])
    const input = parseControl(received)
    // A command before the last one is answered is as malformed as one of a wrong length.
    if (busy || input.kind === 'malformed') {
      const name = input.kind === 'malformed' ? input.name : undefined
      malformed(name ?? `0x${received.toString('hex', 0, 4)}`, controlAnswer(name, RESULT.badOrdinal))
      return
    }
    if (input.kind === 'partial') {
      timer = setTimeout(() => socket.destroy(), PARTIAL_TIMEOUT).unref()
      return
    }
    received = Buffer.alloc(0)
    busy = true
    // `perform` answers whatever fails; nothing is left to go wrong but the connection itself.
    void run(input.command).then(
      () => (busy = false),
      () => socket.destroy(),
    )
  }
  socket.on('data', onData)
  socket.on('close', () => {
    clearTimeout(timer)
    if (state.attached) target.onLeft()
  })
  if (begun.byteLength > 0) onData(begun)
  socket.resume()
}

async function perform(
  target: ControlTarget,
  { name }: ControlCommand,
  action: Exclude<ControlAction, { kind: 'attach' }>,
): Promise<Buffer> {
  const { control } = target
  if (action.kind === 'answer') return action.answer
  if (action.kind === 'refuse') return controlAnswer(name, action.result)
  try {
    return await target.exclusively(async () => {
      switch (action.kind) {
        case 'cancel':
          await control.cancel()
          return controlAnswer(name, RESULT.success)
        case 'established': {
          const answer = controlAnswer(name, RESULT.success)
          answer.writeUInt8((await control.getEstablished()) ? 1 : 0, 4)
          return answer
        }
        case 'resetEstablished':
          await control.resetEstablished(localityOf(action.locality))
          return controlAnswer(name, RESULT.success)
        case 'setLocality':
          await control.setLocality(localityOf(action.locality))
          return controlAnswer(name, RESULT.success)
        case 'bufferSize': {
          const { size, least, most } = await control.setBufferSize(0)
          const would = action.size === 0 ? size : Math.min(Math.max(action.size, least), most)
          return controlAnswer(name, RESULT.success, would, least, most)
        }
        case 'reset':
          return controlAnswer(name, await target.reset(action.bufferSize))
      }
    })
  } catch (error) {
    const result = isTouchstoneError(error, 'device.swtpm') ? error.details['result'] : undefined
    return controlAnswer(name, typeof result === 'number' ? result : RESULT.ioError)
  }
}

function localityOf(locality: number): 0 | 1 | 2 | 3 {
  return locality === 1 || locality === 2 || locality === 3 ? locality : 0
}
