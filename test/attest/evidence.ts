import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { encode } from '../../src/codec/index.ts'
import { parseEventLog, replayEventLog } from '../../src/eventlog/index.ts'
import type { ReplayBank } from '../../src/eventlog/index.ts'
import {
  HASHES,
  parsePcrSelection,
  qualifiedNameUnderEndorsement,
  TPM2B_PUBLIC,
  TPM_GENERATED_VALUE,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
} from '../../src/tpm/index.ts'
import type { PcrSelection, TpmsAttest, TpmtPublic } from '../../src/tpm/index.ts'

/**
 * A key that does what a TPM's does, and what no TPM's would: it signs any structure it is given. For the evidence that a
 * real TPM cannot be made to produce; real quotes are in the shared data.
 */
export interface FakeTpm {
  readonly ak: TpmtPublic
  readonly akBytes: Buffer
  readonly akPem: string
  readonly ek: TpmtPublic
  readonly ekBytes: Buffer
  readonly privateKey: KeyObject
}

const AK_ATTRIBUTES = {
  fixedTPM: true,
  fixedParent: true,
  sensitiveDataOrigin: true,
  userWithAuth: true,
  noDA: true,
  restricted: true,
  sign: true,
}

const NO_ATTRIBUTES = {
  fixedTPM: false,
  stClear: false,
  fixedParent: false,
  sensitiveDataOrigin: false,
  userWithAuth: false,
  adminWithPolicy: false,
  firmwareLimited: false,
  svnLimited: false,
  noDA: false,
  encryptedDuplication: false,
  restricted: false,
  decrypt: false,
  sign: false,
  x509sign: false,
}

type Attributes = Partial<typeof NO_ATTRIBUTES>

export function fakeTpm(attributes: Attributes = {}): FakeTpm {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ak = eccPublic(publicKey, { ...AK_ATTRIBUTES, ...attributes })
  const ekPair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ek = eccPublic(ekPair.publicKey, { fixedTPM: true, fixedParent: true, restricted: true, decrypt: true })
  return {
    ak,
    akBytes: encode(TPM2B_PUBLIC, ak),
    akPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    ek,
    ekBytes: encode(TPM2B_PUBLIC, ek),
    privateKey,
  }
}

function eccPublic(key: KeyObject, attributes: Attributes): TpmtPublic {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  return {
    type: 'ecc',
    nameAlg: 'sha256',
    objectAttributes: { ...NO_ATTRIBUTES, ...attributes },
    authPolicy: Buffer.alloc(0),
    parameters: {
      symmetric: { algorithm: 'null' },
      scheme: { scheme: 'ecdsa', hashAlg: 'sha256' },
      curveID: 'nist_p256',
      kdf: { scheme: 'null' },
    },
    unique: { x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') },
  }
}

export const NONCE = Buffer.from('00112233445566778899aabbccddeeff', 'hex')

export interface QuoteOptions {
  readonly selection?: PcrSelection
  readonly pcrs: PcrValues
  readonly nonce?: Uint8Array
  readonly clock?: bigint
  readonly resetCount?: number
  readonly restartCount?: number
  readonly safe?: boolean
  readonly firmwareVersion?: bigint
  readonly magic?: number
}

/** Hex by bank and register. */
export type PcrValues = Readonly<Record<string, Readonly<Record<string, string>>>>

export type TpmsQuote = Extract<TpmsAttest, { type: 'quote' }>

export function quoteOf(tpm: FakeTpm, options: QuoteOptions): TpmsQuote {
  const selection = options.selection ?? parsePcrSelection('sha256:0-15')
  const values = selection.flatMap(({ hash, pcrs }) =>
    pcrs.map((pcr) => Buffer.from(options.pcrs[hash]?.[String(pcr)] ?? '', 'hex')),
  )
  return {
    magic: options.magic ?? TPM_GENERATED_VALUE,
    type: 'quote',
    qualifiedSigner: qualifiedNameUnderEndorsement(tpm.ek, tpm.ak),
    extraData: Buffer.from(options.nonce ?? NONCE),
    clockInfo: {
      clock: options.clock ?? 5_000n,
      resetCount: options.resetCount ?? 3,
      restartCount: options.restartCount ?? 1,
      safe: options.safe ?? true,
    },
    firmwareVersion: options.firmwareVersion ?? 0x2019102300163636n,
    attested: { pcrSelect: selection, pcrDigest: createHash('sha256').update(Buffer.concat(values)).digest() },
  }
}

export interface Signed {
  readonly quote: Buffer
  readonly signature: Buffer
}

/** Signs any attestation, as TPMT_SIGNATURE of ECDSA with the key's hash (or another one). */
export function signAttest(tpm: FakeTpm, attest: TpmsAttest, hash: 'sha1' | 'sha256' = 'sha256'): Signed {
  return signBytes(tpm, encode(TPMS_ATTEST, attest), hash)
}

export function signBytes(tpm: FakeTpm, quote: Buffer, hash: 'sha1' | 'sha256' = 'sha256'): Signed {
  const pair = sign(hash, quote, { key: tpm.privateKey, dsaEncoding: 'ieee-p1363' })
  const signature = encode(TPMT_SIGNATURE, {
    sigAlg: 'ecdsa',
    hash,
    signatureR: pair.subarray(0, 32),
    signatureS: pair.subarray(32),
  })
  return { quote, signature }
}

/** PCR 0 to 23 of a machine that measured this log and nothing else, in every bank of the log that can be replayed. */
export function pcrsOf(eventLog: Uint8Array, banks: readonly ReplayBank[] = ['sha1', 'sha256']): PcrValues {
  const log = parseEventLog(eventLog)
  return Object.fromEntries(
    banks.map((bank) => {
      const values = log.banks.includes(bank) ? replayEventLog(log, bank).values : new Map<number, Buffer>()
      const registers = Array.from({ length: 24 }, (_, pcr): [string, string] => {
        const initial = Buffer.alloc(HASHES[bank].size, pcr >= 17 && pcr <= 22 ? 0xff : 0)
        return [String(pcr), (values.get(pcr) ?? initial).toString('hex')]
      })
      return [bank, Object.fromEntries(registers)]
    }),
  )
}
