import { createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { equalBytes, isTouchstoneError, toHex, TouchstoneError } from '../core/index.ts'
import type { Check } from '../core/index.ts'
import { qualifiedNameUnderEndorsement, readPublicArea } from '../tpm/index.ts'
import type { TpmaObject, TpmtPublic } from '../tpm/index.ts'
import { fail, indeterminate, judge, pass, warn } from './outcome.ts'

/**
 * The key that is said to have signed: its TPM2B_PUBLIC, the same decoded, or a PEM, of which nothing but the public
 * key can be seen.
 */
export type AttestationKeyInput =
  { readonly public: Uint8Array } | { readonly decoded: TpmtPublic } | { readonly pem: string }

/** Whether the verifier knows the key as that of the node it appraises. */
export type Enrolment = 'enrolled' | 'revoked' | 'unknown'

export type AttestationKey =
  | { readonly kind: 'tpm'; readonly pub: TpmtPublic }
  | { readonly kind: 'bare'; readonly key: KeyObject }
  /** It decodes up to a field whose value no key may have. */
  | { readonly kind: 'unreadable'; readonly field: 'attributes' | 'scheme'; readonly problem: string }

/** Throws `decode.*` for what is no TPM2B_PUBLIC at all, and `ak.pem`. */
export function readAttestationKey(input: AttestationKeyInput): AttestationKey {
  if ('pem' in input) return { kind: 'bare', key: readPem(input.pem) }
  if ('decoded' in input) return { kind: 'tpm', pub: input.decoded }
  try {
    return { kind: 'tpm', pub: readPublicArea('TPM2B_PUBLIC', input.public) }
  } catch (error) {
    if (!isTouchstoneError(error, 'decode.value')) throw error
    const path = String(error.details['path'])
    if (path.includes('objectAttributes')) return { kind: 'unreadable', field: 'attributes', problem: error.message }
    if (path.includes('parameters.scheme')) return { kind: 'unreadable', field: 'scheme', problem: error.message }
    throw error
  }
}

function readPem(pem: string): KeyObject {
  if (!pem.includes('-----BEGIN PUBLIC KEY-----')) throw new TouchstoneError('ak.pem')
  try {
    return createPublicKey(pem)
  } catch (cause) {
    throw new TouchstoneError('ak.pem', undefined, { cause })
  }
}

/** A key that signs what the TPM itself made, was made in that TPM, and never leaves it (Part 1 section 31.3). */
const REQUIRED = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign'] as const
const FORBIDDEN = ['decrypt'] as const

/**
 * `ak.attributes`, `ak.qualified-name` (with an EK), `ak.enrolled`. `signer` is the quote's qualifiedSigner, where the
 * quote could be read. The attributes are those of the public area given here: only enrolment, or the qualified Name,
 * ties that to the TPM.
 */
export function checkAttestationKey(
  key: AttestationKey,
  enrolment: Enrolment,
  ek: TpmtPublic | undefined,
  signer: Uint8Array | undefined,
): Check[] {
  return [
    checkAttributes(key),
    ...(ek === undefined ? [] : [checkQualifiedName(key, ek, signer)]),
    checkEnrolment(enrolment),
  ]
}

function checkAttributes(key: AttestationKey): Check {
  const name = 'ak.attributes'
  const expected = [...REQUIRED, ...FORBIDDEN.map((attribute) => `not ${attribute}`)]
  if (key.kind === 'bare') {
    return warn(name, 'ak.attributes_unseen', { expected, actual: 'a PEM holds no attributes' })
  }
  if (key.kind === 'unreadable') {
    return key.field === 'attributes'
      ? fail(name, 'ak.attributes', { expected, actual: key.problem })
      : indeterminate(name, 'check.blocked', { expected, actual: key.problem })
  }
  const actual = setAttributes(key.pub.objectAttributes)
  const sound = REQUIRED.every((bit) => actual.includes(bit)) && !FORBIDDEN.some((bit) => actual.includes(bit))
  return judge(sound, name, 'ak.attributes', { expected, actual })
}

const named = new WeakMap<TpmaObject, readonly string[]>()

/** Made once for each decoded public area, as its key is. */
function setAttributes(attributes: TpmaObject): readonly string[] {
  const known = named.get(attributes)
  if (known !== undefined) return known
  const names = Object.entries(attributes).flatMap(([name, set]) => (set ? [name] : []))
  named.set(attributes, names)
  return names
}

function checkQualifiedName(key: AttestationKey, ek: TpmtPublic, signer: Uint8Array | undefined): Check {
  const name = 'ak.qualified-name'
  if (signer === undefined) return indeterminate(name, 'check.blocked', { actual: 'the quote names no signer' })
  if (key.kind !== 'tpm') {
    return indeterminate(name, 'check.blocked', { actual: 'the Name of the attestation key cannot be computed' })
  }
  if (key.pub.nameAlg === 'null' || ek.nameAlg === 'null') {
    return fail(name, 'ak.qualified_name', { actual: 'a key without a name algorithm has no Name' })
  }
  const expected = qualifiedNameUnderEndorsement(ek, key.pub)
  const detail = { expected: toHex(expected), actual: toHex(signer) }
  return judge(equalBytes(expected, signer), name, 'ak.qualified_name', detail)
}

function checkEnrolment(enrolment: Enrolment): Check {
  const name = 'ak.enrolled'
  const detail = { expected: 'enrolled', actual: enrolment }
  if (enrolment === 'enrolled') return pass(name, detail)
  return fail(name, enrolment === 'revoked' ? 'ak.revoked' : 'ak.unknown', detail)
}
