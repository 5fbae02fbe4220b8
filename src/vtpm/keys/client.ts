import { request } from 'node:http'
import { type ErrorCode, ERRORS, fromBase64Url, toBase64Url, TouchstoneError } from '../../core/index.ts'
import type { KeyAlgorithm, KeyCreation, KeyDetail, KeyList, TokenRequest } from '../../wire/index.ts'

export interface SignedBytes {
  readonly version: number
  readonly kid: string
  readonly algorithm: KeyAlgorithm
  /** As in a JWS: r and s at their full width, PKCS #1 v1.5, PSS, or the HMAC. */
  readonly signature: Buffer
  /** ECDSA only. */
  readonly der: Buffer | undefined
}

export interface KeyAttestation {
  readonly version: number
  readonly kid: string
  readonly tenant: string
  /** TPMS_ATTEST, TPMT_SIGNATURE, and TPMT_PUBLIC of the key and of the node's AK. */
  readonly statement: Buffer
  readonly signature: Buffer
  readonly publicArea: Buffer
  readonly akPublic: Buffer
  readonly nodeId: string | undefined
  readonly akCertificate: readonly string[]
}

/** HKDF (RFC 5869) to so many bytes, or the coordinate for a protocol that derives by itself. */
export type Agreement =
  { readonly size: number; readonly salt?: Uint8Array; readonly info?: Uint8Array } | { readonly raw: true }

/** RFC 7517. */
export interface Jwks {
  readonly keys: readonly Readonly<Record<string, unknown>>[]
}

/** JSON, as the API has it, for what carries no bytes. */
export interface KeysClient {
  list(): Promise<KeyList>
  create(name: string, creation: KeyCreation): Promise<KeyDetail>
  get(name: string): Promise<KeyDetail>
  rotate(name: string): Promise<KeyDetail>
  /** One version, or all of the key. Answers how many versions are left. */
  remove(name: string, version?: number): Promise<number>
  /** A message is hashed by the service; a digest must be of the key's own hash. */
  sign(name: string, what: { readonly message: Uint8Array } | { readonly digest: Uint8Array }): Promise<SignedBytes>
  /** The version that made the signature, or `undefined` where none did. */
  verify(
    name: string,
    message: Uint8Array,
    signature: Uint8Array,
    encoding?: 'raw' | 'der',
  ): Promise<number | undefined>
  /** A compact JWS; with claims it is a JWT. */
  token(name: string, token: Omit<TokenRequest, 'payload'> & { readonly payload?: Uint8Array }): Promise<string>
  decrypt(name: string, ciphertext: Uint8Array, version?: number): Promise<Buffer>
  /** With the holder of `peer`, a DER SubjectPublicKeyInfo on the key's curve: derived by HKDF, or the coordinate itself. */
  agree(name: string, peer: Uint8Array, how: Agreement, version?: number): Promise<Buffer>
  seal(name: string, secret: Uint8Array, pcrs?: string): Promise<KeyDetail>
  unseal(name: string, version?: number): Promise<Buffer>
  random(size: number): Promise<Buffer>
  attest(name: string, nonce: Uint8Array, version?: number): Promise<KeyAttestation>
  /** PEM, the key's own first. */
  certificate(name: string): Promise<readonly string[]>
  jwks(): Promise<Jwks>
}

