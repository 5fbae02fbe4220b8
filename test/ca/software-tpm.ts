import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { encode } from '../../src/codec/index.ts'
import {
  nameOf,
  qualifiedNameUnderEndorsement,
  TPM_GENERATED_VALUE,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
  type TpmaObject,
  type TpmsAttest,
  type TpmtPublicEcc,
} from '../../src/tpm/index.ts'

/** A key of a TPM that can lie in every field, which no real one can be made to do. */
export interface SoftwareKey {
  readonly pub: TpmtPublicEcc
  readonly privateKey: KeyObject
}

const NO_ATTRIBUTES: TpmaObject = {
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

const COMMON = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'noDA', 'sign'] as const
export const AK_ATTRIBUTES: readonly (keyof TpmaObject)[] = [...COMMON, 'restricted']
export const DEVICE_ATTRIBUTES: readonly (keyof TpmaObject)[] = COMMON

export function attributes(names: readonly (keyof TpmaObject)[]): TpmaObject {
  return names.reduce<TpmaObject>((all, name) => ({ ...all, [name]: true }), NO_ATTRIBUTES)
}

export function softwareKey(names: readonly (keyof TpmaObject)[]): SoftwareKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = privateKey.export({ format: 'jwk' })
  return {
    privateKey,
    pub: {
      type: 'ecc',
      nameAlg: 'sha256',
      objectAttributes: attributes(names),
      authPolicy: Buffer.alloc(0),
      parameters: {
        symmetric: { algorithm: 'null' },
        scheme: { scheme: 'ecdsa', hashAlg: 'sha256' },
        curveID: 'nist_p256',
        kdf: { scheme: 'null' },
      },
      unique: { x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') },
    },
  }
}

export interface Attestation {
  readonly ek: TpmtPublicEcc
  readonly ak: SoftwareKey
  readonly extraData: Buffer
}

const CLOCK = { clock: 1000n, resetCount: 7, restartCount: 0, safe: true } as const

/** What all attestations of one boot share. */
export function attestHeader({ ek, ak, extraData }: Attestation) {
  return {
    magic: TPM_GENERATED_VALUE,
    qualifiedSigner: qualifiedNameUnderEndorsement(ek, ak.pub),
    extraData,
    clockInfo: CLOCK,
    firmwareVersion: 0x20191023n,
  }
}

export function creationOf(device: TpmtPublicEcc, attestation: Attestation): TpmsAttest {
  const attested = { objectName: nameOf(device), creationHash: Buffer.alloc(32, 1) }
  return { ...attestHeader(attestation), type: 'creation', attested }
}

export function quoteOf(attestation: Attestation): TpmsAttest {
  const attested = { pcrSelect: [{ hash: 'sha256', pcrs: [0, 1] }], pcrDigest: Buffer.alloc(32, 2) } as const
  return { ...attestHeader(attestation), type: 'quote', attested }
}

/** The bytes of an attestation and of its signature by `key`. */
export function attested(attest: TpmsAttest, key: SoftwareKey): { readonly bytes: Buffer; readonly signature: Buffer } {
  const bytes = encode(TPMS_ATTEST, attest)
  const pair = sign('sha256', bytes, { key: key.privateKey, dsaEncoding: 'ieee-p1363' })
  const halves = { signatureR: pair.subarray(0, 32), signatureS: pair.subarray(32) }
  return { bytes, signature: encode(TPMT_SIGNATURE, { sigAlg: 'ecdsa', hash: 'sha256', ...halves }) }
}
