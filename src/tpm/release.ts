import { createPublicKey, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { encode, u64 } from '../codec/index.ts'
import { equalBytes, fromBase64Url, fromHex, toBase64Url, toHex, TouchstoneError } from '../core/index.ts'
import type { ErrorCode } from '../core/index.ts'
import { digest } from './algorithms.ts'
import { objectAttributes } from './attributes.ts'
import { emptyPolicy, policyAuthorize, policyNv, policyPcr } from './policy-digest.ts'
import { nameOf } from './names.ts'
import type { TpmtPublicEcc } from './public-area.ts'
import { formatPcrSelection, parsePcrSelection } from './selection.ts'
import type { PcrSelection } from './selection.ts'

// A release is what the fleet allows one node to boot: a policy of a TPM, approved by a signature that the TPM itself
// checks (docs/adr/0009). All policies here are over SHA-256.

const HASH = 'sha256'
const FORMAT = 'touchstone/release/v1'

/** What a release states. */
export interface ReleaseTerms {
  /** Of the node: {@link releaseNodeRef}. */
  readonly nodeRef: Uint8Array
  /** Good as long as the release counter is at most this. */
  readonly release: number
  readonly pcrs: PcrSelection
  /** SHA-256 over the values of these registers: {@link pcrDigestOf}. */
  readonly pcrDigest: Uint8Array
  /** Name of the release counter, with TPMA_NV_WRITTEN set. */
  readonly counterName: Uint8Array
}

/** The text of a release, as `release` of src/wire declares it. */
export interface ReleaseText {
  readonly format: typeof FORMAT
  readonly nodeRef: string
  readonly release: number
  readonly pcrs: string
  readonly pcrDigest: string
  readonly counter: string
  readonly policy: string
  readonly publicKey: string
  readonly signature: string
  readonly description?: string | undefined
}

/** The policy reference of the node with this storage root: it makes a signature for one node worthless on all others. */
export function releaseNodeRef(storageRootName: Uint8Array): Buffer {
  return digest(HASH, Buffer.from('touchstone release v1', 'ascii'), storageRootName)
}

/** The approved policy: these registers, and a release counter that has not gone further. */
export function releasePolicyDigest({ release, pcrs, pcrDigest, counterName }: ReleaseTerms): Buffer {
  const registers = policyPcr(HASH, emptyPolicy(HASH), pcrs, pcrDigest)
  const operandB = releaseOperand(release)
  return policyNv(HASH, registers, { nvName: counterName, operandB, offset: 0, operation: 'unsigned_le' })
}

/** The number of a release as PolicyNV compares it with the counter. */
export function releaseOperand(release: number): Buffer {
  return encode(u64, BigInt(release))
}

/**
 * The release key as every node loads it: its Name is in the policy of all that is sealed, so nothing in this template may
 * ever change. Throws `release.key` for anything but a P-256 key in a DER SubjectPublicKeyInfo.
 */
export function releaseKeyPublic(spki: Uint8Array): TpmtPublicEcc {
  const { x = '', y = '' } = importKey(spki).export({ format: 'jwk' })
  const coordinate = (text: string) => fromBase64Url(text) ?? Buffer.alloc(0)
  return {
    type: 'ecc',
    nameAlg: HASH,
    objectAttributes: objectAttributes('userWithAuth', 'noDA', 'sign'),
    authPolicy: Buffer.alloc(0),
    parameters: {
      symmetric: { algorithm: 'null' },
      scheme: { scheme: 'ecdsa', hashAlg: HASH },
      curveID: 'nist_p256',
      kdf: { scheme: 'null' },
    },
    unique: { x: coordinate(x), y: coordinate(y) },
  }
}

/** The policy of what is sealed: whatever the release key approves for this node. */
export function sealedPolicyDigest(releaseKey: Uint8Array, nodeRef: Uint8Array): Buffer {
  return policyAuthorize(HASH, nameOf(releaseKeyPublic(releaseKey)), nodeRef)
}

/** What the release key signs, with ECDSA and SHA-256. */
export function releaseMessage(policy: Uint8Array, nodeRef: Uint8Array): Buffer {
  return Buffer.concat([policy, nodeRef])
}

/**
 * Makes a release. `sign` answers ECDSA with SHA-256 over the message as r and s (IEEE P1363, 64 bytes), wherever the key
 * is; what it answers is verified. Throws `release.key`, `release.signature`, `release.terms`.
 */
export async function signRelease(
  terms: ReleaseTerms,
  signer: { readonly publicKey: Uint8Array; readonly sign: (message: Buffer) => Promise<Buffer> | Buffer },
  description?: string,
): Promise<ReleaseText> {
  if (!Number.isSafeInteger(terms.release) || terms.release < 1) {
    throw new TouchstoneError('release.terms', `${terms.release} is not the number of a release`)
  }
  const policy = releasePolicyDigest(terms)
  const message = releaseMessage(policy, terms.nodeRef)
  const signature = await signer.sign(message)
  const made = {
    format: FORMAT,
    nodeRef: toHex(terms.nodeRef),
    release: terms.release,
    pcrs: formatPcrSelection(terms.pcrs),
    pcrDigest: toHex(terms.pcrDigest),
    counter: toHex(terms.counterName),
    policy: toHex(policy),
    publicKey: toBase64Url(signer.publicKey),
    signature: toBase64Url(signature),
    ...(description === undefined ? {} : { description }),
  } as const
  checkRelease(made, signer.publicKey)
  return made
}

/** Whose releases are accepted; `node` where only those of one node are. */
export interface ReleaseNode {
  readonly nodeRef: Uint8Array
  readonly counterName: Uint8Array
}

/**
 * Checks that a release is signed by `releaseKey`, that its policy is the one of its terms, and that it is for `node`.
 * Answers its terms. Throws `release.terms`, `release.policy`, `release.key`, `release.signature`, `release.other_node`,
 * `release.other_counter`.
 */
export function checkRelease(untrusted: ReleaseText, releaseKey: Uint8Array, node?: ReleaseNode): ReleaseTerms {
  const key = importKey(releaseKey)
  const terms = termsOf(untrusted)
  require(equalText(untrusted.publicKey, releaseKey), 'release.key')
  const policy = releasePolicyDigest(terms)
  require(untrusted.policy === toHex(policy), 'release.policy')
  const signature = fromBase64Url(untrusted.signature) ?? Buffer.alloc(0)
  const message = releaseMessage(policy, terms.nodeRef)
  require(verify(HASH, message, { key, dsaEncoding: 'ieee-p1363' }, signature), 'release.signature')
  if (node !== undefined) {
    require(equalBytes(terms.nodeRef, node.nodeRef), 'release.other_node')
    require(equalBytes(terms.counterName, node.counterName), 'release.other_counter')
  }
  return terms
}

function termsOf(untrusted: ReleaseText): ReleaseTerms {
  const pcrs = parsePcrSelection(untrusted.pcrs)
  // One spelling for one set, and at least one register: a policy over none would hold for every boot.
  require(formatPcrSelection(pcrs) === untrusted.pcrs &&
    pcrs.every(({ pcrs: registers }) => registers.length > 0), 'release.terms')
  const bytes = (hex: string) => {
    const value = fromHex(hex)
    if (value === undefined) throw new TouchstoneError('release.terms')
    return value
  }
  return {
    nodeRef: bytes(untrusted.nodeRef),
    release: untrusted.release,
    pcrs,
    pcrDigest: bytes(untrusted.pcrDigest),
    counterName: bytes(untrusted.counter),
  }
}

function importKey(spki: Uint8Array): KeyObject {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key
  } catch (cause) {
    throw new TouchstoneError('release.key', 'the release key cannot be read', { cause })
  }
  throw new TouchstoneError('release.key', 'the release key is not a P-256 key')
}

function equalText(text: string, bytes: Uint8Array): boolean {
  const other = fromBase64Url(text)
  return other !== undefined && equalBytes(other, bytes)
}

function require(holds: boolean, code: ErrorCode): void {
  if (!holds) throw new TouchstoneError(code)
}
