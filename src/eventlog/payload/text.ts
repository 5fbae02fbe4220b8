/**
 * Text for a terminal: control characters, and those that turn the direction of text, become escapes. O(characters), one by
 * one: nearly all texts are plain, and that is seen faster so than by an expression.
 */
export function printable(text: string): string {
  let shown = ''
  let from = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (!isControl(code)) continue
    shown += text.slice(from, at) + escapeOf(code)
    from = at + 1
  }
  return from === 0 ? text : shown + text.slice(from)
}

/** Whether {@link printable} leaves a text as it is. */
export function isPrintable(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (isControl(text.charCodeAt(at))) return false
  return true
}

/** C0 and C1, separators of lines and paragraphs, directions, and the character that stands for what is no text. */
function isControl(code: number): boolean {
  if (code >= 0x20 && code <= 0x7e) return false
  return code <= 0x9f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code === 0xfffd
}

function escapeOf(code: number): string {
  return code === 0x0a ? '\\n' : code === 0x09 ? '\\t' : `\\u${code.toString(16).padStart(4, '0')}`
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
