import type { Socket } from 'node:net'
import type { LaneTenant } from './types.ts'

export interface ConnectionLimits {
  /** Longest command, in bytes. */
  readonly maxCommandSize: number
  /** Milliseconds from the first byte of a command to its last. */
  readonly partialTimeoutMs: number
  /** Milliseconds for a client to take a response that the kernel has no more room for. */
  readonly stallTimeoutMs: number
}

const HEADER = 10
/** Commands answered in a row of what came at once; then others have their turn. */
const MOST_IN_A_ROW = 8
const EMPTY = Buffer.alloc(0)

/**
 * Serves raw TPM 2.0 on `socket`: commands one after the other, each answered before the next is looked at. What a client
 * sends ahead waits in the kernel, so a connection costs at most one command, one read and one response of memory.
 */
export function serveConnection(socket: Socket, tenant: Pick<LaneTenant, 'submit'>, limits: ConnectionLimits): void {
  /** Bytes that are not a whole command yet, or came while one was under way. */
  let ahead: Buffer = EMPTY
  let isBusy = false
  let hasEnded = false
  let isLast = false
  let inARow = 0
  let deadline: NodeJS.Timeout | undefined

  const onData = (chunk: Buffer): void => {
    if (isBusy) {
      ahead = join(ahead, chunk)
      socket.pause()
      return
    }
    advance(join(ahead, chunk))
  }

  /** Sends the first whole command of `bytes` on its way and keeps the rest. False when there is none yet. */
  const advance = (bytes: Buffer): boolean => {
    const size = bytes.byteLength < HEADER ? undefined : bytes.readUInt32BE(2)
    if (size !== undefined && (size < HEADER || size > limits.maxCommandSize)) {
      // The lane refuses a header alone. Where the next command would begin is anybody's guess.
      isLast = true
      submit(bytes.subarray(0, HEADER))
      return true
    }
    if (size === undefined || bytes.byteLength < size) {
      ahead = bytes
      deadline ??= setTimeout(() => socket.destroy(), limits.partialTimeoutMs)
      return false
    }
    const isAlone = bytes.byteLength === size
    ahead = isAlone ? EMPTY : bytes.subarray(size)
    submit(isAlone ? bytes : bytes.subarray(0, size))
    return true
  }

  const submit = (command: Buffer): void => {
    isBusy = true
    noDeadline()
    tenant.submit(command).then(answer, fail)
  }

  const answer = (response: Buffer): void => {
    if (socket.destroyed) return
    const hasRoom = socket.write(response)
    if (isLast) socket.destroySoon()
    else if (hasRoom) resume()
    if (!hasRoom) deadline = setTimeout(() => socket.destroy(), limits.stallTimeoutMs)
  }

  // A tenant's commands are always answered; this would be a fault of the lane, and the client must not wait for ever.
  const fail = (): void => void socket.destroy()

  const resume = (): void => {
    if (ahead.byteLength > 0 && ++inARow % MOST_IN_A_ROW === 0) setImmediate(goOn)
    else goOn()
  }

  const goOn = (): void => {
    if (socket.destroyed) return
    isBusy = false
    if (ahead.byteLength > 0 && advance(ahead)) return
    if (hasEnded) socket.end()
    else if (socket.isPaused()) socket.resume()
  }

  const noDeadline = (): void => {
    if (deadline === undefined) return
    clearTimeout(deadline)
    deadline = undefined
  }

  socket.on('data', onData)
  socket.on('drain', () => {
    noDeadline()
    if (!isLast) resume()
  })
  socket.on('end', () => {
    hasEnded = true
    if (!isBusy) socket.end()
  })
  socket.on('close', noDeadline)
  // A client that goes away takes its answer with it; the TPM finishes the command all the same.
  socket.on('error', () => socket.destroy())
}

function join(one: Buffer, other: Buffer): Buffer {
  return one.byteLength === 0 ? other : Buffer.concat([one, other])
}
