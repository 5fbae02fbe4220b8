import { open, type FileHandle } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { TouchstoneError, view } from '../core/index.ts'
import { connect, exchange } from './connect.ts'
import { parseTcti } from './tcti.ts'

/** TPM_BUFSIZE of the Linux driver and TPM_BUFFER_MAX of libtpms are 4096; post-quantum parts will need more. */
const LARGEST_RESPONSE = 16_384
const HEADER = 10

/** Making an RSA key takes a hardware TPM up to a minute; the kernel's own limit for it is two. */
const COMMAND_TIMEOUT = 120_000
const CONNECT_TIMEOUT = 5_000

/** One TPM, commands in, responses out, one at a time in the order of the calls. */
export interface Transport {
  /**
   * Sends one whole command and resolves with one whole response, whatever its response code. Rejects with
   * `device.timeout`, `device.unavailable` or `device.protocol`; the transport is unusable after that.
   */
  send(command: Uint8Array): Promise<Buffer>
  close(): Promise<void>
}

export interface TransportOptions {
  /** Milliseconds for one command. */
  readonly timeoutMs?: number
}

/**
 * Opens the TPM at `tcti` (see {@link parseTcti}). swtpm serves one data connection at a time, so close the transport
 * before running tpm2-tools against the same TPM.
 */
export async function openTransport(tcti: string, options: TransportOptions = {}): Promise<Transport> {
  const timeoutMs = options.timeoutMs ?? COMMAND_TIMEOUT
  const address = parseTcti(tcti)
  if (address.kind === 'device') {
    return serialized(await openDevice(address.path, timeoutMs))
  }
  const endpoint = address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port }
  return socketTransport(await connect(endpoint, Math.min(timeoutMs, CONNECT_TIMEOUT)), { timeoutMs })
}

/** The same over a socket that is connected already. It is the transport's from then on. */
export function socketTransport(socket: Socket, options: TransportOptions = {}): Transport {
  return serialized(socketLink(socket, options.timeoutMs ?? COMMAND_TIMEOUT))
}

interface Link {
  exchange(command: Uint8Array): Promise<Buffer>
  close(): Promise<void>
}

/** Queues commands; after the first failure every later one fails too, because the stream's position is unknown. */
export function serialized(link: Link): Transport {
  let last: Promise<unknown> = Promise.resolve()
  let broken: unknown
  let closed = false
  const run = async (command: Uint8Array): Promise<Buffer> => {
    if (closed) throw new TouchstoneError('device.unavailable', 'the transport is closed')
    if (broken !== undefined) {
      throw new TouchstoneError('device.unavailable', 'an earlier command broke the connection', { cause: broken })
    }
    try {
      return await link.exchange(command)
    } catch (error) {
      broken = error
      throw error
    }
  }
  return {
    async send(command) {
      assertFramed(command)
      const answer = last.then(() => run(command))
      last = answer.catch(() => undefined)
      return answer
    },
    async close() {
      if (closed) return
      closed = true
      await link.close()
    },
  }
}

function socketLink(socket: Socket, timeoutMs: number): Link {
  return {
    exchange: (command) => exchange(socket, command, responseSize, timeoutMs),
    async close() {
      if (socket.destroyed) return
      socket.on('error', () => undefined)
      const closing = new Promise((resolve) => socket.once('close', resolve))
      socket.destroy()
      await closing
    },
  }
}

async function openDevice(path: string, timeoutMs: number): Promise<Link> {
  let file: FileHandle
  try {
    file = await open(path, 'r+')
  } catch (cause) {
    throw new TouchstoneError('device.unavailable', `cannot open ${path}: ${messageOf(cause)}`, { cause })
  }
  return deviceLink(file, timeoutMs)
}

/**
 * The kernel's TPM device: one write is one command, and a read returns the whole response. A read in progress cannot
 * be called off, so on a timeout it is left behind and the file is closed when it ends.
 */
export function deviceLink(file: Pick<FileHandle, 'write' | 'read' | 'close'>, timeoutMs: number): Link {
  let pending: Promise<unknown> = Promise.resolve()
  let isHung = false
  const converse = async (command: Uint8Array): Promise<Buffer> => {
    const { bytesWritten } = await file.write(command, 0, command.byteLength, null)
    if (bytesWritten !== command.byteLength) throw new TouchstoneError('device.protocol', 'the device cut the command')
    const buffer = Buffer.alloc(LARGEST_RESPONSE)
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, null)
    const response = buffer.subarray(0, bytesRead)
    if (responseSize(response) !== bytesRead) {
      throw new TouchstoneError('device.protocol', `the device answered ${bytesRead} bytes, its header says otherwise`)
    }
    return response
  }
  return {
    async exchange(command) {
      const answer = converse(command)
      pending = answer.catch(() => undefined)
      let timer: NodeJS.Timeout | undefined
      const timeout = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          isHung = true
          reject(new TouchstoneError('device.timeout', `no answer within ${timeoutMs} ms`))
        }, timeoutMs)
      })
      try {
        return await Promise.race([answer, timeout])
      } catch (error) {
        if (error instanceof TouchstoneError) throw error
        throw new TouchstoneError('device.unavailable', `the device failed: ${messageOf(error)}`, { cause: error })
      } finally {
        clearTimeout(timer)
      }
    },
    async close() {
      if (!isHung) await file.close()
      // Closing under a read would leave the descriptor's number free for another file while the read still runs.
      else void pending.then(() => file.close()).catch(() => undefined)
    },
  }
}

/** TPM 2.0 Part 1, 18.3: tag, responseSize, responseCode. `undefined` until the header is there. */
function responseSize(received: Buffer): number | undefined {
  if (received.byteLength < HEADER) return undefined
  const tag = received.readUInt16BE(0)
  // TPM_ST_RSP_COMMAND is the answer of a TPM 1.2, or of a 2.0 to a bad tag.
  if (tag !== 0x8001 && tag !== 0x8002 && tag !== 0x00c4) {
    throw new TouchstoneError('device.protocol', `0x${tag.toString(16)} is not a response tag`)
  }
  const size = received.readUInt32BE(2)
  if (size < HEADER || size > LARGEST_RESPONSE) {
    throw new TouchstoneError('device.protocol', `a response of ${size} bytes is out of bounds`)
  }
  return size
}

function assertFramed(command: Uint8Array): void {
  const bytes = view(command)
  if (bytes.byteLength < HEADER || bytes.readUInt32BE(2) !== bytes.byteLength) {
    throw new TouchstoneError('device.protocol', 'the command is not framed: its size field is not its size')
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
