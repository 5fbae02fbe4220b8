import { verify, type KeyObject } from 'node:crypto'
import { decodeCbor, isCborTag, type CborValue } from '../../codec/index.ts'
import { TouchstoneError, toHex } from '../../core/index.ts'

// Concise Reference Integrity Manifests: draft-ietf-rats-corim-08. Only what reference values need of them.

const TAG = { corim: 500, unsigned: 501, signedOld: 502, sign1: 18, comid: 506 } as const
const CORIM = { id: 0, tags: 1, validity: 4 } as const
const COMID = { identity: 1, triples: 4 } as const
const REFERENCE_TRIPLES = 0
const CLASS = { vendor: 1, model: 2 } as const
const MEASUREMENT = { key: 0, values: 1 } as const
const VALUES = { version: 0, digests: 2, name: 11, registers: 14 } as const

/** Named Information hash algorithms (RFC 6920), their names, and COSE's numbers for them (RFC 9054). */
const HASHES: Readonly<Record<string, string>> = {
  1: 'sha256',
  7: 'sha384',
  8: 'sha512',
  '-16': 'sha256',
  '-43': 'sha384',
  '-44': 'sha512',
  'sha-256': 'sha256',
  'sha-384': 'sha384',
  'sha-512': 'sha512',
}
const SIZES: Readonly<Record<string, number>> = { sha256: 32, sha384: 48, sha512: 64 }

/** COSE signature algorithms (RFC 9053): hash, and how the key signs. */
const ALGORITHMS: Readonly<Record<number, { readonly hash: string | undefined; readonly type: string }>> = {
  [-7]: { hash: 'sha256', type: 'ec' },
  [-35]: { hash: 'sha384', type: 'ec' },
  [-36]: { hash: 'sha512', type: 'ec' },
  [-8]: { hash: undefined, type: 'ed25519' },
}

type CborKey = string | number | bigint

/** One reference value: a register, or something that a key names. */
export interface CorimReference {
  /** Hash of the digest: `sha256`, `sha384`, `sha512`. */
  readonly hash: string
  /** Hex. */
  readonly digest: string
  /** The register that it is of, where it names one by number or as `PCR7`. */
  readonly register?: number
  /** Key of the measurement, as text, where it names something else. */
  readonly key?: string
  /** What it is of, for people: vendor, model, name, version. */
  readonly label: string
}

export interface Corim {
  /** As its author names it; bytes in hex. */
  readonly id: string
  /** Whether a trusted key signed it. */
  readonly signed: boolean
  readonly references: readonly CorimReference[]
  /** Digests in algorithms that TPMs here do not have, and measurements without any. */
  readonly passedOver: number
}

/**
 * Reads an unsigned manifest (tag 501), or a signed one (COSE_Sign1), whose signature must verify under one of `trusted`. Throws
 * `decode.*`, and `learn.corim` for what is no manifest, is signed by nobody trusted, or is not valid at `now` (milliseconds).
 */
export function readCorim(bytes: Uint8Array, trusted: readonly KeyObject[], now: number): Corim {
  const outer = unwrap(decodeCbor(bytes), TAG.corim)
  const inner = unwrap(outer, TAG.signedOld)
  const isSigned = isCborTag(inner) && inner.tag === TAG.sign1
  const body = isSigned ? verified(inner.value, trusted) : inner
  if (!isCborTag(body) || body.tag !== TAG.unsigned) throw refused('it is not tagged as a manifest (501)')
  const map = asMap(body.value, 'the manifest')
  checkValidity(map.get(CORIM.validity), now)
  const found: CorimReference[] = []
  let passedOver = 0
  for (const tag of asList(map.get(CORIM.tags), 'tags')) {
    // CoSWID and lists of tags say nothing that a quote could be compared with.
    if (!isCborTag(tag) || tag.tag !== TAG.comid) continue
    if (!Buffer.isBuffer(tag.value)) throw refused('a CoMID is not in a byte string')
    const comid = asMap(decodeCbor(tag.value), 'CoMID')
    const triples = asMap(comid.get(COMID.triples), 'triples').get(REFERENCE_TRIPLES)
    for (const triple of triples === undefined ? [] : asList(triples, 'reference triples')) {
      const [environment, measurements] = asList(triple, 'a reference triple')
      const subject = subjectOf(asMap(environment, 'an environment'))
      // One measurement may stand for a list of one.
      for (const measurement of isMap(measurements) ? [measurements] : asList(measurements, 'measurements')) {
        const before = found.length
        found.push(...referencesOf(asMap(measurement, 'a measurement'), subject))
        if (found.length === before) passedOver += 1
      }
    }
  }
  return { id: textOf(map.get(CORIM.id)) ?? '', signed: isSigned, references: found, passedOver }
}

function unwrap(value: CborValue, tag: number): CborValue {
  return isCborTag(value) && value.tag === tag ? value.value : value
}

