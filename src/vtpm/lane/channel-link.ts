import { open, writeFile, type FileHandle } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { basename } from 'node:path'
import { TouchstoneError } from '../../core/index.ts'
import { swtpmControl } from '../../device/index.ts'

/** One open way to a TPM. After `lost`, or after a response that does not make sense, it is of no use any more. */
export interface TpmLink {
  /** The buffer stays as it is until the response has come. */
  write(command: Buffer): void
  /** Asks the TPM to stop working on the command. Resolves when that can no longer hit the command after it. */
  cancel(): Promise<void>
  close(): void
}

export interface LinkEvents {
  /** A whole response, the receiver's to keep. */
  response(bytes: Buffer): void
  lost(error: TouchstoneError): void
}

export type OpenLink = (events: LinkEvents) => Promise<TpmLink>

/** TPM_BUFSIZE of the Linux driver and TPM_BUFFER_MAX of libtpms are 4096; post-quantum parts will need more. */
const LARGEST_RESPONSE = 16_384
const HEADER = 10
const CONNECT_TIMEOUT = 2_000
const CANCEL_TIMEOUT = 2_000

/**
 * swtpm's data socket, or anything that speaks raw TPM 2.0 on one. `onread` fills one buffer for ever, instead of a new one
 * of 64 KB for each response.
 */
export function openSocketLink(path: string, events: LinkEvents): Promise<TpmLink> {
  return new Promise((resolve, reject) => {
    const received = Buffer.allocUnsafeSlow(LARGEST_RESPONSE)
    let earlier: Buffer = Buffer.alloc(0)
    let isConnected = false
    let isOver = false
    const end = (error: TouchstoneError): void => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      socket.destroy()
      if (isConnected) events.lost(error)
      else reject(error)
    }
    const take = (bytes: Buffer): void => {
      const size = responseSize(bytes)
      if (typeof size === 'string') end(new TouchstoneError('device.protocol', size))
      else if (size === undefined || bytes.byteLength < size) earlier = bytes
      else if (bytes.byteLength > size) end(new TouchstoneError('device.protocol', 'bytes follow the response'))
      else {
        earlier = bytes.subarray(0, 0)
        events.response(bytes)
      }
    }
    const socket = createConnection({
      path,
      onread: {
        buffer: received,
        callback(count) {
          const chunk = received.subarray(0, count)
          take(earlier.byteLength === 0 ? Buffer.from(chunk) : Buffer.concat([earlier, chunk]))
          return true
        },
      },
    })
    const timer = setTimeout(() => {
      end(new TouchstoneError('device.timeout', `no connection to ${path} within ${CONNECT_TIMEOUT} ms`))
    }, CONNECT_TIMEOUT)
    socket.on('error', (cause) => {
      end(new TouchstoneError('device.unavailable', `the connection to ${path} failed: ${cause.message}`, { cause }))
    })
    socket.on('close', () => end(new TouchstoneError('device.unavailable', `${path} closed the connection`)))
    socket.on('connect', () => {
      clearTimeout(timer)
      isConnected = true
      resolve({
        write: (command) => void socket.write(command),
        async cancel() {
          await swtpmControl(`${path}.ctrl`, CANCEL_TIMEOUT).cancel()
        },
        close() {
          isOver = true
          socket.destroy()
        },
      })
    })
  })
}

/** The kernel's TPM device; {@link deviceLink} has what follows. */
export async function openDeviceLink(path: string, events: LinkEvents): Promise<TpmLink> {
  let file: FileHandle
  try {
    file = await open(path, 'r+')
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TouchstoneError('device.unavailable', `cannot open ${path}: ${why}`, { cause })
  }
  return deviceLink(file, `/sys/class/tpm/${basename(path)}/device/cancel`, events)
}

/**
 * One write is one command, and a read returns the whole response. A read in progress cannot be called off, so `close`
 * waits for it out of sight; until then the kernel lets nobody open the device again. Cancelling goes through sysfs, where
 * drivers that can do it have a file for it: for TPM 2.0 few have, and the command then runs to its end.
 */
export function deviceLink(
  file: Pick<FileHandle, 'write' | 'read' | 'close'>,
  cancelFile: string,
  events: LinkEvents,
): TpmLink {
  let pending: Promise<void> = Promise.resolve()
  let isOver = false
  const close = (): void => {
    if (isOver) return
    isOver = true
    void pending.then(() => file.close()).catch(() => undefined)
  }
  const converse = async (command: Buffer): Promise<void> => {
    try {
      const { bytesWritten } = await file.write(command, 0, command.byteLength, null)
      if (bytesWritten !== command.byteLength)
        throw new TouchstoneError('device.protocol', 'the device cut the command')
      const buffer = Buffer.alloc(LARGEST_RESPONSE)
      const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, null)
      const response = buffer.subarray(0, bytesRead)
      const size = responseSize(response)
      if (size !== bytesRead) {
        const why =
          typeof size === 'string' ? size : `the device answered ${bytesRead} bytes, its header says otherwise`
        throw new TouchstoneError('device.protocol', why)
      }
      if (!isOver) events.response(response)
    } catch (cause) {
      if (isOver) return
      const why = cause instanceof Error ? cause.message : String(cause)
      const error = new TouchstoneError('device.unavailable', `the device failed: ${why}`, { cause })
      close()
      events.lost(cause instanceof TouchstoneError ? cause : error)
    }
  }
  return {
    write(command) {
      pending = converse(command)
    },
    async cancel() {
      await writeFile(cancelFile, '1', { flag: 'r+' })
    },
    close,
  }
}

/** TPM 2.0 Part 1, 18.3: tag, responseSize, responseCode. `undefined` until the header is there, a text when it is none. */
function responseSize(received: Buffer): number | string | undefined {
  if (received.byteLength < HEADER) return undefined
  const tag = received.readUInt16BE(0)
  // TPM_ST_RSP_COMMAND is the answer of a TPM 1.2, or of a 2.0 to a bad tag.
  if (tag !== 0x8001 && tag !== 0x8002 && tag !== 0x00c4) return `0x${tag.toString(16)} is not a response tag`
  const size = received.readUInt32BE(2)
  return size < HEADER || size > LARGEST_RESPONSE ? `a response of ${size} bytes is out of bounds` : size
}
