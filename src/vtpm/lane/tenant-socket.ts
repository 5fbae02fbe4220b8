import { once } from 'node:events'
import { chmod, chown, lstat, mkdir, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { TouchstoneError } from '../../core/index.ts'
import { serveControl } from './control-port.ts'
import { serveConnection, type ConnectionLimits } from './tenant-connection.ts'
import type { AuditLog, LaneTenant } from './types.ts'

export interface TenantSocketOptions {
  readonly runDir: string
  readonly tenant: string
  /** Owner of the sockets; needs root. Without it they are the broker's own. */
  readonly uid: number | undefined
  readonly lane: Pick<LaneTenant, 'submit'>
  readonly audit: AuditLog
  /** Calls off the command of this tenant that is under way, if there is one. */
  readonly cancel: () => void
  readonly limits: ConnectionLimits & {
    readonly connections: number
    readonly controlIdleMs: number
    readonly refusedHoldMs: number
  }
}

export interface TenantSocket {
  /** For tpm2-tools: `swtpm:path=<this>`. */
  readonly path: string
  /** Ends all connections and removes the sockets. */
  close(): Promise<void>
}

/** sun_path of Linux is 108 bytes with its NUL. */
const LONGEST_PATH = 107

/** `<runDir>/t/<tenant>`: a tenant's sockets lie in it, and nothing else. */
export function tenantDirectory(runDir: string, tenant: string): string {
  return join(runDir, 't', tenant)
}

/**
 * Makes the tenant's directory. It stays the broker's: in a directory of its own a tenant could put a link where the
 * broker will soon change an owner. With a `uid` others may walk through it (0711) to sockets that only the tenant may
 * open; without one it is 0700.
 */
export async function makeTenantDirectory(runDir: string, tenant: string, uid: number | undefined): Promise<string> {
  const mode = uid === undefined ? 0o700 : 0o711
  const directory = tenantDirectory(runDir, tenant)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  for (const path of [join(runDir, 't'), directory]) {
    const found = await lstat(path)
    if (!found.isDirectory() || found.uid !== process.getuid?.()) {
      throw new TouchstoneError('vtpm.socket', `${path} is not a directory of the broker`)
    }
  }
  // Some tenants may have a uid and others not, so the directory above never narrows.
  await chmod(join(runDir, 't'), 0o711)
  await chmod(directory, mode)
  return directory
}

/** A tenant's raw TPM 2.0 socket `tpm` and control socket `tpm.ctrl`. The caller holds the lock of `runDir`. */
export async function openTenantSocket(options: TenantSocketOptions): Promise<TenantSocket> {
  const { tenant, limits, lane } = options
  const path = join(await makeTenantDirectory(options.runDir, tenant, options.uid), 'tpm')
  const connections = new Set<Socket>()
  const serve = async (at: string, handle: (socket: Socket) => void): Promise<Server> => {
    await removeStale(at)
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      connections.add(socket)
      socket.on('close', () => connections.delete(socket))
      handle(socket)
    })
    server.maxConnections = limits.connections
    server.listen(at)
    try {
      await once(server, 'listening')
      await chmod(at, 0o600)
      if (options.uid !== undefined) await chown(at, options.uid, -1)
    } catch (cause) {
      server.close()
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new TouchstoneError('vtpm.socket', `cannot make ${at}: ${why}`, { cause })
    }
    return server
  }
  const servers: Server[] = []
  const close = async (): Promise<void> => {
    const closed = servers.map((server) => new Promise((resolve) => server.close(resolve)))
    for (const socket of connections) socket.destroy()
    await Promise.all(closed)
  }
  try {
    servers.push(
      await serve(`${path}.ctrl`, (socket) => {
        serveControl(socket, {
          tenant,
          audit: options.audit,
          cancel: options.cancel,
          idleTimeoutMs: limits.controlIdleMs,
          refusedHoldMs: limits.refusedHoldMs,
        })
      }),
    )
    // The data socket last: once it is there, tools may use both.
    servers.push(await serve(path, (socket) => serveConnection(socket, lane, limits)))
  } catch (error) {
    await close()
    throw error
  }
  return { path, close }
}

/** A socket that lies there is a dead broker's, since the caller holds the lock. Anything else is not ours to remove. */
async function removeStale(path: string): Promise<void> {
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    throw new TouchstoneError('vtpm.socket', `${path} is longer than ${LONGEST_PATH} bytes`)
  }
  const found = await lstat(path).catch(() => undefined)
  if (found === undefined) return
  if (!found.isSocket()) throw new TouchstoneError('vtpm.socket', `${path} is in the way, and is no socket`)
  await rm(path)
}
