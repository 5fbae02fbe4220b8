import { createHash, createHmac } from 'node:crypto'
import type { EvidenceRequest, ImaPart } from './attestation.ts'
import type { RootsClaim } from './issue-request.ts'
import { PCR_BANKS, type PcrBank } from './pcr-banks.ts'

/**
 * SHA-256 over a label and fields, each preceded by its length in 4 bytes, so that no two different lists of fields
 * have one encoding. Node and verifier compute these independently; what differs anywhere differs here.
 */
function transcript(label: string, fields: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256')
  for (const field of [Buffer.from(label, 'ascii'), ...fields]) {
    const size = Buffer.alloc(4)
    size.writeUInt32BE(field.byteLength)
    hash.update(size).update(field)
  }
  return hash.digest()
}

export interface OnboardingBinding {
  readonly session: string
  /** DER SubjectPublicKeyInfo of the EK. */
  readonly ekSpki: Uint8Array
  readonly akName: Uint8Array
  readonly deviceKeyName: Uint8Array
  /** The PKCS#10 request, DER. */
  readonly request: Uint8Array
  readonly eventLog: Uint8Array
  /** Empty where the node has no IMA log. */
  readonly imaLog: Uint8Array
  /** Whether the IMA log goes on behind that. */
  readonly imaMore?: boolean | undefined
  /** systemd's; absent where the node has none: then the binding is what it was before there was such a field. */
  readonly userspaceLog?: Uint8Array | undefined
  readonly model: string
  readonly serial: string
  /** The PCR banks that the node said its TPM implements, in any order: what is asked for goes by them. */
  readonly pcrBanks: readonly PcrBank[]
}

/** The qualifying data of certification and quote in onboarding: 32 bytes. */
export function onboardingBinding(parts: OnboardingBinding): Buffer {
  return transcript('touchstone onboarding v1', [
    Buffer.from(parts.session, 'ascii'),
    parts.ekSpki,
    parts.akName,
    parts.deviceKeyName,
    parts.request,
    sha256(parts.eventLog),
    sha256(parts.imaLog),
    Buffer.from(parts.model, 'ascii'),
    Buffer.from(parts.serial, 'ascii'),
    Buffer.from(PCR_BANKS.filter((bank) => parts.pcrBanks.includes(bank)).join(','), 'ascii'),
    ...(parts.imaMore === true ? [Buffer.from('ima more', 'ascii')] : []),
    ...userspaceFields(parts.userspaceLog),
  ])
}

/** Proof that the secret was activated, for this binding and no other. */
export function onboardingProof(secret: Uint8Array, binding: Uint8Array): Buffer {
  return createHmac('sha256', secret).update(binding).digest()
}

/**
 * The qualifying data of a quote in attestation: the verifier's nonce, and what the node asks for with it. What its
 * broker obtains follows as two fields more, kind and bytes, how the result is spelled as three more, which part of the
 * IMA log comes along as another three, and the log of systemd as two; evidence without is what it always was, and no list
 * of fields can be read as another.
 */
export function evidenceQualifyingData(
  nonce: Uint8Array,
  request: EvidenceRequest,
  ima?: CarriedIma,
  userspaceLog?: Uint8Array,
): Buffer {
  const { renewal, audience, relyingPartyNonce, obtain, result } = request
  return transcript('touchstone attestation v1', [
    nonce,
    renewal ?? Buffer.alloc(0),
    Buffer.from(audience ?? '', 'utf8'),
    Buffer.from(relyingPartyNonce ?? '', 'utf8'),
    ...(obtain === undefined ? [] : [Buffer.from(obtain.kind, 'ascii'), obtain.request]),
    ...(result === undefined ? [] : ['result', result.profile ?? '', result.format].map((text) => Buffer.from(text))),
    ...(ima === undefined ? [] : imaFields(ima)),
    ...userspaceFields(userspaceLog),
  ])
}

function userspaceFields(log: Uint8Array | undefined): Buffer[] {
  return log === undefined ? [] : [Buffer.from('userspace', 'ascii'), sha256(log)]
}

/** The part of an IMA log that travels with a quote. */
export interface CarriedIma {
  readonly part: ImaPart
  /** The bytes that come along; what of them is behind `part.quoted` was measured after the quote was asked for. */
  readonly log: Uint8Array
}

function imaFields({ part: { known = '', quoted, more }, log }: CarriedIma): Buffer[] {
  const place = `${known}:${quoted}:${more ? 'more' : 'end'}`
  return [Buffer.from('ima', 'ascii'), Buffer.from(place, 'ascii'), sha256(log.subarray(0, quoted))]
}

export interface KeyBinding {
  readonly tenant: string
  readonly name: string
  readonly version: number
  /** Given by whoever is to be convinced. */
  readonly nonce: Uint8Array
}

/**
 * The qualifying data of an app key's certification. The node's AK also certifies in onboarding; with a label of its
 * own, no nonce that an app chooses makes the one statement pass for the other.
 */
export function keyQualifyingData({ tenant, name, version, nonce }: KeyBinding): Buffer {
  return transcript('touchstone app key v1', [
    Buffer.from(tenant, 'ascii'),
    Buffer.from(name, 'ascii'),
    Buffer.from(String(version), 'ascii'),
    nonce,
  ])
}

/** The qualifying data of what the node's AK says of its roots: for this claim and no other. */
export function rootsBinding(claim: RootsClaim): Buffer {
  const { nodeRef, storageRootName, counterName, counter, pcrs, transportKey } = claim
  const text = [nodeRef, storageRootName, counterName, String(counter), pcrs].map((field) =>
    Buffer.from(field, 'ascii'),
  )
  return transcript('touchstone node roots v1', [...text, transportKey])
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
