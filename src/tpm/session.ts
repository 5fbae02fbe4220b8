import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import { encode, u16, u32, u8 } from '../codec/index.ts'
import { equalBytes, TouchstoneError, view } from '../core/index.ts'
import { digest, HASHES, requireHash } from './algorithms.ts'
import type { HashName } from './algorithms.ts'
import { decodeParameters, frameCommand, passwordArea, splitResponse } from './command-codec.ts'
import type { ResponseResult, TpmsAuthResponse } from './command-codec.ts'
import type { Command } from './commands.ts'
import { TPMA_SESSION } from './frame.ts'
import { kdfa } from './kdf.ts'
import { handleName } from './names.ts'
import type { TpmtPublicEcc, TpmtPublicRsa } from './public-area.ts'
import { shareSecret } from './shared-secret.ts'

// Sessions: TPM 2.0 Library Part 1 sections 19 and 21. Parameters are hidden by AES-128-CFB, in sessions over SHA-2.

const AES = { keyBits: 128, ivBits: 128, cipher: 'aes-128-cfb' } as const

/** What TPM2_StartAuthSession is told as the symmetric algorithm of the sessions of this room. */
export const SESSION_CIPHER = { algorithm: 'aes', keyBits: AES.keyBits, mode: 'cfb' } as const

/** A salt that only the TPM which holds `key` can open; the TPM2B_ENCRYPTED_SECRET of TPM2_StartAuthSession without size. */
export function sessionSalt(
  key: TpmtPublicRsa | TpmtPublicEcc,
  random: (size: number) => Uint8Array,
): { readonly salt: Buffer; readonly encryptedSalt: Buffer } {
  const { secret, encrypted } = shareSecret(key, requireHash(key.nameAlg), 'SECRET', random)
  return { salt: secret, encryptedSalt: encrypted }
}

/** The session key of a session that is salted and not bound (Part 1 section 19.6.8): empty without a salt. */
export function sessionKey(hash: HashName, salt: Uint8Array, nonceTpm: Uint8Array, nonceCaller: Uint8Array): Buffer {
  if (salt.byteLength === 0) return Buffer.alloc(0)
  const bits = HASHES[hash].size * 8
  return kdfa({ hash, key: salt, label: 'ATH', contextU: nonceTpm, contextV: nonceCaller, bits })
}

/** A session as both sides know it. */
export interface SessionState {
  readonly handle: number
  readonly type: 'hmac' | 'policy'
  readonly hash: HashName
  /** See {@link sessionKey}. */
  readonly key: Buffer
  /** The newest that the TPM sent. */
  readonly nonceTpm: Buffer
}

/** One authorisation of a command: the value itself, or a session. */
export type CommandAuth =
  | { readonly password: Uint8Array }
  | {
      readonly session: SessionState
      /** Of the object that it authorises; empty where it authorises none. Zeros at the end are no part of it. */
      readonly authValue: Uint8Array
      /** Hides the first parameter of the command, which must be a TPM2B. */
      readonly decrypt: boolean
      /** Hides the first parameter of the response, which must be a TPM2B. */
      readonly encrypt: boolean
      /** Whether the session is there for another command; otherwise the TPM ends it with this one. */
      readonly continues: boolean
      /** As long as the session's digest; from a CSPRNG, and never used again. */
      readonly nonceCaller: Uint8Array
    }

type SessionAuth = Extract<CommandAuth, { session: SessionState }>

/** A handle with its Name, which the HMACs cover; hierarchies, PCRs and sessions have no Name but their handle. */
export type NamedHandle = number | { readonly handle: number; readonly name: Uint8Array }

export interface AuthorisedCommand<R> {
  readonly bytes: Buffer
  /**
   * Reads the response. Throws `tpm.response_unauthentic` where the HMAC of a session is wrong: somebody between has
   * changed it, or it answers another command. A refusal is not authenticated by a TPM; after one, no nonce has moved and
   * the same bytes may be sent again.
   */
  readonly open: (response: Uint8Array) => ResponseResult<{
    readonly response: R
    /** The new `nonceTpm` for each authorisation that is a session, in their order. */
    readonly nonces: readonly Buffer[]
  }>
}

/**
 * The bytes of a command under any authorisations. The first ones are for the handles that need one, in their order;
 * further sessions only hide or audit. Policy sessions do not carry the object's value (TPM2_PolicyAuthValue is not
 * covered), so that one without a session key has no HMAC at all.
 */
