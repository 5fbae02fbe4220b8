import { fromHex, TouchstoneError, view } from '../../core/index.ts'
import { DIGEST_SIZE, MAX_IMA_ENTRY } from './ima-reader.ts'
import { asciiFormOf, imaTemplate, type FieldId, type ImaTemplate } from './templates.ts'

/** An IMA log in one piece, or in chunks of any size. What is iterated more than once must begin anew each time. */
export type ImaSource = Uint8Array | Iterable<Uint8Array>

const NEWLINE = 0x0a
/** Hex doubles what is measured by value. */
const MAX_LINE = 2 * MAX_IMA_ENTRY + 4096
/** `10 ` and the SHA-1 of the template data. */
const FIRST_LINE = /^ ?\d{1,2} [0-9a-f]{40} \S/
const PEEKED = 48

/** Whether bytes are the beginning of `ascii_runtime_measurements`. */
export function isAsciiImaLog(bytes: Uint8Array): boolean {
  return FIRST_LINE.test(view(bytes).toString('latin1', 0, PEEKED))
}

/**
 * The chunks of a log as `binary_runtime_measurements` has them, whichever of the two forms it has. The text form loses
 * nothing: the kernel writes no space into a name. Iterating throws `decode.*`. O(n) time, memory for one line.
 */
export function binaryImaChunks(source: ImaSource): Iterable<Uint8Array> {
  const chunks = source instanceof Uint8Array ? [source] : source
  return {
    *[Symbol.iterator]() {
      let head: Buffer = Buffer.alloc(0)
      const rest = chunks[Symbol.iterator]()
      // Chunks may be of one byte.
      while (head.byteLength < PEEKED) {
        const next = rest.next()
        if (next.done === true) break
        head = head.byteLength === 0 ? view(next.value) : Buffer.concat([head, next.value])
      }
      const all = joined(head, rest)
      yield* isAsciiImaLog(head) ? fromAscii(all) : all
    },
  }
}

function* joined(head: Buffer, rest: Iterator<Uint8Array>): Generator<Uint8Array> {
  if (head.byteLength > 0) yield head
  for (let next = rest.next(); next.done !== true; next = rest.next()) yield next.value
}

function* fromAscii(chunks: Iterable<Uint8Array>): Generator<Buffer> {
  let index = 0
  let parts: Buffer[] = []
  let size = 0
  for (const bytes of chunks) {
    const chunk = view(bytes)
    const entries: Buffer[] = []
    let at = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, at)) {
      const line = chunk.subarray(at, end)
      entries.push(entryOf(parts.length === 0 ? line : Buffer.concat([...parts, line]), index))
      index += 1
      parts = []
      size = 0
      at = end + 1
    }
    if (at < chunk.byteLength) parts.push(Buffer.from(chunk.subarray(at)))
    size += chunk.byteLength - at
    if (size > MAX_LINE) throw refusal('decode.too_large', index, `a line of more than ${MAX_LINE} bytes`)
    if (entries.length > 0) yield Buffer.concat(entries)
  }
  if (size > 0) yield entryOf(Buffer.concat(parts), index)
}

/** One line: register, SHA-1 of the data, template, then a field after each space. */
function entryOf(line: Buffer, index: number): Buffer {
  const [register = '', sha1 = '', name = '', ...values] = line.toString('latin1').trimStart().split(' ')
  const template = imaTemplate(name)
  const digest = fromHex(sha1)
  if (template === undefined) throw refusal('decode.value', index, `no template is named ${JSON.stringify(name)}`)
  if (!/^\d{1,2}$/.test(register) || digest?.byteLength !== DIGEST_SIZE) {
    throw refusal('decode.value', index, 'a line begins with a register and a SHA-1 digest')
  }
  const fields = fieldsOf(values, template, index)
  const nameBytes = Buffer.from(name, 'latin1')
  const data = Buffer.concat(
    name === 'ima' ? oldest(fields) : fields.flatMap((field) => [u32(field.byteLength), field]),
  )
  const length = name === 'ima' ? [] : [u32(data.byteLength)]
  return Buffer.concat([u32(Number(register)), digest, u32(nameBytes.byteLength), nameBytes, ...length, data])
}

function fieldsOf(values: readonly string[], { fields, path }: ImaTemplate, index: number): Buffer[] {
  // Kernels before 4.2 left spaces in names.
  const spaces = path === fields.length - 1 ? Math.max(0, values.length - fields.length) : 0
  const parts = spaces === 0 ? values : [...values.slice(0, path), values.slice(path, path + 1 + spaces).join(' ')]
  if (parts.length !== fields.length) {
    throw refusal('decode.value', index, `${parts.length} fields where the template has ${fields.length}`)
  }
  return fields.map((id, at) => {
    const value = fieldOf(parts[at] ?? '', id)
    if (value === undefined) throw refusal('decode.value', index, `${JSON.stringify(parts[at])} is no field ${id}`)
    return value
  })
}

/** Name and length without a length before the digest, and the name without its NUL. */
function oldest([digest = Buffer.alloc(0), name = Buffer.alloc(0)]: readonly Buffer[]): Buffer[] {
  return [digest, u32(name.byteLength), name]
}

function fieldOf(text: string, id: FieldId): Buffer | undefined {
  const form = asciiFormOf(id)
  if (text === '') return Buffer.alloc(0)
  if (form === 'digest' || form === 'hex') return fromHex(text)
  if (form === 'text') return Buffer.from(id === 'n' ? text : `${text}\0`, 'latin1')
  if (form === 'labelled') {
    const split = text.lastIndexOf(':') + 1
    const digest = fromHex(text.slice(split))
    return digest && Buffer.concat([Buffer.from(`${text.slice(0, split)}\0`, 'latin1'), digest])
  }
  if (!/^\d{1,10}$/.test(text) || Number(text) >= 2 ** (8 * form.uint)) return undefined
  const bytes = Buffer.alloc(form.uint)
  bytes.writeUIntLE(Number(text), 0, form.uint)
  return bytes
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function refusal(code: 'decode.value' | 'decode.too_large', index: number, message: string): TouchstoneError {
  const path = `ima[${index}]`
  return new TouchstoneError(code, `${path}: ${message}`, { details: { path } })
}
