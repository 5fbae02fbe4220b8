import type { Check } from '../core/index.ts'
import type { HashName, TpmaObject, TpmtPublic } from '../tpm/index.ts'

type Attribute = keyof TpmaObject

interface KeyRule {
  readonly check: string
  readonly required: readonly Attribute[]
  /** What may be set besides; everything else may not. */
  readonly optional: readonly Attribute[]
  /** Whether the key must name its scheme itself, so that a signature by another scheme is never its own. */
  readonly ownScheme: boolean
}

const AK_RULE: KeyRule = {
  check: 'enrol.ak',
  // Restricted and sign without decrypt: it signs what the TPM itself made, and nothing that only looks like it. The
  // other half ties it to this TPM for good. Without noDA, three power cuts lock it (DESIGN.md, Onboarding).
  required: ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'restricted', 'sign', 'noDA'],
  optional: ['adminWithPolicy'],
  ownScheme: true,
}

const DEVICE_RULE: KeyRule = {
  check: 'enrol.device_key',
  // Not restricted, because it signs TLS handshakes and requests.
  required: ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'sign', 'noDA'],
  optional: ['userWithAuth', 'adminWithPolicy'],
  ownScheme: false,
}

const SOUND_HASHES: readonly HashName[] = ['sha256', 'sha384', 'sha512']
const MIN_RSA_BITS = 2048

/** `enrol.ak.attributes` and `enrol.ak.scheme`: a restricted signing key, made in and bound to its TPM. */
export function checkAk(ak: TpmtPublic): readonly Check[] {
  return checkKey(ak, AK_RULE)
}

/** `enrol.device_key.attributes` and `enrol.device_key.scheme`: an unrestricted signing key, made in and bound to its TPM. */
export function checkDeviceKey(device: TpmtPublic): readonly Check[] {
  return checkKey(device, DEVICE_RULE)
}

function checkKey(key: TpmtPublic, rule: KeyRule): readonly Check[] {
  return [attributesCheck(key, rule), schemeCheck(key, rule)]
}

function attributesCheck({ objectAttributes }: TpmtPublic, { check, required, optional }: KeyRule): Check {
  const set = Object.entries(objectAttributes).flatMap(([name, value]) => (value ? [name] : []))
  const allowed: readonly string[] = [...required, ...optional]
  const holds = required.every((name) => objectAttributes[name]) && set.every((name) => allowed.includes(name))
  const name = `${check}.attributes`
  if (holds) return { check: name, outcome: 'pass', actual: set }
  return { check: name, outcome: 'fail', code: 'enrol.key_attributes', expected: [...required], actual: set }
}

function schemeCheck(key: TpmtPublic, rule: KeyRule): Check {
  const check = `${rule.check}.scheme`
  const actual = describe(key)
  if (isSound(key, rule.ownScheme)) return { check, outcome: 'pass', actual }
  const expected = 'ecdsa on P-256, P-384 or P-521, or rsassa or rsapss with 2048 bits and more; SHA-256 or longer'
  return { check, outcome: 'fail', code: 'enrol.key_scheme', expected, actual }
}

function isSound(key: TpmtPublic, ownScheme: boolean): boolean {
  if (key.type !== 'rsa' && key.type !== 'ecc') return false
  const { scheme } = key.parameters
  const named =
    scheme.scheme === 'null'
      ? !ownScheme
      : signs(key.type, scheme.scheme) && 'hashAlg' in scheme && isSoundHash(scheme.hashAlg)
  return named && isSoundHash(key.nameAlg) && isStrong(key)
}

function signs(type: 'rsa' | 'ecc', scheme: string): boolean {
  return type === 'ecc' ? scheme === 'ecdsa' : scheme === 'rsassa' || scheme === 'rsapss'
}

function isSoundHash(name: string): boolean {
  return SOUND_HASHES.some((hash) => hash === name)
}

function isStrong(key: Extract<TpmtPublic, { type: 'rsa' | 'ecc' }>): boolean {
  if (key.type === 'rsa') return key.parameters.keyBits >= MIN_RSA_BITS
  return ['nist_p256', 'nist_p384', 'nist_p521'].includes(key.parameters.curveID)
}

function describe(key: TpmtPublic): string {
  if (key.type !== 'rsa' && key.type !== 'ecc') return key.type
  const { scheme } = key.parameters
  const size = key.type === 'rsa' ? `rsa${key.parameters.keyBits}` : key.parameters.curveID
  return `${size} ${scheme.scheme} ${'hashAlg' in scheme ? scheme.hashAlg : 'any hash'}, name ${key.nameAlg}`
}
