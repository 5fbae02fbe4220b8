/** The few DER encodings (ITU-T X.690) that a PKCS#10 request is made of. */

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return element(0x30, Buffer.concat(parts))
}

export function set(...parts: readonly Uint8Array[]): Buffer {
  return element(0x31, Buffer.concat(parts))
}

/** `[0] IMPLICIT SET OF` or any other constructed context tag. */
export function contextConstructed(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  return element(0xa0 | tag, Buffer.concat(parts))
}

/** An INTEGER from 0 to 127. */
export function smallInteger(value: number): Buffer {
  return element(0x02, Buffer.from([value]))
}

export function utf8String(text: string): Buffer {
  return element(0x0c, Buffer.from(text, 'utf8'))
}

/** A BIT STRING of whole bytes. */
export function bitString(bytes: Uint8Array): Buffer {
  return element(0x03, Buffer.concat([Buffer.from([0]), bytes]))
}

/** OBJECT IDENTIFIER from its dotted form. */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return element(0x06, Buffer.concat([first * 40 + second, ...rest].map(base128)))
}

function base128(value: number): Buffer {
  const digits = [value % 128]
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128)) digits.unshift(0x80 | (left % 128))
  return Buffer.from(digits)
}

function element(tag: number, content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([tag]), length(content.byteLength), content])
}

function length(size: number): Buffer {
  if (size < 0x80) return Buffer.from([size])
  if (size < 0x100) return Buffer.from([0x81, size])
  return Buffer.from([0x82, size >> 8, size & 0xff])
}
