import { equalBytes, fromHex } from '../core/index.ts'
import { curveOf } from './algorithms.ts'
import type { CurveName, HashName } from './algorithms.ts'
import { objectAttributes } from './attributes.ts'
import type { TpmaObject } from './primitives.ts'
import type { TpmtPublic } from './public-area.ts'

/**
 * TCG EK Credential Profile for TPM Family 2.0, version 2.6, annex B: the public areas that vendors make EKs from. What a
 * template fixes is all but `unique`. Activation of a credential proves the private key and nothing of the rest, so the
 * rest must be one of these.
 */
interface EkTemplate {
  readonly name: string
  readonly key:
    { readonly type: 'rsa'; readonly keyBits: number } | { readonly type: 'ecc'; readonly curveID: CurveName }
  readonly nameAlg: HashName
  readonly attributes: readonly (keyof TpmaObject)[]
  readonly authPolicy: string
  readonly aesBits: 128 | 256
}

const LOW: EkTemplate['attributes'] = [
  'fixedTPM',
  'fixedParent',
  'sensitiveDataOrigin',
  'adminWithPolicy',
  'restricted',
  'decrypt',
]
/** High-range EKs may also be used by their (empty) authorisation value. */
const HIGH: EkTemplate['attributes'] = [...LOW, 'userWithAuth']

/**
 * Low range: PolicySecret(TPM_RH_ENDORSEMENT). High range: that, or PolicyAuthorizeNV of the index that the profile
 * reserves for each hash (PolicyB).
 */
const POLICIES = {
  lowSha256: '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa',
  sha256: 'ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0',
  sha384: 'b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12',
  sha512:
    'b8221ca69e8550a4914de3faa6a18c072cc01208073a928d5d66d59ef79e49a429c41a6b269571d57edb25fbdb1838425608b413cd616a5f6db5b6071af99bea',
} as const

const rsa = (keyBits: number) => ({ type: 'rsa', keyBits }) as const
const ecc = (curveID: CurveName) => ({ type: 'ecc', curveID }) as const
const aes128 = { nameAlg: 'sha256', aesBits: 128 } as const
const aes256 = { nameAlg: 'sha384', aesBits: 256 } as const
const low = { ...aes128, attributes: LOW, authPolicy: POLICIES.lowSha256 } as const
const high256 = { ...aes128, attributes: HIGH, authPolicy: POLICIES.sha256 } as const
const high384 = { ...aes256, attributes: HIGH, authPolicy: POLICIES.sha384 } as const

export const EK_TEMPLATES: readonly EkTemplate[] = [
  { name: 'L-1', key: rsa(2048), ...low },
  { name: 'L-2', key: ecc('nist_p256'), ...low },
  { name: 'H-1', key: rsa(2048), ...high256 },
  { name: 'H-2', key: ecc('nist_p256'), ...high256 },
  { name: 'H-3', key: ecc('nist_p384'), ...high384 },
  {
    name: 'H-4',
    key: ecc('nist_p521'),
    nameAlg: 'sha512',
    attributes: HIGH,
    authPolicy: POLICIES.sha512,
    aesBits: 256,
  },
  { name: 'H-6', key: rsa(3072), ...high384 },
  { name: 'H-7', key: rsa(4096), ...high384 },
]

export type EkTemplateMatch = { readonly name: string } | { readonly difference: string }

/**
 * The template that `pub` equals in everything but `unique`, or how it differs from the nearest: the one for its key that
 * shares the most fields. `difference` is for people: `authPolicy is not that of L-1`.
 */
export function matchEkTemplate(pub: TpmtPublic): EkTemplateMatch {
  const candidates = EK_TEMPLATES.filter(({ key }) => sameKey(key, pub)).map((template) => ({
    template,
    differences: differencesFrom(template, pub),
  }))
  const [nearest] = candidates.sort((a, b) => a.differences.length - b.differences.length)
  if (nearest === undefined) return { difference: `no template has a key like this one: ${describeKey(pub)}` }
  const { template, differences } = nearest
  if (differences.length === 0) return { name: template.name }
  return { difference: `${differences.join('; ')} (compared with template ${template.name})` }
}

