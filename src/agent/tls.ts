import { Agent } from 'node:https'
import { isIP } from 'node:net'
import { PassThrough } from 'node:stream'
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls'
import { X509Certificate } from 'node:crypto'
import { parseCertificate, toPem } from '../ca/path/index.ts'
import { TouchstoneError } from '../core/index.ts'
import type { Trust } from './trust.ts'

const CONNECT_TIMEOUT = 10_000
const MAX_CHAIN = 8

/** What OpenSSL says when a certificate's time has not come. */
const NOT_YET_VALID = 'CERT_NOT_YET_VALID'

/**
 * Connections to the verifier, kept alive. Only the pinned anchors are trusted, never the system's authorities. OpenSSL
 * judges the chain; only when all it finds wrong is that a certificate is not valid yet, a second handshake leaves the
 * judgement to {@link Trust}, which does it without dates, and the connection is handed out after that or not at all.
 */
export function makeTlsAgent(trust: Trust): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 2, maxCachedSessions: 0 })
  agent.createConnection = (options, callback) => {
    const host = typeof options.host === 'string' ? options.host : 'localhost'
    const port = Number(options.port ?? 443)
    openConnection(trust, host, port).then(
      (socket) => callback?.(null, socket),
      // The type asks for a stream beside the error; nobody looks at it.
      (error: unknown) => callback?.(error instanceof Error ? error : new Error(String(error)), new PassThrough()),
    )
    return undefined
  }
  return agent
}

async function openConnection(trust: Trust, host: string, port: number): Promise<TLSSocket> {
  try {
    return await handshake(trust, host, port, true)
  } catch (error) {
    if (codeOf(error) !== NOT_YET_VALID) throw translate(error, host)
  }
  const socket = await handshake(trust, host, port, false).catch((error: unknown) => {
    throw translate(error, host)
  })
  try {
    judgePeer(trust, socket, host)
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

async function handshake(trust: Trust, host: string, port: number, judgedByOpenSsl: boolean): Promise<TLSSocket> {
  const socket = connect({
    host,
    port,
    ca: trust.anchors.map(({ der }) => toPem(der)),
    minVersion: 'TLSv1.2',
    // Insecure by itself: `openConnection` judges the peer before anybody gets the socket.
    rejectUnauthorized: judgedByOpenSsl,
    ...(isIP(host) === 0 ? { servername: host } : {}),
  })
  return await new Promise<TLSSocket>((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy(new TouchstoneError('agent.unreachable', `no TLS connection within ${CONNECT_TIMEOUT} ms`))
    }, CONNECT_TIMEOUT)
    const failed = (error: Error) => {
      clearTimeout(timer)
      socket.destroy()
      reject(error)
    }
    socket.once('error', failed)
    socket.once('secureConnect', () => {
      clearTimeout(timer)
      socket.off('error', failed)
      resolve(socket)
    })
  })
}

/** Everything that OpenSSL would have judged, but the dates: chain, purpose, name. Throws `agent.verifier_untrusted`. */
function judgePeer(trust: Trust, socket: TLSSocket, host: string): void {
  const [leaf, ...intermediates] = peerChain(socket).map((der) => parseCertificate(der))
  if (leaf === undefined) throw new TouchstoneError('agent.verifier_untrusted', 'the server showed no certificate')
  const judged = trust.judge('tls', leaf, intermediates)
  if (!judged.ok) {
    throw new TouchstoneError('agent.verifier_untrusted', `the server's certificate: ${judged.failure.code}`, {
      details: { path: judged.failure.code, certificate: judged.failure.certificate },
    })
  }
  const certificate = new X509Certificate(leaf.der)
  const named = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)
  if (named === undefined) throw new TouchstoneError('agent.verifier_untrusted', `the certificate is not for ${host}`)
}

/** The certificates as the peer sent them, leaf first, each once. */
function peerChain(socket: TLSSocket): readonly Buffer[] {
  const chain: Buffer[] = []
  let next: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true)
  while (chain.length < MAX_CHAIN) {
    const raw: Buffer | undefined = next?.raw
    if (raw === undefined || chain.some((der) => der.equals(raw))) break
    chain.push(raw)
    next = next?.issuerCertificate
  }
  return chain
}

/** OpenSSL's and Node's verdicts on a peer, as opposed to a network that does not work. */
const UNTRUSTED = /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_|INVALID_|HOSTNAME_|PATH_LENGTH_)/

function translate(error: unknown, host: string): Error {
  if (error instanceof TouchstoneError) return error
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  if (UNTRUSTED.test(code)) {
    return new TouchstoneError('agent.verifier_untrusted', `${host}: ${message}`, { cause: error, details: { code } })
  }
  return new TouchstoneError('agent.unreachable', `${host}: ${message}`, { cause: error, details: { code } })
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
