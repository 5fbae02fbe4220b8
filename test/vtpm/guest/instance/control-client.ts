import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import { execa } from 'execa'
import { openFdPassing } from '../../../../src/vtpm/guest/instance/fd-passing.ts'

/** What a guest's side can do with its control socket: raw commands, and whatever answer comes back. */
export interface ControlClient {
  /** Hex in, `size` bytes as hex out; `closed` where the connection was closed instead. `passing` goes along. */
  send(hex: string, options?: { readonly size?: number; readonly passing?: unknown }): Promise<string>
  close(): void
}

export function fdPassing() {
  return openFdPassing(Reflect.get(process, 'binding'))
}

/** As a virtual machine's: it can pass descriptors. */
export async function controlClient(path: string): Promise<ControlClient> {
  const connection = await fdPassing().connect(path)
  let received: Buffer = Buffer.alloc(0)
  return {
    async send(hex, { size = 4, passing } = {}) {
      const handle = passing instanceof Object && '_handle' in passing ? passing._handle : passing
      try {
        connection.send(Buffer.from(hex, 'hex'), handle)
      } catch {
        return 'closed'
      }
      while (received.byteLength < size) {
        const next = await connection.receive()
        if (next === undefined) return 'closed'
        received = Buffer.concat([received, next.bytes])
      }
      const answer = received.toString('hex', 0, size)
      received = received.subarray(size)
      return answer
    },
    close: () => connection.close(),
  }
}

/** Two ends that are connected, the second never read from, so that it can be passed on. */
export async function pair(path: string): Promise<{ readonly socket: Socket; readonly peer: Socket }> {
  await rm(path, { force: true })
  const server = createServer({ pauseOnConnect: true })
  server.listen(path)
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const socket = createConnection({ path })
  const [[peer]] = await Promise.all([accepted, once(socket, 'connect')])
  server.close()
  return { socket, peer }
}

const SENDMSG: Readonly<Record<string, number>> = { x64: 46, arm64: 211 }

/**
 * Sends `hex` with an open file as descriptor, which no Node program can: Node passes sockets alone. Perl is part of every
 * Debian. Resolves with the hex that comes back, empty where the connection was closed.
 */
export async function sendWithFile(path: string, hex: string): Promise<string> {
  const script = `
    use Socket;
    my ($path, $hex, $sendmsg) = @ARGV;
    socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die $!;
    connect($s, sockaddr_un($path)) or die $!;
    open(my $file, '<', '/etc/passwd') or die $!;
    my $data = pack('H*', $hex);
    my $iov = pack('P Q', $data, length $data);
    my $rights = pack('Q l l l x4', 20, 1, 1, fileno $file);
    my $message = pack('Q L x4 P Q P Q l x4', 0, 0, $iov, 1, $rights, length $rights, 0);
    syscall($sendmsg + 0, fileno $s, $message, 0) >= 0 or die $!;
    my $answer = '';
    sysread($s, $answer, 64);
    print unpack('H*', $answer);
  `
  const { stdout } = await execa('/usr/bin/perl', ['-e', script, path, hex, String(SENDMSG[process.arch])], {
    timeout: 30_000,
  })
  return stdout
}