function sameKey(key: EkTemplate['key'], pub: TpmtPublic): boolean {
  if (key.type === 'rsa') return pub.type === 'rsa' && pub.parameters.keyBits === key.keyBits
  return pub.type === 'ecc' && pub.parameters.curveID === key.curveID
}

function describeKey(pub: TpmtPublic): string {
  if (pub.type === 'rsa') return `rsa${pub.parameters.keyBits}`
  return pub.type === 'ecc' ? pub.parameters.curveID : pub.type
}

function differencesFrom(template: EkTemplate, pub: TpmtPublic): readonly string[] {
  const differences: string[] = []
  const compare = (field: string, expected: string | number, actual: string | number) => {
    if (actual !== expected) differences.push(`${field} is ${actual}, expected ${expected}`)
  }
  compare('nameAlg', template.nameAlg, pub.nameAlg)
  compare('objectAttributes', attributeText(template.attributes), attributeText(namesOfSet(pub.objectAttributes)))
  if (!equalBytes(fromHex(template.authPolicy) ?? Buffer.alloc(0), pub.authPolicy)) {
    compare('authPolicy', template.authPolicy, pub.authPolicy.toString('hex') || 'empty')
  }
  if (pub.type !== 'rsa' && pub.type !== 'ecc') return [...differences, `type is ${pub.type}`]
  const { symmetric, scheme } = pub.parameters
  compare('symmetric', `aes${template.aesBits}cfb`, symmetricText(symmetric))
  compare('scheme', 'null', scheme.scheme)
  if (pub.type === 'rsa') compare('exponent', 0, pub.parameters.exponent)
  else compare('kdf', 'null', pub.parameters.kdf.scheme)
  return differences
}

function symmetricText(symmetric: Extract<TpmtPublic, { type: 'rsa' }>['parameters']['symmetric']): string {
  return symmetric.algorithm === 'null' ? 'null' : `${symmetric.algorithm}${symmetric.keyBits}${symmetric.mode}`
}

function namesOfSet(attributes: TpmaObject): readonly string[] {
  return Object.entries(attributes).flatMap(([name, set]) => (set ? [name] : []))
}

function attributeText(names: readonly string[]): string {
  return [...names].sort().join('|') || 'none'
}

/**
 * What TPM2_CreatePrimary takes to make the EK of this template; `undefined` for a name that no template has. `unique`
 * goes into the key, so it is the template's too: zeros in the low range, nothing in the high range (B.3 and B.4).
 */
export function ekTemplatePublic(name: string): TpmtPublic | undefined {
  const template = EK_TEMPLATES.find((row) => row.name === name)
  if (template === undefined) return undefined
  const { key, nameAlg, attributes, aesBits } = template
  const common = {
    nameAlg,
    objectAttributes: objectAttributes(...attributes),
    authPolicy: fromHex(template.authPolicy) ?? Buffer.alloc(0),
  }
  const symmetric = { algorithm: 'aes', keyBits: aesBits, mode: 'cfb' } as const
  const zeros = (size: number) => Buffer.alloc(attributes === LOW ? size : 0)
  if (key.type === 'rsa') {
    const parameters = { symmetric, scheme: { scheme: 'null' }, keyBits: key.keyBits, exponent: 0 } as const
    return { type: 'rsa', ...common, parameters, unique: zeros(key.keyBits / 8) }
  }
  const { size } = curveOf(key.curveID)
  const parameters = { symmetric, scheme: { scheme: 'null' }, curveID: key.curveID, kdf: { scheme: 'null' } } as const
  return { type: 'ecc', ...common, parameters, unique: { x: zeros(size), y: zeros(size) } }
}