function verified(value: CborValue, trusted: readonly KeyObject[]): CborValue {
  const [header, , payload, signature] = asList(value, 'COSE_Sign1')
  if (!Buffer.isBuffer(header) || !Buffer.isBuffer(payload) || !Buffer.isBuffer(signature)) {
    throw refused('its COSE_Sign1 has no header, payload or signature')
  }
  const algorithm = asMap(decodeCbor(header), 'the protected header').get(1)
  const known = typeof algorithm === 'number' ? ALGORITHMS[algorithm] : undefined
  if (known === undefined) throw refused(`it is signed by algorithm ${nameOf(algorithm)}, which is not taken`)
  // Sig_structure of RFC 9052 section 4.4.
  const signed = Buffer.concat([
    Buffer.of(0x84),
    textItem('Signature1'),
    byteItem(header),
    byteItem(Buffer.alloc(0)),
    byteItem(payload),
  ])
  const isGood = trusted.some((key) => {
    if (key.asymmetricKeyType !== known.type) return false
    return verify(known.hash, signed, { key, dsaEncoding: 'ieee-p1363' }, signature)
  })
  if (!isGood) throw refused('no trusted key has signed it')
  return decodeCbor(payload)
}

function checkValidity(value: CborValue | undefined, now: number): void {
  if (value === undefined) return
  const validity = asMap(value, 'rim-validity')
  const time = (key: number) => {
    const stamp = validity.get(key)
    const seconds = isCborTag(stamp) ? stamp.value : stamp
    return typeof seconds === 'number' ? seconds * 1000 : undefined
  }
  const [from, until] = [time(0), time(1)]
  if (until === undefined || now > until) throw refused('it is no longer valid')
  if (from !== undefined && now < from) throw refused('it is not valid yet')
}

function subjectOf(environment: ReadonlyMap<CborKey, CborValue>): string {
  const described = environment.get(0)
  if (!isMap(described)) return ''
  return [textOf(described.get(CLASS.vendor)), textOf(described.get(CLASS.model))].filter(Boolean).join(' ')
}

function referencesOf(measurement: ReadonlyMap<CborKey, CborValue>, subject: string): CorimReference[] {
  const values = asMap(measurement.get(MEASUREMENT.values), 'measurement values')
  const version = values.get(VALUES.version)
  const label = [subject, textOf(values.get(VALUES.name)), isMap(version) ? textOf(version.get(0)) : undefined]
    .filter(Boolean)
    .join(' ')
  const key = measurement.get(MEASUREMENT.key)
  const named = key === undefined ? {} : placeOf(key)
  const keyed = digestsOf(values.get(VALUES.digests)).map((digest) => ({ ...digest, ...named, label }))
  const registers = values.get(VALUES.registers)
  if (registers === undefined) return keyed
  const measured = [...asMap(registers, 'integrity-registers')].flatMap(([register, digests]) =>
    digestsOf(digests).map((digest) => ({ ...digest, ...placeOf(register), label })),
  )
  return [...keyed, ...measured]
}

/** A register by its number or as `PCR7`, `pcr-7`; anything else is a name. */
function placeOf(key: CborValue | bigint): { register?: number; key?: string } {
  const bare = isCborTag(key) ? key.value : key
  if (typeof bare === 'number' && bare >= 0 && bare <= 23) return { register: bare }
  const text = textOf(bare) ?? String(typeof bare === 'object' ? '' : bare)
  const [, digits] = /^pcr[-_ ]?(\d{1,2})$/i.exec(text) ?? []
  const register = Number(digits)
  return digits !== undefined && register <= 23 ? { register } : { key: text }
}

function digestsOf(value: CborValue | undefined): { hash: string; digest: string }[] {
  if (value === undefined) return []
  return asList(value, 'digests').flatMap((entry) => {
    const [algorithm, digest] = asList(entry, 'a digest')
    const hash = HASHES[nameOf(algorithm)]
    if (hash === undefined || !Buffer.isBuffer(digest)) return []
    if (digest.byteLength !== SIZES[hash]) throw refused(`a digest of ${hash} has ${digest.byteLength} bytes`)
    return [{ hash, digest: toHex(digest) }]
  })
}

function textOf(value: CborValue | undefined): string | undefined {
  if (typeof value === 'string') return value
  if (Buffer.isBuffer(value)) return toHex(value)
  return isCborTag(value) ? textOf(value.value) : undefined
}

function asMap(value: CborValue | undefined, what: string): ReadonlyMap<CborKey, CborValue> {
  if (isMap(value)) return value
  throw refused(`${what}: expected a map`)
}

function isMap(value: CborValue | undefined): value is ReadonlyMap<CborKey, CborValue> {
  return value instanceof Map
}

function isList(value: CborValue | undefined): value is readonly CborValue[] {
  return Array.isArray(value)
}

function asList(value: CborValue | undefined, what: string): readonly CborValue[] {
  if (isList(value)) return value
  throw refused(`${what}: expected a list`)
}

/** Of an algorithm: its number or text. */
function nameOf(value: CborValue | undefined): string {
  return typeof value === 'number' || typeof value === 'string' ? String(value) : 'of no known kind'
}

function textItem(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8')
  return Buffer.concat([head(3, bytes.byteLength), bytes])
}

function byteItem(bytes: Uint8Array): Buffer {
  return Buffer.concat([head(2, bytes.byteLength), bytes])
}

function head(major: number, length: number): Buffer {
  if (length < 24) return Buffer.of((major << 5) | length)
  if (length < 0x100) return Buffer.of((major << 5) | 24, length)
  const wide = Buffer.alloc(length < 0x10000 ? 3 : 5)
  wide.writeUInt8((major << 5) | (length < 0x10000 ? 25 : 26))
  if (length < 0x10000) wide.writeUInt16BE(length, 1)
  else wide.writeUInt32BE(length, 1)
  return wide
}

function refused(why: string): TouchstoneError {
  return new TouchstoneError('learn.corim', `the manifest cannot be used: ${why}`)
}