export interface KeysClientOptions {
  /** Milliseconds for one call; making an RSA key takes some TPMs half a minute. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 120_000
const MAX_ANSWER = 4 << 20

/**
 * The key service behind the tenant's socket at `socketPath`. Each call is one request; keep the client, there is nothing
 * to close. Rejects with a TouchstoneError: the code of the service, or `key.unreachable`, `key.answer`, `key.refused`.
 */
export function openKeysClient(socketPath: string, { timeoutMs = TIMEOUT_MS }: KeysClientOptions = {}): KeysClient {
  const call = (method: string, path: string, body?: unknown): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body)
      const headers =
        payload === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }
      const outgoing = request({ socketPath, method, path, headers, timeout: timeoutMs }, (incoming) => {
        const parts: Buffer[] = []
        let size = 0
        incoming.on('data', (part: Buffer) => {
          size += part.byteLength
          if (size > MAX_ANSWER) incoming.destroy(new Error(`the answer is larger than ${MAX_ANSWER} bytes`))
          else parts.push(part)
        })
        incoming.on('error', (error) => reject(unreachable(socketPath, error)))
        incoming.on('end', () => {
          try {
            resolve(answerOf(incoming.statusCode ?? 0, Buffer.concat(parts).toString('utf8')))
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
        })
      })
      outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)))
      outgoing.on('error', (error) => reject(unreachable(socketPath, error)))
      outgoing.end(payload)
    })
  const at = (name: string, operation = '') => `/v1/keys/${encodeURIComponent(name)}${operation}`
  const post = (name: string, operation: string, body: unknown) => call('POST', at(name, operation), body)
  const only = (version: number | undefined) => (version === undefined ? {} : { version })

  return {
    list: async () => shaped<KeyList>(await call('GET', '/v1/keys'), 'items'),
    create: async (name, creation) => shaped<KeyDetail>(await call('PUT', at(name), creation), 'versions'),
    get: async (name) => shaped<KeyDetail>(await call('GET', at(name)), 'versions'),
    rotate: async (name) => shaped<KeyDetail>(await post(name, '/rotate', {}), 'versions'),
    async remove(name, version) {
      const query = version === undefined ? '' : `?version=${version}`
      return numberIn(await call('DELETE', `${at(name)}${query}`), 'left')
    },
    async sign(name, what) {
      const body = 'digest' in what ? { digest: toBase64Url(what.digest) } : { message: toBase64Url(what.message) }
      const answer = await post(name, '/sign', body)
      return {
        version: numberIn(answer, 'version'),
        kid: textIn(answer, 'kid'),
        algorithm: shaped<{ algorithm: KeyAlgorithm }>(answer, 'algorithm').algorithm,
        signature: bytesIn(answer, 'signature'),
        der: answer['der'] === undefined ? undefined : bytesIn(answer, 'der'),
      }
    },
    async verify(name, message, signature, encoding = 'raw') {
      const body = { message: toBase64Url(message), signature: toBase64Url(signature), encoding }
      const answer = await post(name, '/verify', body)
      return answer['valid'] === true ? numberIn(answer, 'version') : undefined
    },
    async token(name, { payload, ...token }) {
      const body = payload === undefined ? token : { ...token, payload: toBase64Url(payload) }
      return textIn(await post(name, '/token', body), 'jws')
    },
    async decrypt(name, ciphertext, version) {
      const body = { ciphertext: toBase64Url(ciphertext), ...only(version) }
      return bytesIn(await post(name, '/decrypt', body), 'plaintext')
    },
    async agree(name, peer, how, version) {
      const bytes = (field: 'salt' | 'info', value: Uint8Array | undefined) =>
        value === undefined ? {} : { [field]: toBase64Url(value) }
      const asked =
        'raw' in how
          ? { raw: true }
          : { derive: { size: how.size, ...bytes('salt', how.salt), ...bytes('info', how.info) } }
      return bytesIn(await post(name, '/agree', { peer: toBase64Url(peer), ...asked, ...only(version) }), 'secret')
    },
    async seal(name, secret, pcrs) {
      const body = { secret: toBase64Url(secret), ...(pcrs === undefined ? {} : { pcrs }) }
      return shaped<KeyDetail>(await post(name, '/seal', body), 'versions')
    },
    unseal: async (name, version) => bytesIn(await post(name, '/unseal', only(version)), 'secret'),
    random: async (size) => bytesIn(await call('POST', '/v1/random', { size }), 'bytes'),
    async attest(name, nonce, version) {
      const answer = await post(name, '/attest', { nonce: toBase64Url(nonce), ...only(version) })
      return {
        version: numberIn(answer, 'version'),
        kid: textIn(answer, 'kid'),
        tenant: textIn(answer, 'tenant'),
        statement: bytesIn(answer, 'statement'),
        signature: bytesIn(answer, 'signature'),
        publicArea: bytesIn(answer, 'publicArea'),
        akPublic: bytesIn(answer, 'akPublic'),
        nodeId: answer['nodeId'] === undefined ? undefined : textIn(answer, 'nodeId'),
        akCertificate: answer['akCertificate'] === undefined ? [] : textsIn(answer, 'akCertificate'),
      }
    },
    certificate: async (name) => textsIn(await post(name, '/certificate', {}), 'certificate'),
    jwks: async () => shaped<Jwks>(await call('GET', '/.well-known/jwks.json'), 'keys'),
  }
}

type Answer = Readonly<Record<string, unknown>>

/**
 * An answer as the API's type, known by a field of it. The rest is believed: the service is the broker of this node, and
 * a client without a package has no schemas. Bytes are always checked.
 */
function shaped<T>(answer: Answer, field: keyof T & string): T {
  if (!isShaped<T>(answer, field)) throw unexpected(field)
  return answer
}

function isShaped<T>(answer: unknown, field: keyof T & string): answer is T {
  return typeof answer === 'object' && answer !== null && Reflect.get(answer, field) !== undefined
}

function bytesIn(answer: Answer, field: string): Buffer {
  const bytes = fromBase64Url(textIn(answer, field))
  if (bytes === undefined) throw unexpected(field)
  return bytes
}

function textIn(answer: Answer, field: string): string {
  const value = answer[field]
  if (typeof value !== 'string') throw unexpected(field)
  return value
}

function textsIn(answer: Answer, field: string): readonly string[] {
  const value = answer[field]
  if (!Array.isArray(value)) throw unexpected(field)
  return value.map((item) => {
    if (typeof item !== 'string') throw unexpected(field)
    return item
  })
}

function numberIn(answer: Answer, field: string): number {
  const value = answer[field]
  if (typeof value !== 'number') throw unexpected(field)
  return value
}

function unexpected(field: string): TouchstoneError {
  return new TouchstoneError('key.answer', `the answer has no usable ${field}`)
}

function answerOf(status: number, text: string): Answer {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (cause) {
    throw new TouchstoneError('key.answer', `the service answered ${status} with something that is not JSON`, { cause })
  }
  if (!isObject(body)) throw new TouchstoneError('key.answer')
  if (status >= 200 && status < 300) return body
  const { code, detail, hint } = body
  throw new TouchstoneError(
    typeof code === 'string' && isErrorCode(code) ? code : 'key.refused',
    typeof detail === 'string' ? detail : `the service refused with status ${status}`,
    typeof hint === 'string' ? { hint } : {},
  )
}

function isObject(value: unknown): value is Answer {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

function unreachable(socketPath: string, cause: Error): TouchstoneError {
  return new TouchstoneError('key.unreachable', `cannot reach ${socketPath}`, { cause })
}
