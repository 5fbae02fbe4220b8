import { view } from '../core/index.ts'
import { hashNameOf, MAX_DIGEST_SIZE, TPM_ALG } from './algorithms.ts'
import { TPM_ST_ATTEST } from './attest.ts'
import type { TpmsAttest } from './attest.ts'
import { MAX_ECC_BYTES, MAX_NAME_SIZE, MAX_RSA_BYTES } from './primitives.ts'
import { MAX_BANKS, MAX_SELECT_SIZE, USUAL_SELECT_SIZE } from './selection.ts'
import type { PcrBankSelection } from './selection.ts'
import type { TpmtSignature } from './signature.ts'

// A verifier reads a quote and a signature for every attestation of every node, beside an RSA verification that takes
// 17 us. The codecs, which know no structure by heart, take a tenth of that; these two know theirs. They read what is
// without a fault, exactly as the codecs do, and leave everything else to them: a test holds them together.

/** A TPMS_ATTEST of type quote. */
export type TpmsQuote = Extract<TpmsAttest, { type: 'quote' }>

const TYPE_AT = 4
const SIGNER_AT = 6
/** clock, resetCount, restartCount, safe, firmwareVersion, and the count of banks. */
const FIXED = 8 + 4 + 4 + 1 + 8 + 4

/** What the codec TPMS_ATTEST reads, where the bytes are a quote without a fault; else `undefined`. */
export function readWellFormedQuote(bytes: Uint8Array): TpmsQuote | undefined {
  const buffer = view(bytes)
  const size = buffer.byteLength
  if (size < SIGNER_AT + 2 || buffer.readUInt16BE(TYPE_AT) !== TPM_ST_ATTEST.quote) return undefined
  const signerSize = buffer.readUInt16BE(SIGNER_AT)
  const dataSizeAt = SIGNER_AT + 2 + signerSize
  if (signerSize > MAX_NAME_SIZE || size < dataSizeAt + 2) return undefined
  const dataSize = buffer.readUInt16BE(dataSizeAt)
  const clockAt = dataSizeAt + 2 + dataSize
  if (dataSize > MAX_NAME_SIZE || size < clockAt + FIXED) return undefined
  const safe = buffer[clockAt + 16]
  const count = buffer.readUInt32BE(clockAt + 25)
  if (safe === undefined || safe > 1 || count > MAX_BANKS) return undefined
  const pcrSelect: PcrBankSelection[] = []
  let at = clockAt + FIXED
  for (let bank = 0; bank < count; bank++) {
    const sizeofSelect = buffer[at + 2]
    if (sizeofSelect === undefined || sizeofSelect > MAX_SELECT_SIZE || size < at + 3 + sizeofSelect) return undefined
    const hash = hashNameOf(buffer.readUInt16BE(at))
    if (hash === undefined) return undefined
    const pcrs = registersOf(buffer, at + 3, sizeofSelect)
    pcrSelect.push(sizeofSelect === USUAL_SELECT_SIZE ? { hash, pcrs } : { hash, pcrs, sizeofSelect })
    at += 3 + sizeofSelect
  }
  if (size < at + 2) return undefined
  const digestSize = buffer.readUInt16BE(at)
  if (digestSize > MAX_DIGEST_SIZE || size !== at + 2 + digestSize) return undefined
  return {
    magic: buffer.readUInt32BE(0),
    type: 'quote',
    qualifiedSigner: buffer.subarray(SIGNER_AT + 2, dataSizeAt),
    extraData: buffer.subarray(dataSizeAt + 2, clockAt),
    clockInfo: {
      clock: buffer.readBigUInt64BE(clockAt),
      resetCount: buffer.readUInt32BE(clockAt + 8),
      restartCount: buffer.readUInt32BE(clockAt + 12),
      safe: safe === 1,
    },
    firmwareVersion: buffer.readBigUInt64BE(clockAt + 17),
    attested: { pcrSelect, pcrDigest: buffer.subarray(at + 2) },
  }
}

/** By bitmap: a fleet is asked for few selections. What nodes make up beyond that is not kept. */
const selections = new Map<number, readonly number[]>()
const MAX_SELECTIONS = 256

function registersOf(buffer: Buffer, at: number, size: number): readonly number[] {
  const bitmap = size === 0 ? 0 : buffer.readUIntLE(at, size)
  const known = selections.get(bitmap)
  if (known !== undefined) return known
  const pcrs: number[] = []
  for (let pcr = 0; pcr < 8 * size; pcr++) if ((bitmap >>> pcr) & 1) pcrs.push(pcr)
  if (selections.size < MAX_SELECTIONS) selections.set(bitmap, pcrs)
  return pcrs
}

/**
 * What the codec TPMT_SIGNATURE reads, where the bytes are a signature by RSASSA, RSAPSS or ECDSA without a fault; else
 * `undefined`.
 */
export function readWellFormedSignature(bytes: Uint8Array): TpmtSignature | undefined {
  const buffer = view(bytes)
  const size = buffer.byteLength
  if (size < 6) return undefined
  const scheme = buffer.readUInt16BE(0)
  const hash = hashNameOf(buffer.readUInt16BE(2))
  const first = buffer.readUInt16BE(4)
  const end = 6 + first
  if (hash === undefined || size < end) return undefined
  if (scheme === TPM_ALG.ecdsa) {
    if (first > MAX_ECC_BYTES || size < end + 2) return undefined
    const second = buffer.readUInt16BE(end)
    if (second > MAX_ECC_BYTES || size !== end + 2 + second) return undefined
    return { sigAlg: 'ecdsa', hash, signatureR: buffer.subarray(6, end), signatureS: buffer.subarray(end + 2) }
  }
  if (first > MAX_RSA_BYTES || size !== end) return undefined
  if (scheme === TPM_ALG.rsassa) return { sigAlg: 'rsassa', hash, sig: buffer.subarray(6) }
  if (scheme === TPM_ALG.rsapss) return { sigAlg: 'rsapss', hash, sig: buffer.subarray(6) }
  return undefined
}
