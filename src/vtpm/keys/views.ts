import { createHash } from 'node:crypto'
import { toBase64Url, toRfc3339, TouchstoneError } from '../../core/index.ts'
import { nameOf, publicJwkOf, publicKeyOf } from '../../tpm/index.ts'
import type { TpmtPublic } from '../../tpm/index.ts'
import type { KeyDetail, KeySummary, KeyVersion } from '../../wire/index.ts'
import { KINDS } from './kinds.ts'
import type { KeyRecord, VersionRecord } from './records.ts'

const kids = new WeakMap<TpmtPublic, string>()

/**
 * The RFC 7638 thumbprint of the public key, which whoever has the key can compute too; the SHA-256 of its Name for a key
 * without a public part.
 */
export function kidOf({ publicArea }: Pick<VersionRecord, 'publicArea'>): string {
  const known = kids.get(publicArea)
  if (known !== undefined) return known
  const input = publicArea.type === 'keyedhash' ? nameOf(publicArea) : thumbprintInput(publicArea)
  const kid = toBase64Url(createHash('sha256').update(input).digest())
  kids.set(publicArea, kid)
  return kid
}

/** RFC 7638 section 3.2: the required members alone, in the order of their names, without blanks. */
function thumbprintInput(publicArea: TpmtPublic): string {
  const { kty, crv, x, y, n, e } = publicJwkOf(publicArea)
  return JSON.stringify(kty === 'RSA' ? { e, kty, n } : { crv, kty, x, y })
}

/** The newest. */
export function currentOf({ versions }: KeyRecord): VersionRecord {
  const newest = versions.at(-1)
  if (newest === undefined) throw new TouchstoneError('key.internal', 'a key without a version')
  return newest
}

/** That version, or the newest where none is named. */
export function versionOf(record: KeyRecord, version: number | undefined): VersionRecord {
  if (version === undefined) return currentOf(record)
  const found = record.versions.find((one) => one.version === version)
  if (found === undefined) throw new TouchstoneError('key.version', `${record.name} has no version ${version}`)
  return found
}

/** How a key signs, or `undefined` where it is not for that. */
export function signingOf({ kind, uses }: KeyRecord) {
  return uses.includes('sign') ? KINDS[kind].signing : undefined
}

type Jwk = NonNullable<KeyVersion['publicKey']>['jwk']

/** With everything that a JWKS says of a key, or `undefined` for a key without a public part. */
export function jwkOf(record: KeyRecord, version: VersionRecord): Jwk | undefined {
  const { publicArea } = version
  if (publicArea.type === 'keyedhash') return undefined
  const { kty, crv, x, y, n, e } = publicJwkOf(publicArea)
  const members = kty === 'RSA' ? { kty, n, e } : { kty, crv, x, y }
  const signing = signingOf(record)
  // A key that is for both says neither: RFC 7517 section 4.2 lets `use` name one alone.
  const purpose = record.uses.length > 1 ? {} : { use: signing === undefined ? 'enc' : 'sig' }
  const alg = record.uses.length > 1 ? {} : { alg: signing?.algorithm ?? KINDS[record.kind].encryption }
  return Object.fromEntries(
    Object.entries({ ...members, ...purpose, ...alg, kid: kidOf(version) }).flatMap(([name, value]) =>
      typeof value === 'string' ? [[name, value]] : [],
    ),
  )
}

function versionView(record: KeyRecord, version: VersionRecord): KeyVersion {
  const { publicArea, sealed, pcrs, certificate } = version
  const jwk = jwkOf(record, version)
  const pem = () => publicKeyOf(publicArea).export({ type: 'spki', format: 'pem' }).toString()
  return {
    version: version.version,
    kid: kidOf(version),
    created: toRfc3339(version.created),
    ...(jwk === undefined ? {} : { publicKey: { pem: pem(), jwk } }),
    ...(certificate === undefined ? {} : { certificate: [...certificate] }),
    ...(sealed === undefined ? {} : { size: sealed.ciphertext.byteLength }),
    ...(pcrs === undefined ? {} : { pcrs }),
  }
}

export function detailOf(record: KeyRecord): KeyDetail {
  const signing = signingOf(record)
  return {
    name: record.name,
    kind: record.kind,
    uses: [...record.uses],
    ...(signing === undefined ? {} : { algorithm: signing.algorithm }),
    created: toRfc3339(record.created),
    current: currentOf(record).version,
    versions: record.versions.map((version) => versionView(record, version)),
  }
}

export function summaryOf(record: KeyRecord): KeySummary {
  const { name, kind, uses, algorithm, created, current, versions } = detailOf(record)
  return {
    state: 'ready',
    name,
    kind,
    uses,
    ...(algorithm === undefined ? {} : { algorithm }),
    created,
    current,
    kid: kidOf(currentOf(record)),
    versions: versions.length,
  }
}
