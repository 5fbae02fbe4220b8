import { createHash } from 'node:crypto'
import { HASHES, type HashName } from '../../src/tpm/index.ts'

/** What is to be logged: the digests are those of `measured`, by default of the payload itself. */
export interface EventSpec {
  readonly pcr: number
  readonly type: number
  readonly data?: Buffer | string
  readonly measured?: Buffer | string
  /** Instead of `measured`: the digests as they shall be in the log. */
  readonly digests?: Readonly<Record<string, Buffer>>
}

export interface LogSpec {
  readonly banks?: readonly HashName[]
  readonly register?: number
  readonly headerDigest?: Buffer
  /** `[algorithm, size]` rows of the header in place of those of the banks. */
  readonly algorithms?: readonly (readonly [number, number])[]
}

export const TYPE = {
  postCode: 1,
  noAction: 3,
  separator: 4,
  action: 5,
  eventTag: 6,
  crtmContents: 7,
  crtmVersion: 8,
  compactHash: 0xc,
  ipl: 0xd,
  nonHostInfo: 0x11,
  driverConfig: 0x80000001,
  variableBoot: 0x80000002,
  application: 0x80000003,
  gpt: 0x80000006,
  efiAction: 0x80000007,
  firmwareBlob: 0x80000008,
  variableBoot2: 0x8000000c,
  hcrtm: 0x80000010,
  authority: 0x800000e0,
} as const

export const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
export const SECURITY_DATABASE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
export const SHIM = '605dab50-e046-4300-abb6-3dd810dd8b23'
export const X509 = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072'
export const SHA256 = 'c1c41626-504c-4092-aca9-41f936934328'

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}

export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

export function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex')
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}

export function variable(vendor: string, name: string, value: Buffer): Buffer {
  const text = Buffer.from(name, 'utf16le')
  return Buffer.concat([guid(vendor), u64(name.length), u64(value.byteLength), text, value])
}

/** One EFI_SIGNATURE_LIST with one entry. */
export function signatureList(type: string, owner: string, content: Buffer, header: Buffer = Buffer.alloc(0)): Buffer {
  const size = 16 + content.byteLength
  const fields = [u32(28 + header.byteLength + size), u32(header.byteLength), u32(size)]
  return Buffer.concat([guid(type), ...fields, header, guid(owner), content])
}

export function digestOf(bank: HashName, data: Buffer | string): Buffer {
  return createHash(HASHES[bank].node).update(data).digest()
}

/** One event in the crypto-agile layout. */
export function event(spec: EventSpec, banks: readonly HashName[] = ['sha256']): Buffer {
  const data = Buffer.from(spec.data ?? '')
  const digests = banks.map((bank) =>
    Buffer.concat([u16(HASHES[bank].id), spec.digests?.[bank] ?? digestOf(bank, spec.measured ?? data)]),
  )
  return Buffer.concat([u32(spec.pcr), u32(spec.type), u32(banks.length), ...digests, u32(data.byteLength), data])
}

export function specId(spec: LogSpec = {}): Buffer {
  const algorithms =
    spec.algorithms ?? (spec.banks ?? ['sha256']).map((bank) => [HASHES[bank].id, HASHES[bank].size] as const)
  const payload = Buffer.concat([
    Buffer.from('Spec ID Event03\0', 'latin1'),
    u32(0),
    Buffer.from([0, 2, 0, 2]),
    u32(algorithms.length),
    ...algorithms.map(([id, size]) => Buffer.concat([u16(id), u16(size)])),
    Buffer.from([0]),
  ])
  return Buffer.concat([
    u32(spec.register ?? 0),
    u32(TYPE.noAction),
    spec.headerDigest ?? Buffer.alloc(20),
    u32(payload.byteLength),
    payload,
  ])
}

/** A whole crypto-agile log. */
export function agileLog(events: readonly EventSpec[], spec: LogSpec = {}): Buffer {
  return Buffer.concat([specId(spec), ...events.map((each) => event(each, spec.banks))])
}

/** A log in the layout of TCG 1.2. */
export function sha1Log(events: readonly EventSpec[]): Buffer {
  return Buffer.concat(
    events.map((spec) => {
      const data = Buffer.from(spec.data ?? '')
      const digest = spec.digests?.['sha1'] ?? digestOf('sha1', spec.measured ?? data)
      return Buffer.concat([u32(spec.pcr), u32(spec.type), digest, u32(data.byteLength), data])
    }),
  )
}

export const SEPARATOR = Buffer.alloc(4)
export const CALLING = 'Calling EFI Application from Boot Option'
export const EXITED = 'Exit Boot Services Returned with Success'

const SECURE_BOOT_LIST = signatureList(X509, GLOBAL, Buffer.from('3082000401020304', 'hex'))

/** The configuration half of PCR 7 of a machine with Secure Boot on. */
export function secureBootConfiguration(
  values: Readonly<Partial<Record<'SecureBoot' | 'PK' | 'KEK' | 'db' | 'dbx', Buffer>>> = {},
): EventSpec[] {
  const row = (name: 'SecureBoot' | 'PK' | 'KEK' | 'db' | 'dbx', vendor: string, value: Buffer): EventSpec => ({
    pcr: 7,
    type: TYPE.driverConfig,
    data: variable(vendor, name, values[name] ?? value),
  })
  return [
    row('SecureBoot', GLOBAL, Buffer.from([1])),
    row('PK', GLOBAL, SECURE_BOOT_LIST),
    row('KEK', GLOBAL, SECURE_BOOT_LIST),
    row('db', SECURITY_DATABASE, SECURE_BOOT_LIST),
    row('dbx', SECURITY_DATABASE, signatureList(SHA256, GLOBAL, Buffer.alloc(32, 7))),
  ]
}

/** A small regular boot: nothing in it is odd. */
export function regularBoot(extra: readonly EventSpec[] = []): EventSpec[] {
  return [
    { pcr: 0, type: TYPE.crtmVersion, data: Buffer.from('fw 1\0', 'utf16le') },
    { pcr: 0, type: TYPE.firmwareBlob, data: Buffer.alloc(16), measured: 'firmware' },
    ...secureBootConfiguration(),
    { pcr: 7, type: TYPE.separator, data: SEPARATOR },
    { pcr: 4, type: TYPE.efiAction, data: CALLING },
    ...[0, 1, 2, 3, 4, 5, 6].map((pcr) => ({ pcr, type: TYPE.separator, data: SEPARATOR })),
    { pcr: 4, type: TYPE.application, data: Buffer.alloc(32), measured: 'boot loader' },
    ...extra,
    { pcr: 5, type: TYPE.efiAction, data: EXITED },
  ]
}
