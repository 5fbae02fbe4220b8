import { once } from 'node:events'
import { chmod, chown, lstat, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { randomUUID } from 'node:crypto'
import { TouchstoneError } from '../../core/index.ts'
import {
  codedError,
  decodeBody,
  encodeBody,
  LIMITS,
  linkRequest,
  MEDIA,
  problemOf,
  type MediaType,
} from '../../wire/index.ts'
import { localServer } from '../http/index.ts'
import type { Linker } from './linker.ts'

export interface LinkSocketOptions {
  /** Absolute, at most 107 bytes; its directory is the broker's, and the guest's alone. */
  readonly path: string
  /** Whom this socket is: UUID. */
  readonly guest: string
  readonly linker: Pick<Linker, 'link'>
  /** Owner of the socket; needs root. */
  readonly uid?: number | undefined
}

/** Both structures in base64url, with the names around them. */
const LARGEST_BODY = Math.ceil((2 * LIMITS.structure * 4) / 3) + 256
const LONGEST_PATH = 107
const CONNECTIONS = 8
const TIMEOUT_MS = 10_000

/**
 * `POST /v1/link` on the guest's own Unix socket, mode 0600: `linkRequest` in, `linkedEvidence` out, in CBOR or JSON.
 * Whoever can open the socket is that guest. Throws `vtpm.socket`.
 */
export async function serveLink({ path, guest, linker, uid }: LinkSocketOptions): Promise<{ close(): Promise<void> }> {
  await makeRoom(path)
  const server = localServer(
    { requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS, keepAliveTimeout: TIMEOUT_MS, maxHeaderSize: 8192 },
    (incoming, outgoing) => {
      const media = mediaOf(incoming)
      answer(incoming, media, guest, linker).then(
        (link) => reply(outgoing, 200, media, encodeBody(media, link)),
        (error: unknown) => {
          const coded = codedError(error)
          const problem = encodeBody(MEDIA.json, problemOf(coded, randomUUID()))
          reply(outgoing, coded.status, MEDIA.problem, problem)
        },
      )
    },
  )
  server.maxConnections = CONNECTIONS
  server.setTimeout(TIMEOUT_MS)
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  }
  try {
    server.listen(path)
    await once(server, 'listening')
    await chmod(path, 0o600)
    if (uid !== undefined) await chown(path, uid, -1)
  } catch (cause) {
    await close()
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TouchstoneError('vtpm.socket', `cannot make ${path}: ${why}`, { cause })
  }
  return { close }
}

async function answer(incoming: IncomingMessage, media: MediaType, guest: string, linker: Pick<Linker, 'link'>) {
  if (incoming.url !== '/v1/link') throw new TouchstoneError('http.not_found')
  if (incoming.method !== 'POST') throw new TouchstoneError('http.method')
  const parsed = linkRequest.safeParse(decodeBody(media, await readBody(incoming)))
  if (!parsed.success) throw new TouchstoneError('http.invalid', parsed.error.issues[0]?.message)
  return await linker.link(guest, parsed.data)
}

function mediaOf(incoming: IncomingMessage): MediaType {
  const [type = ''] = (incoming.headers['content-type'] ?? '').split(';')
  return type.trim().toLowerCase() === MEDIA.json ? MEDIA.json : MEDIA.cbor
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of incoming) {
    if (!Buffer.isBuffer(part)) continue
    size += part.byteLength
    if (size > LARGEST_BODY) throw new TouchstoneError('http.body_too_large')
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function reply(outgoing: ServerResponse, status: number, type: string, body: Buffer): void {
  outgoing.writeHead(status, { 'content-type': type, 'content-length': body.byteLength }).end(body)
}

/** A socket that lies there is a dead broker's, since the caller holds the lock. Anything else is not ours to remove. */
async function makeRoom(path: string): Promise<void> {
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    throw new TouchstoneError('vtpm.socket', `${path} is longer than ${LONGEST_PATH} bytes`)
  }
  const found = await lstat(path).catch(() => undefined)
  if (found === undefined) return
  if (!found.isSocket()) throw new TouchstoneError('vtpm.socket', `${path} is in the way, and is no socket`)
  await rm(path)
}
