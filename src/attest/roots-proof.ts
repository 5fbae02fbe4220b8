import { decode, encode } from '../codec/index.ts'
import { toHex, TouchstoneError } from '../core/index.ts'
import type { ErrorCode } from '../core/index.ts'
import {
  agreementKeyTemplate,
  attestTypeOf,
  counterPublic,
  COUNTER_SIZE,
  digest,
  handleName,
  isOfTemplate,
  nameOf,
  nvNameOf,
  qualifiedName,
  qualifiedNameUnderEndorsement,
  signatureSchemeOf,
  spkiOf,
  storageRootTemplate,
  TPM2B_CREATION_DATA,
  TPM2B_PUBLIC,
  TPM_GENERATED_VALUE,
  TPM_RH,
  TPMS_ATTEST,
  TPMS_ATTEST_HEADER,
  TPMS_CREATION_DATA,
  TPMT_SIGNATURE,
  TPMT_SIGNATURE_HEADER,
  verifySignature,
} from '../tpm/index.ts'
import type { AttestType, TpmsAttest, TpmsClockInfo, TpmtPublic } from '../tpm/index.ts'
import { rootsBinding } from '../wire/index.ts'
import type { ReleaseRequest, RootsProof } from '../wire/index.ts'

export interface RootsProofInput {
  /** As the node enrolled them. */
  readonly ek: TpmtPublic
  readonly ak: TpmtPublic
  readonly ask: ReleaseRequest
  /** Of the quote that covers the request: fresh, because it covers the verifier's nonce. */
  readonly quoted: Pick<TpmsClockInfo, 'clock' | 'resetCount' | 'restartCount'>
}

/** Milliseconds of the TPM's clock from a proof to the quote that carries it: an evidence round may wait for others. */
const MAX_AGE_MS = 600_000n

/** What all storage roots are of; their parent is the owner's hierarchy. */
const NAME_ALG = 'sha256'

/** Names of parts, as messages have them. */
type Part = 'storage root' | 'release counter' | 'transport key'

/**
 * Whether the node's AK says, for this very request and in this boot, that its TPM holds what releases are signed for: a
 * storage root that the owner's seed makes, whose children cannot leave; the release counter, with the value claimed; and a
 * transport key under that root. A quote alone shows which system asks, and not that what it names is its own.
 *
 * Throws `release.proof_missing`; of each of the three `release.proof_magic`, `_type`, `_scheme`, `_signature`, `_signer`,
 * `_binding`, `_clock`; `release.storage_root_name`, `_template`, `_parent`; `release.counter_index`, `_contents`;
 * `release.transport_key_name`, `_template`, `_parent`; and `decode.*` for a structure that cannot be decoded.
 * TPM 2.0 Library Part 3, sections 18.2 (Certify), 18.3 (CertifyCreation), 31.16 (NV_Certify).
 */
export function checkRootsProof(input: RootsProofInput): void {
  const { ask } = input
  const { proof } = ask
  if (proof === undefined) throw new TouchstoneError('release.proof_missing')
  const root = checkStorageRoot(input, proof.storageRoot)
  checkCounter(input, proof.counter)
  checkTransportKey(input, proof.transportKey, root)
}

interface StorageRoot {
  readonly name: Buffer
  readonly qualifiedName: Buffer
}

function checkStorageRoot(input: RootsProofInput, proof: RootsProof['storageRoot']): StorageRoot {
  const part = 'storage root'
  const key = decode('proof.storageRoot.publicArea', TPM2B_PUBLIC, proof.publicArea)
  const { attested } = authentic(input, part, proof, 'certify')
  const name = nameOf(key)
  demand('release.storage_root_name', part, toHex(name), input.ask.storageRootName)
  demand('release.storage_root_name', part, toHex(name), toHex(attested.name))
  if (!isOfTemplate(key, storageRootTemplate())) throw new TouchstoneError('release.storage_root_template')
  const qualified = qualifiedName(handleName(TPM_RH.owner), NAME_ALG, name)
  demand('release.storage_root_parent', part, toHex(qualified), toHex(attested.qualifiedName))
  return { name, qualifiedName: qualified }
}

function checkCounter(input: RootsProofInput, proof: RootsProof['counter']): void {
  const part = 'release counter'
  const { attested } = authentic(input, part, proof, 'nv')
  // The Name covers index, attributes and size: it is this counter, and nothing that can be written.
  const name = toHex(nvNameOf(counterPublic('release', 'written')))
  demand('release.counter_index', part, name, input.ask.counterName)
  demand('release.counter_index', part, name, toHex(attested.indexName))
  const contents = Buffer.alloc(COUNTER_SIZE)
  contents.writeBigUInt64BE(BigInt(input.ask.counter))
  demand(
    'release.counter_contents',
    part,
    `${toHex(contents)} from 0`,
    `${toHex(attested.nvContents)} from ${attested.offset}`,
  )
}

