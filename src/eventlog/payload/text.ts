const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffd]/
const CONTROLS = new RegExp(CONTROL, 'g')

/** Text for a terminal: control characters, and those that turn the direction of text, become escapes. */
export function printable(text: string): string {
  if (isPlainAscii(text) || !CONTROL.test(text)) return text
  return text.replaceAll(CONTROLS, (c) =>
    c === '\n' ? '\\n' : c === '\t' ? '\\t' : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Whether a short text has nothing but letters, digits and signs of ASCII, as most have: seen faster than by an expression. */
export function isPlainAscii(text: string): boolean {
  if (text.length > 256) return false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x20 || code > 0x7e) return false
  }
  return true
}

/** UTF-16LE text; an odd last byte is left out. */
export function utf16Text(data: Buffer): string {
  return data.toString('utf16le', 0, data.byteLength - (data.byteLength % 2))
}

/**
 * Text of a payload that a program wrote for people, or `undefined` where it is binary: UTF-16 if every second byte is
 * zero, else UTF-8 without control characters but line breaks. Trailing NULs are left out. Looks at `limit` bytes.
 */
export function labelText(data: Buffer, limit = 4096): string | undefined {
  let end = Math.min(data.byteLength, limit)
  while (end > 0 && data[end - 1] === 0) end--
  if (end === 0) return undefined
  if (isUtf16(data, end)) return utf16Text(data.subarray(0, end + (end % 2)))
  for (let at = 0; at < end; at++) {
    const byte = data[at] ?? 0
    if (byte < 0x20 && byte !== 0x0a && byte !== 0x09 && byte !== 0x0d) return undefined
  }
  const text = data.toString('utf8', 0, end)
  return text.includes('\ufffd') ? undefined : text
}

/** Whether `data` up to `end` is Latin text in UTF-16LE: two characters at least, high halves zero. */
function isUtf16(data: Buffer, end: number): boolean {
  if (end < 3) return false
  for (let at = 0; at < end; at += 2) {
    if ((data[at] ?? 0) < 0x09 || (at + 1 < end && data[at + 1] !== 0)) return false
  }
  return true
}
