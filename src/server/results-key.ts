import { createPublicKey, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, FlattenedSign, type JWK } from 'jose'
import { decryptPrivateKey, encryptPrivateKey, generateKey, makeResultsCertificate, signerOf } from '../ca/index.ts'
import { type Certificate, parsePem, toPem } from '../ca/path/index.ts'
import { equalBytes, toBase64Url } from '../core/index.ts'
import type { CaInput, CertificateAuthority } from './ca-directory.ts'
import { readIfThere, readPrivateFile, writePrivateFile } from './private-file.ts'

const LIFETIME_MS = 365 * 24 * 3600 * 1000
const RENEW_BEFORE_MS = 60 * 24 * 3600 * 1000
const BACKDATE_MS = 24 * 3600 * 1000

export type KeyFileInput = Omit<CaInput, 'organization'>

/** A key that signs results for relying parties, and answers to nodes. */
export interface ResultsKey {
  readonly key: KeyObject
  /** RFC 7638 thumbprint. */
  readonly kid: string
  /** What relying parties are given at /.well-known/jwks.json. */
  readonly jwk: JWK
  /**
   * Detached JWS (RFC 7515 appendix F) over exactly these bytes. Its header names the request by the SHA-256 of its body
   * (`rqd`), where one was read, so that the answer serves for no other.
   */
  signAnswer(body: Uint8Array, requestSha256?: Uint8Array): Promise<string>
}

/**
 * The key of `<base>.key.pem` with its certificate in `<base>.pem`, which is made again before it ends or when the issuing
 * authority is another one. Throws what `loadCa` throws for such files.
 */
export async function certifiedResultsKey(
  base: string,
  key: KeyObject,
  ca: CertificateAuthority,
  { now, random }: KeyFileInput,
): Promise<ResultsKey> {
  const { spki } = signerOf(key)
  const path = `${base}.pem`
  const [stored] = await parseIfThere(path)
  const isGood =
    stored !== undefined &&
    equalBytes(stored.spki, spki) &&
    stored.issuer.raw.equals(ca.issuer.certificate.subject.raw) &&
    stored.notAfter - now > RENEW_BEFORE_MS
  const certificate = isGood
    ? stored
    : await makeResultsCertificate(ca.issuer, {
        commonName: 'Touchstone results',
        spki,
        serial: random(16),
        notBefore: now - BACKDATE_MS,
        notAfter: now + LIFETIME_MS,
      })
  if (!isGood) await writePrivateFile(path, toPem(certificate.der))
  return describe(key, [certificate, ca.issuer.certificate])
}

/** The P-256 key of the file at `path`, encrypted; made there where there is none. */
export async function openKey(path: string, passphrase: string, random: (size: number) => Buffer): Promise<KeyObject> {
  const stored = await readPrivateFile(path)
  if (stored !== undefined) return decryptPrivateKey(stored, passphrase)
  const key = generateKey('P-256')
  await writePrivateFile(path, encryptPrivateKey(key, passphrase, random(32)))
  return key
}

async function parseIfThere(path: string): Promise<readonly Certificate[]> {
  const text = await readIfThere(path)
  return text === undefined ? [] : parsePem(text)
}

async function describe(key: KeyObject, chain: readonly Certificate[]): Promise<ResultsKey> {
  const bare = await exportJWK(createPublicKey(key))
  const kid = await calculateJwkThumbprint(bare)
  const x5c = chain.map(({ der }) => der.toString('base64'))
  return {
    key,
    kid,
    jwk: { ...bare, kid, alg: 'ES256', use: 'sig', x5c },
    signAnswer: async (body, requestSha256) => {
      const bound = requestSha256 === undefined ? {} : { rqd: toBase64Url(requestSha256) }
      const signed = await new FlattenedSign(body).setProtectedHeader({ alg: 'ES256', x5c, ...bound }).sign(key)
      return `${signed.protected ?? ''}..${signed.signature}`
    },
  }
}
