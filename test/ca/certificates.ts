import { webcrypto } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from './x509-library.ts'
import { parseCertificate, type Certificate } from '../../src/ca/path/index.ts'

export const DAY = 86_400_000
/** The time that these tests live in. */
export const NOW = Date.UTC(2030, 0, 15)

/** A certificate with its private key, made by a library that the code under test does not use. */
export interface Made {
  readonly certificate: Certificate
  readonly keys: webcrypto.CryptoKeyPair
  readonly name: string
}

const ALGORITHMS = {
  p256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  p384: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  p521: { name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' },
  rsa: rsa('RSASSA-PKCS1-v1_5', 2048),
  pss: rsa('RSA-PSS', 2048),
  rsa1024: rsa('RSASSA-PKCS1-v1_5', 1024),
} as const

function rsa(name: string, modulusLength: number) {
  return { name, modulusLength, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' }
}

export interface Recipe {
  readonly name: string
  /** Without one the certificate is self-signed. */
  readonly issuer?: Made
  /** The issuer's name, where it is to differ from what signs. */
  readonly issuerName?: string
  readonly key?: keyof typeof ALGORITHMS | webcrypto.CryptoKeyPair
  /** Absent: no basic constraints at all. */
  readonly basic?: { readonly ca: boolean; readonly pathLength?: number }
  readonly usage?: KeyUsageFlags
  /** Of an ECDSA signature, where it is not the curve's usual one. */
  readonly hash?: string
  readonly notBefore?: number
  readonly notAfter?: number
  readonly extensions?: readonly Extension[]
}

export async function make(recipe: Recipe): Promise<Made> {
  const { key = 'p256' } = recipe
  const keys =
    typeof key === 'string' ? await webcrypto.subtle.generateKey(ALGORITHMS[key], true, ['sign', 'verify']) : key
  const signer = recipe.issuer?.keys ?? keys
  const extensions: Extension[] = [
    await SubjectKeyIdentifierExtension.create(keys.publicKey),
    await AuthorityKeyIdentifierExtension.create(signer.publicKey),
    ...(recipe.extensions ?? []),
  ]
  const { basic, usage } = recipe
  if (basic !== undefined) extensions.push(new BasicConstraintsExtension(basic.ca, basic.pathLength, true))
  if (usage !== undefined) extensions.push(new KeyUsagesExtension(usage, true))
  const made = await X509CertificateGenerator.create(
    {
      subject: recipe.name,
      issuer: recipe.issuerName ?? recipe.issuer?.name ?? recipe.name,
      publicKey: keys.publicKey,
      signingKey: signer.privateKey,
      signingAlgorithm: signingAlgorithm(signer, recipe.hash),
      notBefore: new Date(recipe.notBefore ?? NOW - DAY),
      notAfter: new Date(recipe.notAfter ?? NOW + DAY),
      extensions,
    },
    webcrypto,
  )
  return { certificate: parseCertificate(Buffer.from(made.rawData)), keys, name: recipe.name }
}

const CURVE_HASHES: Readonly<Record<string, string>> = { 'P-256': 'SHA-256', 'P-384': 'SHA-384', 'P-521': 'SHA-512' }

function signingAlgorithm({ privateKey: { algorithm } }: webcrypto.CryptoKeyPair, hash: string | undefined) {
  if ('namedCurve' in algorithm) {
    return { name: 'ECDSA', hash: hash ?? CURVE_HASHES[String(algorithm.namedCurve)] ?? 'SHA-256' }
  }
  return algorithm.name === 'RSA-PSS' ? { name: 'RSA-PSS', hash: 'SHA-256', saltLength: 32 } : algorithm
}

export function authority(name: string, issuer?: Made, more: Partial<Recipe> = {}): Promise<Made> {
  return make({
    name: `CN=${name}`,
    basic: { ca: true },
    usage: KeyUsageFlags.keyCertSign,
    ...(issuer === undefined ? {} : { issuer }),
    ...more,
  })
}

export function endEntity(name: string, issuer: Made, more: Partial<Recipe> = {}): Promise<Made> {
  const usage = KeyUsageFlags.digitalSignature
  return make({ name: `CN=${name}`, basic: { ca: false }, usage, issuer, ...more })
}

/** An extension of any kind, from the hex of its value. */
export function extension(oid: string, value: string, critical = false): Extension {
  return new Extension(oid, critical, Buffer.from(value, 'hex'))
}
