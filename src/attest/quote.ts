import { decode } from '../codec/index.ts'
import type { Codec } from '../codec/index.ts'
import { isTouchstoneError, TouchstoneError } from '../core/index.ts'
import {
  attestTypeOf,
  readWellFormedQuote,
  readWellFormedSignature,
  signatureSchemeOf,
  TPM_ALG,
  TPM_ST_ATTEST,
  TPMS_ATTEST,
  TPMS_ATTEST_HEADER,
  TPMT_SIGNATURE,
  TPMT_SIGNATURE_HEADER,
} from '../tpm/index.ts'
import type { HashName, TpmsAttest, TpmsQuote, TpmtSignature } from '../tpm/index.ts'
import type { AttestationKey } from './attestation-key.ts'

/** A TPMS_ATTEST as far as it can be read. Nothing in it is believed before every check here has passed. */
export interface ReadQuote {
  readonly bytes: Uint8Array
  readonly magic: number
  /** The number in the type field. */
  readonly type: number
  /** Whatever was signed, where it is an attestation of a known type. */
  readonly attest: TpmsAttest | undefined
  /** The same, where it is a quote. */
  readonly quote: TpmsQuote | undefined
  /** Why a quote's selection could not be read: it names a bank that nobody knows. */
  readonly unknownBank?: string
}

export interface ReadSignature {
  readonly sigAlg: number
  readonly signature: TpmtSignature | undefined
  /** The hash of its scheme. */
  readonly hash: HashName | undefined
  /** Why it could not be read as its own scheme. */
  readonly problem?: string
}

const TYPE_AT = 4

/**
 * Throws `decode.*` for what is empty, cut short or too long. A wrong magic, an unknown type, a structure of another
 * type and an unknown bank in the selection decode, and are checks.
 */
export function readQuote(bytes: Uint8Array): ReadQuote {
  const quote = readWellFormedQuote(bytes)
  if (quote !== undefined) return { bytes, magic: quote.magic, type: TPM_ST_ATTEST.quote, attest: quote, quote }
  const attest = attempt(TPMS_ATTEST_NAME, TPMS_ATTEST, bytes)
  const { magic, type } = decode(TPMS_ATTEST_NAME, TPMS_ATTEST_HEADER, bytes)
  const read = { bytes, magic, type, quote: undefined }
  if (!(attest instanceof TouchstoneError)) {
    return { ...read, attest, quote: attest.type === 'quote' ? attest : undefined }
  }
  if (type !== TPM_ST_ATTEST.quote) return { ...read, attest: readOtherType(bytes, type, attest) }
  if (!isBadValueOf(attest, 'pcrSelect')) throw attest
  return { ...read, attest: undefined, unknownBank: attest.message }
}

const TPMS_ATTEST_NAME = 'TPMS_ATTEST'

/**
 * Another type of attestation, or a quote whose type was changed: both are whole structures with a wrong type. What is
 * neither is cut short or too long, unless nobody knows its type: then nobody can say.
 */
function readOtherType(bytes: Uint8Array, type: number, problem: TouchstoneError): TpmsAttest | undefined {
  const asQuote = attempt(TPMS_ATTEST_NAME, TPMS_ATTEST, withNumber(bytes, TYPE_AT, TPM_ST_ATTEST.quote))
  if (!(asQuote instanceof TouchstoneError)) return asQuote
  if (attestTypeOf(type) !== undefined) throw problem
  return undefined
}

/** The scheme that the key itself signs with, where it can be told. */
function schemeOf(key: AttestationKey): 'rsassa' | 'rsapss' | 'ecdsa' | undefined {
  if (key.kind === 'unreadable') return undefined
  if (key.kind === 'bare') return key.key.asymmetricKeyType === 'ec' ? 'ecdsa' : 'rsassa'
  if (key.pub.type !== 'rsa' && key.pub.type !== 'ecc') return undefined
  const { scheme } = key.pub.parameters.scheme
  return scheme === 'rsassa' || scheme === 'rsapss' || scheme === 'ecdsa' ? scheme : undefined
}

/**
 * Throws `decode.*` as {@link readQuote} does. A signature of another scheme than the key's, and one whose scheme or hash
 * nobody knows, decode, and are checks.
 */
export function readSignature(bytes: Uint8Array, key: AttestationKey): ReadSignature {
  const own = readWellFormedSignature(bytes) ?? attempt(TPMT_SIGNATURE_NAME, TPMT_SIGNATURE, bytes)
  if (!(own instanceof TouchstoneError)) return { sigAlg: TPM_ALG[own.sigAlg], signature: own, hash: hashOf(own) }
  const { sigAlg } = decode(TPMT_SIGNATURE_NAME, TPMT_SIGNATURE_HEADER, bytes)
  const unread = { sigAlg, signature: undefined, hash: undefined }
  const known = signatureSchemeOf(sigAlg) !== undefined
  if (known && isBadValueOf(own, 'hash')) return { ...unread, problem: own.message }
  const scheme = schemeOf(key)
  if (scheme !== undefined && TPM_ALG[scheme] !== sigAlg) {
    const asKeys = attempt(TPMT_SIGNATURE_NAME, TPMT_SIGNATURE, withNumber(bytes, 0, TPM_ALG[scheme]))
    if (!(asKeys instanceof TouchstoneError)) return unread
  }
  if (known) throw own
  return unread
}

const TPMT_SIGNATURE_NAME = 'TPMT_SIGNATURE'

function hashOf(signature: TpmtSignature): HashName | undefined {
  return 'hash' in signature ? signature.hash : undefined
}

function attempt<T>(name: string, codec: Codec<T>, bytes: Uint8Array): T | TouchstoneError {
  try {
    return decode(name, codec, bytes)
  } catch (error) {
    if (isTouchstoneError(error)) return error
    throw error
  }
}

function isBadValueOf(error: TouchstoneError, field: string): boolean {
  return error.code === 'decode.value' && String(error.details['path']).includes(field)
}

function withNumber(bytes: Uint8Array, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt16BE(value, at)
  return copy
}