/** TPM2_CertifyCreation, because using this key takes a secret that no release has opened yet at the first start. */
function checkTransportKey(input: RootsProofInput, proof: RootsProof['transportKey'], root: StorageRoot): void {
  const part = 'transport key'
  const key = decode('proof.transportKey.publicArea', TPM2B_PUBLIC, proof.publicArea)
  const creation = decode('proof.transportKey.creationData', TPM2B_CREATION_DATA, proof.creationData)
  const { attested } = authentic(input, part, proof, 'creation')
  demand('release.transport_key_name', part, toHex(nameOf(key)), toHex(attested.objectName))
  if (!isOfTemplate(key, agreementKeyTemplate())) throw new TouchstoneError('release.transport_key_template')
  demand('release.transport_key_name', part, toHex(spkiOf(key)), toHex(input.ask.transportKey))
  const hash = digest(NAME_ALG, encode(TPMS_CREATION_DATA, creation))
  demand('release.transport_key_parent', part, toHex(hash), toHex(attested.creationHash))
  demand('release.transport_key_parent', part, toHex(root.name), toHex(creation.parentName))
  demand('release.transport_key_parent', part, toHex(root.qualifiedName), toHex(creation.parentQualifiedName))
}

type Attested<T extends AttestType> = Extract<TpmsAttest, { type: T }>

/** An attestation of this type that the node's AK made in this boot for this request. */
function authentic<T extends AttestType>(
  { ek, ak, ask, quoted }: RootsProofInput,
  part: Part,
  { attest, signature }: { readonly attest: Uint8Array; readonly signature: Uint8Array },
  type: T,
): Attested<T> {
  const header = decode(`${part}: TPMS_ATTEST`, TPMS_ATTEST_HEADER, attest)
  demand('release.proof_magic', part, hexNumber(TPM_GENERATED_VALUE), hexNumber(header.magic))
  demand('release.proof_type', part, type, attestTypeOf(header.type) ?? hexNumber(header.type))
  requireSignature(ak, part, attest, signature)
  const said = decode(`${part}: TPMS_ATTEST`, TPMS_ATTEST, attest)
  demand('release.proof_signer', part, toHex(qualifiedNameUnderEndorsement(ek, ak)), toHex(said.qualifiedSigner))
  demand('release.proof_binding', part, toHex(rootsBinding(ask)), toHex(said.extraData))
  requireNow(part, quoted, said.clockInfo)
  if (!isOf(type, said)) throw new TouchstoneError('release.proof_type', part)
  return said
}

function isOf<T extends AttestType>(type: T, said: TpmsAttest): said is Attested<T> {
  return said.type === type
}

function requireSignature(ak: TpmtPublic, part: Part, attest: Uint8Array, signature: Uint8Array): void {
  const { sigAlg } = decode(`${part}: TPMT_SIGNATURE`, TPMT_SIGNATURE_HEADER, signature)
  if (signatureSchemeOf(sigAlg) === undefined) {
    throw new TouchstoneError('release.proof_scheme', `${part}: it is signed by the scheme ${hexNumber(sigAlg)}`)
  }
  const result = verifySignature(ak, attest, decode(`${part}: TPMT_SIGNATURE`, TPMT_SIGNATURE, signature))
  if (result.ok) return
  const code = result.code === 'tpm.signature_invalid' ? 'release.proof_signature' : 'release.proof_scheme'
  throw new TouchstoneError(code, `${part}: expected ${result.expected}, found ${result.actual}`)
}

/** The AK is in the endorsement hierarchy, whose attestations have the counters as they are (Part 1 section 36.7). */
function requireNow(part: Part, quoted: RootsProofInput['quoted'], made: TpmsClockInfo): void {
  const boot = ({ resetCount, restartCount }: RootsProofInput['quoted']) => `boot ${resetCount}.${restartCount}`
  demand('release.proof_clock', part, boot(quoted), boot(made))
  const age = quoted.clock - made.clock
  if (age >= 0n && age <= MAX_AGE_MS) return
  throw new TouchstoneError('release.proof_clock', `${part}: it was made ${age} ms before the quote`)
}

function demand(code: ErrorCode, part: Part, expected: string, actual: string): void {
  if (expected === actual) return
  throw new TouchstoneError(code, `${part}: expected ${expected}, found ${actual}`)
}

function hexNumber(value: number): string {
  return `0x${value.toString(16)}`
}
