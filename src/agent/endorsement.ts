import { readEkCertificate } from '../ca/index.ts'
import { decode } from '../codec/index.ts'
import { isTouchstoneError, TouchstoneError } from '../core/index.ts'
import {
  createEk,
  EK_PREFERENCE,
  readEndorsementMaterial,
  type EkKind,
  type LoadedEk,
  type TpmTools,
} from '../device/index.ts'
import { spkiOf, TPM2B_PUBLIC, type TpmtPublic } from '../tpm/index.ts'
import { LIMITS } from '../wire/index.ts'

/** The node's EK, made from its template, with what the TPM's manufacturer left about it. */
export interface Endorsement {
  readonly ek: LoadedEk
  readonly ekPublic: TpmtPublic
  /** DER SubjectPublicKeyInfo. */
  readonly ekSpki: Buffer
  /** DER; absent where the TPM carries none that can be read. */
  readonly certificate: Buffer | undefined
  /** Intermediates from the TPM, DER. */
  readonly chain: readonly Buffer[]
}

/** Where no certificate decides: the two templates that every PC Client TPM has. */
const WITHOUT_CERTIFICATE: readonly EkKind[] = ['L-1', 'L-2']

/**
 * The EK of that kind, or the best one: the first in order of preference whose certificate in NV is for the key that the
 * TPM makes from the template. A certificate for another key is passed over as long as there is a better choice; the
 * verifier judges what is sent.
 */
export async function openEndorsement(tools: TpmTools, wanted: EkKind | undefined): Promise<Endorsement> {
  const material = await readEndorsementMaterial(tools)
  const certificates = new Map<EkKind, Certified>()
  for (const { kind, content } of material.certificates) {
    const certificate = readable(content)
    if (certificate !== undefined) certificates.set(kind, certificate)
  }
  const chain = splitDer(material.chain)
  const kinds = wanted === undefined ? [...certificates.keys(), ...WITHOUT_CERTIFICATE, ...EK_PREFERENCE] : [wanted]
  let second: Endorsement | undefined
  for (const kind of new Set(kinds)) {
    const ek = await creatable(tools, kind, wanted !== undefined)
    if (ek === undefined) continue
    const ekPublic = decode('TPM2B_PUBLIC', TPM2B_PUBLIC, ek.publicArea)
    const ekSpki = spkiOf(ekPublic)
    const certificate = certificates.get(kind)
    const found = { ek, ekPublic, ekSpki, certificate: certificate?.der, chain }
    if (certificate === undefined || certificate.spki.equals(ekSpki)) return found
    second ??= found
  }
  if (second === undefined) throw new TouchstoneError('device.tpm', 'the TPM makes an EK from none of the templates')
  return second
}

interface Certified {
  readonly der: Buffer
  readonly spki: Buffer
}

function readable(content: Buffer): Certified | undefined {
  try {
    const { der, spki } = readEkCertificate(content).certificate
    return der.byteLength > LIMITS.certificate ? undefined : { der, spki }
  } catch (error) {
    if (isTouchstoneError(error)) return undefined
    throw error
  }
}

/** A TPM that lacks an algorithm refuses; with one template asked for by name that is the answer. */
async function creatable(tools: TpmTools, kind: EkKind, isWanted: boolean): Promise<LoadedEk | undefined> {
  try {
    return await createEk(tools, kind)
  } catch (error) {
    if (!isWanted && isTouchstoneError(error, 'device.tpm')) return undefined
    throw error
  }
}

/** Concatenated DER certificates; what is not a SEQUENCE with a two-byte length ends the list (padding, mostly). */
export function splitDer(bytes: Buffer): readonly Buffer[] {
  const parts: Buffer[] = []
  let at = 0
  while (bytes.byteLength - at > 4 && bytes.readUInt16BE(at) === 0x3082 && parts.length < LIMITS.certificateChain) {
    const end = at + 4 + bytes.readUInt16BE(at + 2)
    if (end > bytes.byteLength || end - at > LIMITS.certificate) break
    parts.push(bytes.subarray(at, end))
    at = end
  }
  return parts
}