export function authoriseCommand<H extends string, P, R>(
  command: Command<H, P, R>,
  handles: Readonly<Record<H, NamedHandle>>,
  parameters: P,
  auths: readonly CommandAuth[],
): AuthorisedCommand<R> {
  const code = encode(u32, command.code)
  const targets = command.handles.map((name) => targetOf(handles[name]))
  const names = targets.map(({ name }) => name)
  const plain = encode(command.parameters, parameters)
  const decrypts = auths.find((auth): auth is SessionAuth => 'session' in auth && auth.decrypt)
  const encrypts = auths.find((auth): auth is SessionAuth => 'session' in auth && auth.encrypt)
  const sent = decrypts === undefined ? plain : hide('encrypt', decrypts, 'command', decrypts.session.nonceTpm, plain)
  // Part 1 section 19.6.5: the first session's HMAC ties in those that hide parameters, so that none can be taken away.
  const others = [decrypts, encrypts === decrypts ? undefined : encrypts].flatMap((auth) =>
    auth === undefined || auth === auths[0] ? [] : [auth.session.nonceTpm],
  )
  const areas = auths.map((auth, index) => {
    if (!('session' in auth)) return passwordArea(auth.password)
    const { session, nonceCaller } = auth
    const cpHash = digest(session.hash, code, ...names, sent)
    const tied = index === 0 ? others : []
    const hmac = hmacOf(auth, [cpHash, nonceCaller, session.nonceTpm, ...tied, attributesOf(auth)])
    const sessionAttributes = attributesOf(auth).readUInt8(0)
    return { sessionHandle: session.handle, nonce: view(nonceCaller), sessionAttributes, hmac }
  })
  return {
    bytes: frameCommand(
      command.code,
      targets.map(({ handle }) => handle),
      areas,
      sent,
    ),
    open(bytes) {
      const split = splitResponse(command, bytes, auths.length)
      if (!split.ok) return split
      const { handle, parameters: received, areas: answers } = split.response
      const pairs = auths.flatMap((auth, index) => {
        const area = answers[index]
        return 'session' in auth && area !== undefined ? [{ auth, area }] : []
      })
      for (const { auth, area } of pairs) checkAnswer(auth, area, code, received)
      const hidden = pairs.find(({ auth }) => auth === encrypts)
      const clear =
        hidden === undefined ? received : hide('decrypt', hidden.auth, 'response', hidden.area.nonce, received)
      const nonces = pairs.map(({ area }) => area.nonce)
      return { ok: true, response: { response: decodeParameters(command, handle, clear), nonces } }
    },
  }
}

function targetOf(target: NamedHandle): Exclude<NamedHandle, number> {
  return typeof target === 'number' ? { handle: target, name: handleName(target) } : target
}

const SUCCESS = encode(u32, 0)

function checkAnswer(auth: SessionAuth, area: TpmsAuthResponse, code: Buffer, parameters: Buffer): void {
  const { hash } = auth.session
  const rpHash = digest(hash, SUCCESS, code, parameters)
  const attributes = encode(u8, area.sessionAttributes)
  const expected = hmacOf(auth, [rpHash, area.nonce, auth.nonceCaller, attributes])
  if (!equalBytes(expected, area.hmac)) throw new TouchstoneError('tpm.response_unauthentic')
}

/** Part 1 section 19.6.5. Without any key there is no HMAC, as a policy session may have it. */
function hmacOf(auth: SessionAuth, parts: readonly Uint8Array[]): Buffer {
  const { session } = auth
  const key = session.type === 'hmac' ? sessionValue(auth) : session.key
  if (key.byteLength === 0 && session.type === 'policy') return Buffer.alloc(0)
  const hmac = createHmac(HASHES[session.hash].node, key)
  for (const part of parts) hmac.update(part)
  return hmac.digest()
}

/** The session key and the value of the object; in a policy session too, for parameters: Part 1 section 21.2. */
function sessionValue({ session, authValue }: SessionAuth): Buffer {
  const value = view(authValue)
  let end = value.byteLength
  while (end > 0 && value[end - 1] === 0) end -= 1
  return Buffer.concat([session.key, value.subarray(0, end)])
}

function attributesOf({ continues, decrypt, encrypt }: SessionAuth): Buffer {
  return encode(
    u8,
    (continues ? TPMA_SESSION.continueSession : 0) |
      (decrypt ? TPMA_SESSION.decrypt : 0) |
      (encrypt ? TPMA_SESSION.encrypt : 0),
  )
}

/** Parameter encryption (Part 1 section 21.3): the content of the first parameter, its size left in the clear. */
function hide(
  way: 'encrypt' | 'decrypt',
  auth: SessionAuth,
  direction: 'command' | 'response',
  nonceTpm: Uint8Array,
  parameters: Buffer,
): Buffer {
  const size = parameters.byteLength < 2 ? undefined : 2 + parameters.readUInt16BE(0)
  if (size === undefined || size > parameters.byteLength) throw new RangeError('the first parameter is not a TPM2B')
  const [newer, older] = direction === 'command' ? [auth.nonceCaller, nonceTpm] : [nonceTpm, auth.nonceCaller]
  const bits = AES.keyBits + AES.ivBits
  const { hash } = auth.session
  const stream = kdfa({ hash, key: sessionValue(auth), label: 'CFB', contextU: newer, contextV: older, bits })
  const make = way === 'encrypt' ? createCipheriv : createDecipheriv
  const cipher = make(AES.cipher, stream.subarray(0, AES.keyBits / 8), stream.subarray(AES.keyBits / 8))
  const content = Buffer.concat([cipher.update(parameters.subarray(2, size)), cipher.final()])
  return Buffer.concat([encode(u16, size - 2), content, parameters.subarray(size)])
}
