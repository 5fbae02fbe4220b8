import { createHash } from 'node:crypto'

// A second opinion: neither layout, nor registers, nor hashes come from the project's own code.

interface Bank {
  readonly id: number
  readonly size: number
  /** Of OpenSSL; absent: a bank that cannot be computed here. */
  readonly hash?: string
}

const BANKS = {
  sha1: { id: 0x4, size: 20, hash: 'sha1' },
  sha256: { id: 0xb, size: 32, hash: 'sha256' },
  sha384: { id: 0xc, size: 48, hash: 'sha384' },
  sha512: { id: 0xd, size: 64, hash: 'sha512' },
  sm3_256: { id: 0x12, size: 32 },
  '0x27': { id: 0x27, size: 32 },
  '0x1234': { id: 0x1234, size: 7 },
} as const satisfies Record<string, Bank>

export type BankName = keyof typeof BANKS

export interface Measurement {
  readonly data?: Buffer | string
  /** What is hashed, where that is not the payload. */
  readonly measured?: Buffer | string
  /** The banks of the event in the order in which it has them; by default those of the header. */
  readonly banks?: readonly BankName[]
}

export interface MachineOptions {
  readonly banks?: readonly BankName[]
  /** The layout of TCG 1.2. */
  readonly isSha1?: boolean
  /** Of TPM2_Startup, or 4 where an H-CRTM was measured: the first value of PCR 0. */
  readonly locality?: number
  /** CCEL: registers are RTMRs, and all begin with zeros. */
  readonly isGuest?: boolean
  /** Of the Spec-ID event. */
  readonly register?: number
  readonly vendorInfo?: Buffer
  /** Of the Spec-ID event, where it is not what is there. */
  readonly headerSize?: number
  readonly hasHeader?: boolean
}

/** Measures as a machine does: what it logs, it extends into its own registers in the same moment. */
export interface Machine {
  readonly banks: readonly BankName[]
  readonly extend: (pcr: number, type: number, what?: Measurement) => Machine
  /** EV_NO_ACTION, or another mark that is not measured. */
  readonly note: (pcr: number, data: Buffer | string, type?: number) => Machine
  /** A dynamic launch: PCR 17 to 22 begin with zeros. */
  readonly launch: () => Machine
  /** Bytes as they are. */
  readonly bytes: (bytes: Buffer) => Machine
  readonly log: () => Buffer
  readonly pcrs: () => Record<string, Record<string, string>>
}

export function u16(value: number): Buffer {
  return Buffer.of(value & 0xff, value >>> 8)
}

export function u32(value: number): Buffer {
  return Buffer.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24)
}

function u64(value: number): Buffer {
  return Buffer.concat([u32(value), u32(0)])
}

export function machine(options: MachineOptions = {}): Machine {
  const { isSha1 = false, isGuest = false, locality = 0, hasHeader = !isSha1 } = options
  const banks = options.banks ?? (isSha1 ? ['sha1'] : ['sha1', 'sha256'])
  const parts: Buffer[] = hasHeader ? [specId('Spec ID Event03', banks, options)] : []
  const registers = new Map<string, Buffer>()
  const computed = banks.filter((name) => 'hash' in BANKS[name])

  const first = (pcr: number, size: number): Buffer => {
    const value = Buffer.alloc(size, !isGuest && pcr >= 17 && pcr <= 22 && !launched ? 0xff : 0)
    if (pcr === 0) value[size - 1] = locality
    return value
  }
  let launched = false
  const digestOf = (name: BankName, what: Buffer | string): Buffer => {
    const bank: Bank = BANKS[name]
    return bank.hash === undefined ? Buffer.alloc(bank.size, 0x5a) : createHash(bank.hash).update(what).digest()
  }
  const write = (pcr: number, type: number, digests: readonly (readonly [BankName, Buffer])[], data: Buffer): void => {
    const list = digests.map(([name, digest]) => (isSha1 ? digest : Buffer.concat([u16(BANKS[name].id), digest])))
    const count = isSha1 ? [] : [u32(digests.length)]
    parts.push(u32(pcr), u32(type), ...count, ...list, u32(data.byteLength), data)
  }

  const self: Machine = {
    banks,
    extend(pcr, type, { data = '', measured = data, banks: own = banks } = {}) {
      const digests = own.map((name) => [name, digestOf(name, measured)] as const)
      write(pcr, type, digests, Buffer.from(data))
      for (const [name, digest] of digests) {
        const bank: Bank = BANKS[name]
        if (bank.hash === undefined || pcr > 23) continue
        const before = registers.get(`${name} ${pcr}`) ?? first(pcr, bank.size)
        registers.set(`${name} ${pcr}`, createHash(bank.hash).update(before).update(digest).digest())
      }
      return self
    },
    note(pcr, data, type = 3) {
      write(
        pcr,
        type,
        banks.map((name) => [name, Buffer.alloc(BANKS[name].size)]),
        Buffer.from(data),
      )
      return self
    },
    launch() {
      launched = true
      for (const key of registers.keys()) if (/ (?:1[7-9]|2[0-2])$/.test(key)) registers.delete(key)
      return self
    },
    bytes(bytes) {
      parts.push(bytes)
      return self
    },
    log: () => Buffer.concat(parts),
    pcrs() {
      const values: Record<string, Record<string, string>> = {}
      for (const name of computed) {
        values[name] = {}
        for (let pcr = 0; pcr < 24; pcr++) {
          const value = registers.get(`${name} ${pcr}`)
          if (value !== undefined) values[name][pcr] = value.toString('hex')
        }
      }
      return values
    },
  }
  return self
}

/** TCG_PCClientPCREvent around a TCG_EfiSpecIDEvent. */
export function specId(signature: string, banks: readonly BankName[], options: MachineOptions = {}): Buffer {
  const vendorInfo = options.vendorInfo ?? Buffer.alloc(0)
  const payload = Buffer.concat([
    Buffer.from(signature.padEnd(16, '\0')),
    u32(0),
    Buffer.of(0, 2, 105, 2),
    u32(banks.length),
    ...banks.flatMap((name) => [u16(BANKS[name].id), u16(BANKS[name].size)]),
    Buffer.of(vendorInfo.byteLength),
    vendorInfo,
  ])
  const size = options.headerSize ?? payload.byteLength
  return Buffer.concat([u32(options.register ?? 0), u32(3), Buffer.alloc(20), u32(size), payload])
}

export function utf16(text: string): Buffer {
  return Buffer.from(text, 'utf16le')
}

/** UEFI_VARIABLE_DATA */
export function variable(vendor: string, name: string, value: Buffer): Buffer {
  return Buffer.concat([guid(vendor), u64(name.length), u64(value.byteLength), utf16(name), value])
}

export function guid(text: string): Buffer {
  const [one = '', two = '', three = '', ...rest] = text.split('-')
  const reversed = [one, two, three].map((part) => Buffer.from(part, 'hex').reverse())
  return Buffer.concat([...reversed, Buffer.from(rest.join(''), 'hex')])
}

/** UEFI_IMAGE_LOAD_EVENT with a path of one file. */
export function image(path: string): Buffer {
  const name = utf16(`${path}\0`)
  const node = Buffer.concat([Buffer.of(4, 4), u16(4 + name.byteLength), name])
  const end = Buffer.of(0x7f, 0xff, 4, 0)
  return Buffer.concat([u64(0x7000_0000), u64(0x1000), u64(0), u64(node.byteLength + 4), node, end])
}

/** TCG_PCClientTaggedEvent */
export function tagged(id: number, data: Buffer): Buffer {
  return Buffer.concat([u32(id), u32(data.byteLength), data])
}
