import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export interface FakeTpm {
  readonly tcti: string
  /** Command codes, in order. */
  readonly commands: number[]
}

/**
 * A TPM for what no real one does on demand: `answer` is given each command and says what is written back, `undefined` for
 * nothing at all. The control socket agrees to everything, as tpm2-tss wants one.
 */
export async function fakeTpm(
  t: TestContext,
  answer: (command: Buffer) => Buffer | undefined | Promise<Buffer | undefined>,
): Promise<FakeTpm> {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-fake-'))
  const path = join(directory, 'sock')
  const commands: number[] = []
  const sockets = new Set<Socket>()
  const listen = async (at: string, onData: (socket: Socket, chunk: Buffer) => void): Promise<Server> => {
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('data', (chunk: Buffer) => onData(socket, chunk))
    })
    server.listen(at)
    await once(server, 'listening')
    return server
  }
  const servers = [
    await listen(path, (socket, chunk) => {
      commands.push(chunk.readUInt32BE(6))
      void Promise.resolve(answer(chunk)).then((response) => {
        if (response !== undefined) socket.write(response)
      })
    }),
    await listen(`${path}.ctrl`, (socket) => socket.write(Buffer.alloc(4))),
  ]
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    for (const server of servers) server.close()
    await rm(directory, { recursive: true, force: true })
  })
  return { tcti: `swtpm:path=${path}`, commands }
}

/** A response without parameters. */
export function response(rc: number): Buffer {
  const bytes = Buffer.from('80010000000a00000000', 'hex')
  bytes.writeUInt32BE(rc, 6)
  return bytes
}
