/**
 * Descriptors over Unix sockets (SCM_RIGHTS: unix(7)). Node has no public interface for it: this file uses the internal
 * one, `process.binding('pipe_wrap')`, and nothing else does. Its shape is checked before it is used.
 *
 * Dangerous: Node aborts the process in which a file, a terminal or a device arrives as a descriptor. Whoever receives from
 * a stranger does it in a process that nobody misses: `descriptor-relay.ts`. This file imports nothing, to be loaded fast.
 */

/** What is used of Node's internal handle; `number` results are 0 or a negative errno. */
interface PipeHandle {
  pendingHandle?: unknown
  onread?: (this: PipeHandle, chunk: ArrayBuffer | undefined) => void
  open(fd: number): number
  connect(request: object, path: string): number
  readStart(): number
  writeLatin1String(request: object, text: string, handle?: object): number
  close(): void
}

const METHODS = ['open', 'connect', 'readStart', 'writeLatin1String', 'close']

/** A connection over which descriptors come and go. */
export interface FdConnection {
  /** The next bytes, with the descriptor that came with the first of them; undefined when there will be no more. */
  receive(): Promise<{ readonly bytes: Buffer; readonly handle: unknown } | undefined>
  /** `handle` is a descriptor that was received, or the `_handle` of a `net.Socket`. */
  send(bytes: Buffer, handle?: unknown): void
  close(): void
}

export interface FdPassing {
  /** The connection that this process inherited as descriptor `fd`. */
  inherited(fd: number): FdConnection
  connect(path: string): Promise<FdConnection>
}

/** Over `process.binding`, which is to be handed in. Throws where this Node does not have the internal interface. */
export function openFdPassing(load: unknown): FdPassing {
  if (!isFunction(load)) throw new Error('process.binding is not there')
  const pipes = loadInternal(load, 'pipe_wrap')
  const streams = loadInternal(load, 'stream_wrap')
  const Pipe = functionIn(pipes, 'Pipe')
  const Connect = functionIn(pipes, 'PipeConnectWrap')
  const Write = functionIn(streams, 'WriteWrap')
  const ipc = numberIn(objectIn(pipes, 'constants'), 'IPC')
  const state = objectIn(streams, 'streamBaseState')
  const [count, offset] = [numberIn(streams, 'kReadBytesOrError'), numberIn(streams, 'kArrayBufferOffset')]

  const isPipe = (value: unknown): value is PipeHandle =>
    value instanceof Pipe && METHODS.every((name) => typeof Reflect.get(value, name) === 'function')
  const newPipe = (): PipeHandle => {
    const made: unknown = Reflect.construct(Pipe, [ipc])
    if (!isPipe(made)) throw new Error('a Pipe lacks a method')
    return made
  }
  const newRequest = (kind: AnyFunction, oncomplete: (status: number) => void): object => {
    const made: unknown = Reflect.construct(kind, [])
    if (typeof made !== 'object' || made === null) throw new Error('no request can be made')
    return Object.assign(made, { oncomplete })
  }

  const connectionOf = (pipe: PipeHandle): FdConnection => {
    const arrived: { readonly bytes: Buffer; readonly handle: unknown }[] = []
    let isOver = false
    let wake: () => void = () => undefined
    pipe.onread = function (chunk) {
      const size = numberIn(state, count)
      const handle = this.pendingHandle
      this.pendingHandle = undefined
      if (chunk === undefined || size < 0) isOver = true
      else {
        const bytes = Buffer.from(chunk, numberIn(state, offset), size)
        // Handles of other kinds (a TCP or UDP socket) are not what anybody asked for: their bytes come without them.
        arrived.push({ bytes, handle: isPipe(handle) ? handle : undefined })
      }
      wake()
    }
    check('read', pipe.readStart())
    return {
      async receive() {
        while (arrived.length === 0 && !isOver) await new Promise<void>((resolve) => (wake = resolve))
        return arrived.shift()
      },
      send(bytes, handle) {
        const request = newRequest(Write, () => undefined)
        // Only strings are sent together with a descriptor; Latin-1 keeps every byte.
        check('write', pipe.writeLatin1String(request, bytes.toString('latin1'), isPipe(handle) ? handle : undefined))
      },
      close: () => pipe.close(),
    }
  }
  return {
    inherited(fd) {
      const pipe = newPipe()
      check('open', pipe.open(fd))
      return connectionOf(pipe)
    },
    async connect(path) {
      const pipe = newPipe()
      try {
        await new Promise<void>((resolve, reject) => {
          const request = newRequest(Connect, (status) => {
            if (status === 0) resolve()
            else reject(new Error(`connect to ${path} failed with errno ${-status}`))
          })
          check(`connect to ${path}`, pipe.connect(request, path))
        })
        return connectionOf(pipe)
      } catch (error) {
        pipe.close()
        throw error
      }
    },
  }
}

type AnyFunction = (...values: never[]) => unknown

function isFunction(value: unknown): value is AnyFunction {
  return typeof value === 'function'
}

function loadInternal(load: AnyFunction, name: string): object {
  const found: unknown = Reflect.apply(load, process, [name])
  if (typeof found !== 'object' || found === null) throw new Error(`process.binding('${name}') is not there`)
  return found
}

function functionIn(from: object, name: string): AnyFunction {
  const found: unknown = Reflect.get(from, name)
  if (!isFunction(found)) throw new Error(`${name} is not there`)
  return found
}

function objectIn(from: object, name: string): object {
  const found: unknown = Reflect.get(from, name)
  if (typeof found !== 'object' || found === null) throw new Error(`${name} is not there`)
  return found
}

function numberIn(from: object, name: string | number): number {
  const found: unknown = Reflect.get(from, name)
  if (typeof found !== 'number') throw new Error(`${name} is not a number`)
  return found
}

function check(what: string, status: number): void {
  if (status !== 0) throw new Error(`${what} failed with errno ${-status}`)
}
