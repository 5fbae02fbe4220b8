import { view } from '../core/index.ts'

/** Collects the bytes of a structure. The counterpart of Reader: same primitives, same byte orders. */
export class Writer {
  readonly #parts: Buffer[] = []

  u8(value: number): void {
    this.#number(1, (b) => b.writeUInt8(value))
  }

  u16(value: number): void {
    this.#number(2, (b) => b.writeUInt16BE(value))
  }

  u32(value: number): void {
    this.#number(4, (b) => b.writeUInt32BE(value))
  }

  u64(value: bigint): void {
    this.#number(8, (b) => b.writeBigUInt64BE(value))
  }

  u16le(value: number): void {
    this.#number(2, (b) => b.writeUInt16LE(value))
  }

  u32le(value: number): void {
    this.#number(4, (b) => b.writeUInt32LE(value))
  }

  u64le(value: bigint): void {
    this.#number(8, (b) => b.writeBigUInt64LE(value))
  }

  bytes(value: Uint8Array): void {
    this.#parts.push(view(value))
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts)
  }

  #number(size: number, write: (buffer: Buffer) => void): void {
    const buffer = Buffer.allocUnsafe(size)
    write(buffer)
    this.#parts.push(buffer)
  }
}
