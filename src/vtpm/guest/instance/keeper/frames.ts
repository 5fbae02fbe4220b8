import type { Socket } from 'node:net'
import { LARGEST_FRAME } from './protocol.ts'

/** Frames in and out of a connection: each a u32 of its size, and so many bytes. */
export interface Frames {
  send(body: Buffer): void
  close(): void
}

/** What the other side has not taken yet. Who lets that much lie has stopped. */
const MOST_UNSENT = 1 << 20
const HEADER = 4

/**
 * Hands over each frame of `socket` as it is complete, O(n) in the bytes that come. A frame that is too large, one at which
 * `onFrame` throws, and a peer that does not read end the connection; `onClose` is called once, however it ended.
 */
export function framesOn(socket: Socket, onFrame: (body: Buffer) => void, onClose: () => void): Frames {
  let parts: Buffer[] = []
  let held = 0
  const take = (): Buffer => {
    const all = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
    parts = [all]
    return all
  }
  const cut = (): void => {
    while (held >= HEADER) {
      const all = take()
      const size = all.readUInt32BE(0)
      if (size > LARGEST_FRAME) throw new RangeError('a frame is too large')
      if (held < HEADER + size) return
      parts = [all.subarray(HEADER + size)]
      held -= HEADER + size
      onFrame(all.subarray(HEADER, HEADER + size))
    }
  }
  socket.on('data', (bytes: Buffer) => {
    parts.push(bytes)
    held += bytes.byteLength
    try {
      cut()
    } catch {
      socket.destroy()
    }
  })
  socket.on('error', () => undefined)
  socket.on('end', () => socket.destroy())
  socket.once('close', onClose)
  return {
    send(body) {
      if (socket.destroyed) return
      const header = Buffer.alloc(HEADER)
      header.writeUInt32BE(body.byteLength)
      socket.write(Buffer.concat([header, body]))
      if (socket.writableLength > MOST_UNSENT) socket.destroy()
    },
    close: () => void socket.destroy(),
  }
}
