import { createConnection, type Socket } from 'node:net'
import { TouchstoneError } from '../core/index.ts'

export type Endpoint = { readonly path: string } | { readonly host: string; readonly port: number }

/** A connected socket, or `device.unavailable` / `device.timeout`. */
export async function connect(endpoint: Endpoint, timeoutMs: number): Promise<Socket> {
  const where = 'path' in endpoint ? endpoint.path : `${endpoint.host}:${endpoint.port}`
  const socket = createConnection(endpoint)
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new TouchstoneError('device.timeout', `no connection to ${where} within ${timeoutMs} ms`))
      }, timeoutMs)
      socket.once('connect', () => {
        clearTimeout(timer)
        resolve()
      })
      socket.once('error', (cause) => {
        clearTimeout(timer)
        reject(new TouchstoneError('device.unavailable', `cannot connect to ${where}: ${cause.message}`, { cause }))
      })
    })
  } catch (error) {
    socket.destroy()
    throw error
  }
  socket.removeAllListeners('error')
  return socket
}

/**
 * Writes `request`, then collects bytes until `sizeSoFar` says how many there must be and they are there. Ends the
 * socket's use on any failure: after one, nobody knows whose bytes come next.
 */
export async function exchange(
  socket: Socket,
  request: Uint8Array,
  sizeSoFar: (received: Buffer) => number | undefined,
  timeoutMs: number,
): Promise<Buffer> {
  let received: Buffer = Buffer.alloc(0)
  let settled: (() => void) | undefined
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new TouchstoneError('device.timeout', `no answer within ${timeoutMs} ms`))
      }, timeoutMs)
      const onData = (chunk: Buffer) => {
        received = Buffer.concat([received, chunk])
        try {
          const size = sizeSoFar(received)
          if (size === undefined || received.byteLength < size) return
          if (received.byteLength > size) throw new TouchstoneError('device.protocol', 'bytes follow the response')
          resolve(received)
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      }
      const onError = (cause: Error) => {
        reject(new TouchstoneError('device.unavailable', `the connection broke: ${cause.message}`, { cause }))
      }
      const onClose = () => {
        reject(new TouchstoneError('device.unavailable', 'the connection was closed before the answer was complete'))
      }
      settled = () => {
        clearTimeout(timer)
        socket.off('data', onData).off('error', onError).off('close', onClose)
      }
      socket.on('data', onData).on('error', onError).on('close', onClose)
      socket.write(request)
    })
  } catch (error) {
    socket.on('error', () => undefined)
    socket.destroy()
    throw error
  } finally {
    settled?.()
  }
}
