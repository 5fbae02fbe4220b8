import { readFile } from 'node:fs/promises'
import { signerOf, generateKey, makeServerCertificate } from '../ca/index.ts'
import { toPem } from '../ca/path/index.ts'
import type { CertificateAuthority } from './ca-directory.ts'
import type { ServerConfig } from './config.ts'

const DAY_MS = 24 * 3600 * 1000
const LIFETIME_MS = 30 * DAY_MS
const BACKDATE_MS = DAY_MS
/** A process that runs for months keeps a certificate with at least half of its time left. */
export const RENEWAL_INTERVAL_MS = DAY_MS

export interface ServerKeyPair {
  /** PEM, the certificate and what leads to the root. */
  readonly cert: string
  readonly key: string
}

/** The certificate that the configuration names, or one by our own issuing authority with a key that is never stored. */
export async function serverKeyPair(
  config: Pick<ServerConfig, 'tls' | 'tlsNames' | 'listen'>,
  ca: CertificateAuthority,
  now: number,
  random: (size: number) => Buffer,
): Promise<ServerKeyPair> {
  if (config.tls !== undefined) {
    return { cert: await readFile(config.tls.certificate, 'utf8'), key: await readFile(config.tls.key, 'utf8') }
  }
  const hosts = new Set(['localhost', '127.0.0.1', '::1', ...config.tlsNames])
  if (!isWildcard(config.listen.host)) hosts.add(config.listen.host)
  const key = generateKey('P-256')
  const certificate = await makeServerCertificate(ca.issuer, {
    hosts: [...hosts],
    spki: signerOf(key).spki,
    serial: random(16),
    notBefore: now - BACKDATE_MS,
    notAfter: now + LIFETIME_MS,
  })
  return {
    cert: toPem(certificate.der) + toPem(ca.issuer.certificate.der),
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** Listening everywhere is no address that anybody could call. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}
