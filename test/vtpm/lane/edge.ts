import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { openChannel } from '../../../src/vtpm/lane/channel.ts'
import { responseCodeFor } from '../../../src/vtpm/lane/error-response.ts'
import { createScheduler } from '../../../src/vtpm/lane/scheduler.ts'
import { openTenantSocket } from '../../../src/vtpm/lane/tenant-socket.ts'
import type { AuditRecord } from '../../../src/vtpm/lane/types.ts'
import { response } from '../../device/fake-tpm.ts'
import { freshTpm } from '../../fixtures/swtpm.ts'

/** TPM2_GetRandom(8). */
export const GET_RANDOM = Buffer.from('80010000000c0000017b0008', 'hex')

export const LIMITS = {
  maxCommandSize: 4096,
  connections: 200,
  partialTimeoutMs: 60_000,
  stallTimeoutMs: 60_000,
  controlIdleMs: 60_000,
  refusedHoldMs: 0,
}

export async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ts-edge-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** A tenant's sockets over whatever `submit` does with the commands. */
export async function openEdge(
  t: TestContext,
  submit: (command: Buffer) => Promise<Buffer>,
  limits: Partial<typeof LIMITS> = {},
  uid?: number,
) {
  const runDir = await temporaryDirectory(t)
  const audited: AuditRecord[] = []
  const state = { cancels: 0, audited, runDir }
  const socket = await openTenantSocket({
    runDir,
    tenant: 'app',
    uid,
    lane: { submit },
    audit: { append: (record) => void audited.push(record), accepting: true, flush: () => Promise.resolve() },
    cancel: () => void (state.cancels += 1),
    limits: { ...LIMITS, ...limits },
  })
  t.after(() => socket.close())
  return { ...socket, state, tcti: `swtpm:path=${socket.path}` }
}

/** The same over a real TPM, with nothing between but channel and scheduler. */
export async function openEdgeOnTpm(t: TestContext, uid?: number) {
  const tpm = await freshTpm()
  const channel = await openChannel(tpm.tcti)
  t.after(async () => {
    // First the channel: swtpm serves one connection, and its orderly end needs it.
    await channel.close()
    await tpm.close()
  })
  const scheduler = createScheduler({ maxWaiting: 200 })
  const submit = async (command: Buffer): Promise<Buffer> => {
    try {
      return await scheduler.run('apps', 'app', () => channel.exchange(Buffer.from(command), 60_000))
    } catch (error) {
      return response(responseCodeFor(error))
    }
  }
  return openEdge(t, submit, {}, uid)
}

/** A client of a raw socket: `read(n)` resolves with n bytes, or with fewer at the end of the stream. */
export async function rawClient(t: TestContext, path: string) {
  const socket: Socket = createConnection(path)
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  let wake: () => void = () => undefined
  let isOver = false
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => undefined)
  socket.on('readable', () => wake())
  for (const event of ['end', 'close']) {
    socket.on(event, () => {
      isOver = true
      wake()
    })
  }
  return {
    socket,
    ended,
    async read(size: number): Promise<Buffer> {
      for (;;) {
        const bytes: unknown = socket.read(size)
        if (Buffer.isBuffer(bytes)) return bytes
        if (isOver) return Buffer.alloc(0)
        await new Promise<void>((resolve) => (wake = resolve))
      }
    },
  }
}
