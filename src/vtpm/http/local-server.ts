import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import type { Socket } from 'node:net'
import { SlicedConnection } from './sliced-connection.ts'

/**
 * An HTTP server that ends a connection which sends a request before the last one was answered. HTTP/1.1 allows that and no
 * client does it; what one read brings would all be answered before anybody else in this process has a turn, whatever the
 * client's rate.
 */
export function localServer(limits: ServerOptions, handle: RequestListener): Server {
  const busy = new WeakSet<Socket>()
  const server = createServer(limits, (request, response) => {
    const { socket } = request
    if (busy.has(socket)) {
      socket.destroy()
      return
    }
    busy.add(socket)
    response.once('close', () => busy.delete(socket))
    handle(request, response)
  })
  const accept = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', (socket) => {
    for (const listener of accept) listener.call(server, new SlicedConnection(socket))
  })
  return server
}
