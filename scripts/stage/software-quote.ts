import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { encode } from '../../src/codec/index.ts'
import {
  parsePcrSelection,
  qualifiedNameUnderEndorsement,
  TPM_GENERATED_VALUE,
  TPM2B_PUBLIC,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
  type PcrSelection,
  type TpmtPublic,
} from '../../src/tpm/index.ts'

/**
 * An attestation key in software that signs whatever quote it is told to. For measuring and fuzzing, where a TPM would only
 * be slow: the bytes are those that a TPM makes, the checks cannot tell.
 */
export interface SoftwareTpm {
  readonly ak: TpmtPublic
  /** TPM2B_PUBLIC of the attestation key, and of the endorsement key above it. */
  readonly akBytes: Buffer
  readonly ekBytes: Buffer
  readonly publicKey: KeyObject
  quote(terms: QuoteTerms): SignedQuote
  /** Anything else, as no restricted key of a TPM does. */
  sign(message: Buffer): SignedQuote
}

export interface QuoteTerms {
  readonly nonce: Uint8Array
  readonly selection?: PcrSelection
  /** The value of a register of a bank. */
  readonly register: (bank: string, pcr: number) => Uint8Array
}

export interface SignedQuote {
  /** TPMS_ATTEST */
  readonly quote: Buffer
  /** TPMT_SIGNATURE */
  readonly signature: Buffer
}

const RESTRICTED_SIGNING = [
  'fixedTPM',
  'fixedParent',
  'sensitiveDataOrigin',
  'userWithAuth',
  'noDA',
  'restricted',
  'sign',
]
const RESTRICTED_STORAGE = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'decrypt']

export function softwareTpm(kind: 'ecdsa' | 'rsassa'): SoftwareTpm {
  const { publicKey, privateKey } =
    kind === 'ecdsa' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', RSA)
  const ak = kind === 'ecdsa' ? eccPublic(publicKey, RESTRICTED_SIGNING) : rsaPublic(publicKey)
  const ek = eccPublic(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey, RESTRICTED_STORAGE)
  const qualifiedSigner = qualifiedNameUnderEndorsement(ek, ak)
  const signed = (quote: Buffer) => ({
    quote,
    signature: kind === 'ecdsa' ? ecdsa(quote, privateKey) : rsassa(quote, privateKey),
  })
  return {
    ak,
    akBytes: encode(TPM2B_PUBLIC, ak),
    ekBytes: encode(TPM2B_PUBLIC, ek),
    publicKey,
    quote({ nonce, selection = parsePcrSelection('sha256:0-15'), register }) {
      const state = createHash('sha256')
      for (const { hash, pcrs } of selection) for (const pcr of pcrs) state.update(register(hash, pcr))
      const quote = encode(TPMS_ATTEST, {
        magic: TPM_GENERATED_VALUE,
        type: 'quote',
        qualifiedSigner,
        extraData: Buffer.from(nonce),
        clockInfo: { clock: 5_000n, resetCount: 3, restartCount: 1, safe: true },
        firmwareVersion: 0x2019102300163636n,
        attested: { pcrSelect: selection, pcrDigest: state.digest() },
      })
      return signed(quote)
    },
    sign: signed,
  }
}

const RSA = { modulusLength: 2048 } as const

function ecdsa(message: Buffer, key: KeyObject): Buffer {
  const pair = sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' })
  const [signatureR, signatureS] = [pair.subarray(0, 32), pair.subarray(32)]
  return encode(TPMT_SIGNATURE, { sigAlg: 'ecdsa', hash: 'sha256', signatureR, signatureS })
}

function rsassa(message: Buffer, key: KeyObject): Buffer {
  return encode(TPMT_SIGNATURE, { sigAlg: 'rsassa', hash: 'sha256', sig: sign('sha256', message, key) })
}

function eccPublic(key: KeyObject, attributes: readonly string[]): TpmtPublic {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  const scheme = attributes.includes('sign')
    ? ({ scheme: 'ecdsa', hashAlg: 'sha256' } as const)
    : ({ scheme: 'null' } as const)
  return {
    ...common(attributes),
    type: 'ecc',
    parameters: { symmetric: { algorithm: 'null' }, scheme, curveID: 'nist_p256', kdf: { scheme: 'null' } },
    unique: { x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') },
  }
}

function rsaPublic(key: KeyObject): TpmtPublic {
  const { n = '' } = key.export({ format: 'jwk' })
  return {
    ...common(RESTRICTED_SIGNING),
    type: 'rsa',
    parameters: {
      symmetric: { algorithm: 'null' },
      scheme: { scheme: 'rsassa', hashAlg: 'sha256' },
      keyBits: RSA.modulusLength,
      exponent: 0,
    },
    unique: Buffer.from(n, 'base64url'),
  }
}

function common(attributes: readonly string[]): Pick<TpmtPublic, 'nameAlg' | 'objectAttributes' | 'authPolicy'> {
  const has = (name: string) => attributes.includes(name)
  return {
    nameAlg: 'sha256',
    objectAttributes: {
      fixedTPM: has('fixedTPM'),
      stClear: false,
      fixedParent: has('fixedParent'),
      sensitiveDataOrigin: has('sensitiveDataOrigin'),
      userWithAuth: has('userWithAuth'),
      adminWithPolicy: false,
      firmwareLimited: false,
      svnLimited: false,
      noDA: has('noDA'),
      encryptedDuplication: false,
      restricted: has('restricted'),
      decrypt: has('decrypt'),
      sign: has('sign'),
      x509sign: false,
    },
    authPolicy: Buffer.alloc(0),
  }
}
