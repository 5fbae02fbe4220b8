import { TouchstoneError, view } from '../core/index.ts'
import { MAX_DEPTH, MAX_ITEMS } from './bounds.ts'

/** Longer than any number that a double tells from another, and than `false`. */
const MAX_LITERAL = 32

const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * Bounds what JSON (RFC 8259) would become before it is built: depth, items (containers, keys and values, as `scanCbor`
 * counts them), and the length of numbers. It does not check the grammar, which the parser behind it does; bytes that
 * are no JSON at all may pass here. One pass.
 */
export function scanJson(bytes: Uint8Array): void {
  const input = view(bytes)
  let depth = 0
  let items = 0
  let at = 0
  const count = (): void => {
    items += 1
    if (items > MAX_ITEMS) throw refuse(at, `more than ${MAX_ITEMS} items`)
  }
  while (at < input.byteLength) {
    switch (input[at]) {
      case 0x5b: // [
      case 0x7b: // {
        count()
        depth += 1
        if (depth > MAX_DEPTH) throw refuse(at, `nested deeper than ${MAX_DEPTH}`)
        at += 1
        break
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1
        at += 1
        break
      case QUOTE:
        count()
        at = endOfString(input, at)
        break
      case 0x20:
      case 0x09:
      case 0x0a:
      case 0x0d:
      case 0x2c: // ,
      case 0x3a: // :
        at += 1
        break
      default:
        count()
        at = endOfLiteral(input, at)
    }
  }
}

/** Behind the closing quote, or the end of the input. */
function endOfString(input: Buffer, start: number): number {
  for (let at = start + 1; at < input.byteLength; at += 1) {
    const byte = input[at]
    if (byte === QUOTE) return at + 1
    if (byte === BACKSLASH) at += 1
  }
  return input.byteLength
}

/** Behind a number, `true`, `false` or `null`, or behind whatever stands where one should. */
function endOfLiteral(input: Buffer, start: number): number {
  let at = start
  while (at < input.byteLength && !DELIMITERS.has(input[at] ?? 0)) {
    at += 1
    if (at - start > MAX_LITERAL) throw refuse(start, `a number is longer than ${MAX_LITERAL} bytes`)
  }
  return at
}

const DELIMITERS: ReadonlySet<number> = new Set(Buffer.from('[]{}",: \t\n\r', 'ascii'))

function refuse(at: number, problem: string): TouchstoneError {
  return new TouchstoneError('decode.too_large', `JSON body at byte ${at}: ${problem}`, { details: { offset: at } })
}
