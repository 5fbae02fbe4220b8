import type { Random } from '../random.ts'
import { mutateBytes, oddNumber, type Mutation } from './bytes.ts'
import { u16, u32 } from './tcg-parts.ts'

/** UEFI_VARIABLE_DATA: lengths that lie, other names, another value. */
function variable(data: Buffer, random: Random, other: Buffer): Buffer {
  const copy = Buffer.from(data)
  if (copy.byteLength < 32) return mutateBytes(data, random, other)
  const nameSize = Math.min(2 * copy.readUInt32LE(16), copy.byteLength - 32)
  const value = copy.subarray(32 + nameSize)
  switch (random.below(4)) {
    case 0:
      copy.writeUInt32LE(oddNumber(random), random.pick([16, 20, 24, 28]))
      return copy
    case 1:
      return renamed(copy, value, random.pick(NAMES))
    case 2:
      return withValue(copy, nameSize, signatureList(random, value))
    default:
      return withValue(copy, nameSize, mutateBytes(value, random, other))
  }
}

const NAMES = ['SecureBoot', 'PK', 'db', 'dbx', 'MokList', 'SbatLevel', 'BootOrder', 'Boot0001', 'x'.repeat(300)]

function renamed(data: Buffer, value: Buffer, name: string): Buffer {
  const text = Buffer.from(name, 'utf16le')
  const sizes = Buffer.concat([u32(name.length), u32(0), u32(value.byteLength), u32(0)])
  return Buffer.concat([data.subarray(0, 16), sizes, text, value])
}

function withValue(data: Buffer, nameSize: number, value: Buffer): Buffer {
  const head = Buffer.from(data.subarray(0, 32 + nameSize))
  head.writeUInt32LE(value.byteLength, 24)
  return Buffer.concat([head, value])
}

/** EFI_SIGNATURE_LIST: one of its three sizes, or lengths within a certificate. */
function signatureList(random: Random, value: Buffer): Buffer {
  const copy = Buffer.from(value)
  if (copy.byteLength < 28) return copy
  if (random.chance(2)) copy.writeUInt32LE(oddNumber(random), random.pick([16, 20, 24]))
  else certificateLength(copy, random)
  return copy
}

/** The second byte of some DER element. */
function certificateLength(der: Buffer, random: Random): void {
  const at = der.indexOf(0x30, random.below(der.byteLength))
  if (at >= 0 && at + 4 < der.byteLength) der[at + 1] = random.pick([0, 0x7f, 0x80, 0x81, 0x82, 0x84, 0x85, 0xff])
}

/** Device paths: a node whose length is nothing, too much, or its own again. */
function devicePath(data: Buffer, random: Random): Buffer {
  const copy = Buffer.from(data)
  if (copy.byteLength < 36) return copy
  const start = random.pick([0, 32])
  let at = start
  for (let node = random.below(6); node > 0; node -= 1) {
    const length = copy.readUInt16LE(at + 2)
    if (length < 4 || at + length + 4 > copy.byteLength) break
    at += length
  }
  copy.writeUInt16LE(random.pick([0, 1, 3, 4, 5, 0xffff, copy.byteLength - at]), at + 2)
  return copy
}

/** The payload within tagged events within tagged events, as deep as it likes. */
function nested(data: Buffer, random: Random): Buffer {
  let inner = data.subarray(0, 512)
  for (let depth = random.pick([1, 2, 8, 64, 512]); depth > 0; depth -= 1) {
    inner = Buffer.concat([u32(random.pick([0x40010001, 0x40010003, 0x50000001, 1])), u32(inner.byteLength), inner])
  }
  return inner
}

function text(_data: Buffer, random: Random): Buffer {
  const word = random.pick(WORDS)
  const repeated = word.repeat(random.pick([1, 1, 2, 100]))
  return random.chance(3) ? Buffer.from(`${repeated}\0`, 'utf16le') : Buffer.from(`${repeated}\0`)
}

const WORDS = [
  'grub_cmd: linux /vmlinuz root=/dev/sda1 ro "quoted',
  'kernel_cmdline: /vmlinuz \\x20 a=b ',
  'grub_cmd ',
  `squash4 ${'ab'.repeat(32)}`,
  'file:/config/server exist:true content-hash:',
  '.linux',
  'Calling EFI Application from Boot Option',
  'Entering ROM Based Setup',
  '\u202e\u0000\ufffd\u2028',
  'StartupLocality\0\u0003',
  'Spec ID Event03',
]

/** A number, a size or a GUID in place of anything. */
function field(data: Buffer, random: Random): Buffer {
  const size = random.pick([2, 4])
  const at = random.below(data.byteLength + 1)
  const value = size === 2 ? u16(oddNumber(random)) : u32(oddNumber(random))
  return Buffer.concat([data.subarray(0, at), value, data.subarray(at + size)])
}

/** One change of a payload, whatever it is: what it is not, it is read as too. */
export const mutatePayload: Mutation = (data, random, other) =>
  random.pick([variable, devicePath, nested, text, field, mutateBytes, mutateBytes])(data, random, other)
