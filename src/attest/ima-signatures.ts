import { hash as oneShot, verify } from 'node:crypto'
import { readImaSignature, readPortableSignature } from '../eventlog/index.ts'
import type { ImaSignature } from '../eventlog/index.ts'
import type { JsonValue } from '../core/index.ts'
import { digest as hashOf } from '../tpm/index.ts'
import { readAppendedSignature } from './appended-signature.ts'
import type { AppendedSignature } from './appended-signature.ts'
import type { Found, JudgedEntry } from './ima-entry.ts'
import { digestBytes, fieldOf } from './ima-entry.ts'
import type { ImaKey, ImaKeys } from './ima-keys.ts'
import { isMeasuredContent, readPortableEntry } from './portable-signature.ts'
import { verifiesDigest } from './prehashed-signature.ts'

/** Why a file does not count as signed. */
export type Unsigned = Pick<Found, 'code' | 'actual'>

/** A signature that is said to be over the file of an entry. */
interface Claimed {
  readonly candidates: readonly ImaKey[]
  /** How it names its key, for people. */
  readonly signer: JsonValue
  /** What is verified, all of it but the key. */
  readonly parts: readonly Uint8Array[]
  readonly verifiedBy: (key: ImaKey) => boolean
}

/**
 * What signatures of one reading may cost, in tens of microseconds: a log of garbage under a known key id would otherwise
 * cost half a millisecond for each entry. Two seconds; what was verified is remembered, so that the next reading gets further.
 */
const BUDGET = 200_000
const COSTS: Readonly<Record<string, number>> = { prime256v1: 50, secp384r1: 400 }
const RSA_COST = 4
const MAX_VERIFIED = 50_000

/**
 * Which signatures are good, by a digest of all that decides it: the nodes of a fleet run the same files, and one of them
 * may write what is as long as it likes.
 */
const verified = new Map<string, boolean>()

/**
 * Whether one of the keys signed the file of an entry: in its attribute `security.ima`, with what is appended to it, or in
 * a portable `security.evm`, as far as the template measures that. The reason is that of the first which is one at all.
 */
export function signatureJudge(keys: ImaKeys): (entry: JudgedEntry) => true | Unsigned {
  let budget = BUDGET
  const judge = (claimed: Claimed | Unsigned): true | Unsigned => {
    if (!('candidates' in claimed)) return claimed
    const { candidates, signer, parts, verifiedBy } = claimed
    if (candidates.length === 0) return { code: 'ima.signature_key', actual: signer }
    for (const key of candidates) {
      const name = nameOf(key, parts)
      let isGood = verified.get(name)
      if (isGood === undefined) {
        budget -= costOf(key)
        if (budget < 0) return { code: 'ima.signatures_too_many' }
        isGood = verifiedBy(key)
        if (verified.size >= MAX_VERIFIED) verified.clear()
        verified.set(name, isGood)
      }
      if (isGood) return true
    }
    return { code: 'ima.signature', actual: { keys: candidates.map((key) => key.name) } }
  }

  return (entry) => {
    let why: Unsigned = UNSIGNED
    for (const claimed of claimedBy(entry, keys)) {
      const said = judge(claimed)
      if (said === true) return true
      if (why.code === UNSIGNED.code) why = said
    }
    return why
  }
}

/** Each part with its size, so that no two lists of parts have one name. */
function nameOf({ spkiSha256 }: ImaKey, parts: readonly Uint8Array[]): string {
  const sizes = parts.map(({ byteLength }) => byteLength).join()
  return oneShot('sha256', Buffer.concat([Buffer.from(`${spkiSha256} ${sizes} `), ...parts]), 'binary')
}

const UNSIGNED: Unsigned = { code: 'ima.unsigned' }

function* claimedBy(entry: JudgedEntry, keys: ImaKeys): Generator<Claimed | Unsigned> {
  const vouched = entry.cursor.template?.vouched
  if (vouched === 'portable') {
    yield* portable(entry, keys)
    return
  }
  yield ofContent(entry, keys, entry.field)
  if (vouched === 'appended') yield appended(entry, keys)
}

function unsupported(reason: string): Unsigned {
  return { code: 'ima.signature_form', actual: reason }
}

