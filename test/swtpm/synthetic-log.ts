import { HASHES, digest, type HashName } from '../../src/tpm/index.ts'

export const BANKS = ['sha1', 'sha256', 'sha384'] as const satisfies readonly HashName[]

export interface SyntheticEvent {
  readonly pcr: number
  readonly type: number
  readonly data: Buffer
  /** What the digests are of, where it is not the data. */
  readonly measured?: Buffer
}

const EV_NO_ACTION = 3

/** A crypto-agile log of three banks with the given events behind its header. */
export function syntheticLog(events: readonly SyntheticEvent[]): Buffer {
  const u32 = (value: number) => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value)
    return bytes
  }
  const u16 = (value: number) => u32(value).subarray(0, 2)
  const algorithms = BANKS.map((bank) => Buffer.concat([u16(HASHES[bank].id), u16(HASHES[bank].size)]))
  const specId = Buffer.concat([
    Buffer.from('Spec ID Event03\0'),
    u32(0),
    Buffer.from([0, 2, 0, 2]),
    u32(BANKS.length),
    ...algorithms,
    Buffer.from([0]),
  ])
  const header = [u32(0), u32(EV_NO_ACTION), Buffer.alloc(20), u32(specId.byteLength), specId]
  const body = events.flatMap(({ pcr, type, data, measured }) => [
    u32(pcr),
    u32(type),
    u32(BANKS.length),
    ...BANKS.flatMap((bank) => [
      u16(HASHES[bank].id),
      type === EV_NO_ACTION ? Buffer.alloc(HASHES[bank].size) : digest(bank, measured ?? data),
    ]),
    u32(data.byteLength),
    data,
  ])
  return Buffer.concat([...header, ...body])
}

export function startupLocality(locality: number): SyntheticEvent {
  return {
    pcr: 0,
    type: EV_NO_ACTION,
    data: Buffer.concat([Buffer.from('StartupLocality\0'), Buffer.from([locality])]),
  }
}

/** EV_EFI_HCRTM_EVENT. */
export function hcrtm(data: string, measured?: string): SyntheticEvent {
  return {
    pcr: 0,
    type: 0x80000010,
    data: Buffer.from(data),
    ...(measured === undefined ? {} : { measured: Buffer.from(measured) }),
  }
}

/** EV_S_CRTM_VERSION. */
export function crtmVersion(text: string): SyntheticEvent {
  return { pcr: 0, type: 8, data: Buffer.from(text, 'utf16le') }
}