/** `security.ima`: over the digest that was measured, by the same algorithm. */
function ofContent({ digest }: JudgedEntry, keys: ImaKeys, field: Buffer): Claimed | Unsigned {
  const signature = readImaSignature(field)
  if (signature.kind === 'none') return UNSIGNED
  if (signature.kind === 'unsupported') return unsupported(signature.reason)
  const { version, digestType, hash, prefix, signature: bytes } = signature
  const isOfDigest = digest.startsWith(digestType === 'verity' ? `verity:${hash}:\0` : `${hash}:\0`)
  const measured = digestBytes(digest)
  return claim(signature, keys, Buffer.from(digest, 'latin1'), ({ key }) =>
    !isOfDigest
      ? false
      : version === 2
        ? verifiesDigest(key, hash, measured, bytes)
        : verify(hash, Buffer.concat([prefix, measured]), key, bytes),
  )
}

type Signature = Extract<ImaSignature, { kind: 'signature' }>

function claim(
  { keyId, version, prefix, signature }: Signature,
  keys: ImaKeys,
  what: Buffer,
  verifiedBy: Claimed['verifiedBy'],
): Claimed {
  const parts = [Buffer.from([version]), prefix, what, signature]
  return { candidates: keys.byId.get(keyId) ?? [], signer: { keyId }, parts, verifiedBy }
}

/** Places of `d-modsig` and `modsig` in their template. */
const CONTENT_DIGEST = 3
const APPENDED = 4

/**
 * `modsig`: the kernel cuts the signature off and measures the digest of the rest, or of the signed attributes where there
 * are some, once it has seen that they name the rest.
 */
function appended(entry: JudgedEntry, keys: ImaKeys): Claimed | Unsigned {
  const field = fieldOf(entry, APPENDED)
  if (field.byteLength === 0) return UNSIGNED
  const read = readAppendedSignature(field)
  if (typeof read === 'string') return unsupported(read)
  const { hash, keyType, signer, signature } = read
  const measured = fieldOf(entry, CONTENT_DIGEST)
  const label = Buffer.from(`${hash}:\0`)
  const isOfHash = measured.subarray(0, label.byteLength).equals(label)
  const signed = isOfHash ? signedDigest(read, measured.subarray(label.byteLength)) : undefined
  return {
    candidates: keys.all.filter((key) => key.key.asymmetricKeyType === keyType && isNamed(key, signer)),
    signer,
    parts: [measured, field],
    verifiedBy: ({ key }) => signed !== undefined && verifiesDigest(key, hash, signed, signature),
  }
}

function signedDigest({ attributes }: AppendedSignature, measured: Buffer): Buffer | undefined {
  if (attributes === undefined) return measured
  return attributes.digest.equals(measured) || attributes.content.equals(measured) ? attributes.digest : undefined
}

/** A bare public key has no issuer: any signature may be its. */
function isNamed({ keyIds, issuerSerial }: ImaKey, signer: AppendedSignature['signer']): boolean {
  if ('keyId' in signer) return keyIds.includes(signer.keyId)
  return issuerSerial === undefined || issuerSerial === signer.issuerSerial
}

/** `security.evm` with `security.ima` in what it covers, or the signature that this is. */
function* portable(entry: JudgedEntry, keys: ImaKeys): Generator<Claimed | Unsigned> {
  const read = readPortableEntry(entry)
  if (typeof read === 'string') {
    yield unsupported(read)
    return
  }
  const { evm, ima, signed } = read
  const signature = readPortableSignature(evm)
  if (ima !== undefined && isMeasuredContent(ima, entry)) {
    if (signature.kind === 'none') return
    if (signature.kind === 'unsupported') yield unsupported(signature.reason)
    else yield ofInode(signature, keys, signed)
  } else if (ima !== undefined && readImaSignature(ima).kind === 'signature') yield ofContent(entry, keys, ima)
  else if (signature.kind !== 'none')
    yield unsupported('a portable EVM signature over another content than was measured')
}

function ofInode(signature: Signature, keys: ImaKeys, signed: readonly Buffer[]): Claimed {
  const { hash, signature: bytes } = signature
  const digests = signed.map((each) => hashOf(hash, each))
  return claim(signature, keys, Buffer.concat(digests), ({ key }) =>
    digests.some((digest) => verifiesDigest(key, hash, digest, bytes)),
  )
}

function costOf({ key }: ImaKey): number {
  return COSTS[key.asymmetricKeyDetails?.namedCurve ?? ''] ?? RSA_COST
}
