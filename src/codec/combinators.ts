import type { Codec } from './codec.ts'
import { hexOf } from './primitives.ts'
import type { Reader } from './reader.ts'
import { Writer } from './writer.ts'

type Fields = Readonly<Record<string, Codec<unknown>>>
type AnyCodec = Codec<unknown>
type ValueOf<C extends AnyCodec> = C extends Codec<infer T> ? T : never
type StructOf<F extends Fields> = { readonly [K in keyof F]: ValueOf<F[K]> }

// The combinators erase and restore types by assertion, here and nowhere else: TypeScript cannot follow a loop over
// the keys of a mapped type.

/** A codec of named fields, which can also add them to an object that has others already. */
interface FieldsCodec<T> extends Codec<T> {
  readInto(reader: Reader, target: Record<string, unknown>): void
}

/** Reads the fields of a codec into an object: without another object in between where the codec can. */
function readInto(codec: Codec<object>, reader: Reader, target: Record<string, unknown>): void {
  if ('readInto' in codec) (codec as FieldsCodec<object>).readInto(reader, target)
  else Object.assign(target, codec.read(reader))
}

/** Named fields, one after the other, in the order of declaration. */
export function struct<const F extends Fields>(fields: F): Codec<StructOf<F>> {
  const entries = Object.entries<Codec<unknown>>(fields)
  const readFields = (reader: Reader, target: Record<string, unknown>): void => {
    for (const [name, codec] of entries) {
      reader.enter(name)
      target[name] = codec.read(reader)
      reader.leave()
    }
  }
  const codec: FieldsCodec<StructOf<F>> = {
    read(reader) {
      const value: Record<string, unknown> = {}
      readFields(reader, value)
      return value as StructOf<F>
    },
    readInto: readFields,
    write(writer, value) {
      for (const [name, codec] of entries) codec.write(writer, (value as Record<string, unknown>)[name])
    },
  }
  return codec
}

type VariantsOf<Tag extends string, V extends Readonly<Record<string, AnyCodec>>> = {
  readonly [K in keyof V & string]: { readonly [T in Tag]: K } & ValueOf<V[K]>
}[keyof V & string]

/**
 * A union whose selector comes first: the selector's name becomes the field `tag`, the fields of the chosen variant
 * follow in the same object. A selector that the enumeration knows and `variants` does not is an error.
 */
export function tagged<const Tag extends string, const V extends Readonly<Record<string, AnyCodec>>>(
  tag: Tag,
  selector: Codec<string>,
  variants: V,
): Codec<VariantsOf<Tag, V>> {
  const known = variants as unknown as Readonly<Record<string, Codec<object> | undefined>>
  const byName = new Map(Object.entries(variants as unknown as Readonly<Record<string, Codec<object>>>))
  const readFields = (reader: Reader, target: Record<string, unknown>): void => {
    const at = reader.offset
    reader.enter(tag)
    const name = selector.read(reader)
    reader.leave()
    const variant = byName.get(name)
    if (variant === undefined) throw reader.invalid(at, `${tag} ${name} is not allowed here`)
    target[tag] = name
    readInto(variant, reader, target)
  }
  const codec: FieldsCodec<VariantsOf<Tag, V>> = {
    read(reader) {
      const value: Record<string, unknown> = {}
      readFields(reader, value)
      return value as VariantsOf<Tag, V>
    },
    readInto: readFields,
    write(writer, value) {
      const name = (value as Record<string, unknown>)[tag] as string
      selector.write(writer, name)
      const variant = known[name]
      if (variant === undefined) throw new RangeError(`no variant ${name}`)
      variant.write(writer, value)
    },
  }
  return codec
}

/** The fields of two codecs in one object, `first` before `second`. */
export function joined<A extends object, B extends object>(first: Codec<A>, second: Codec<B>): Codec<A & B> {
  return {
    read: (reader) => {
      const value: Record<string, unknown> = {}
      readInto(first, reader, value)
      readInto(second, reader, value)
      return value as A & B
    },
    write(writer, value) {
      first.write(writer, value)
      second.write(writer, value)
    },
  }
}

/** A number with names. Unknown numbers are errors: a new algorithm is a new row, never a surprise. */
export function enumeration<const N extends Readonly<Record<string, number>>>(
  codec: Codec<number>,
  names: N,
): Codec<keyof N & string> {
  const byNumber = new Map(Object.entries(names).map(([name, value]) => [value, name]))
  return {
    read(reader) {
      const at = reader.offset
      const value = codec.read(reader)
      const name = byNumber.get(value)
      if (name === undefined) {
        throw reader.invalid(at, `expected one of ${Object.keys(names).join(', ')}, got ${hexOf(value)}`)
      }
      return name
    },
    write(writer, name) {
      const value = names[name]
      if (value === undefined) throw new RangeError(`no value named ${name}`)
      codec.write(writer, value)
    },
  }
}

/** A 32-bit set of flags declared by bit number, as the specification's tables print them; other bits must be zero. */
export function flags<const B extends Readonly<Record<string, number>>>(
  codec: Codec<number>,
  bits: B,
): Codec<{ readonly [K in keyof B]: boolean }> {
  const entries = Object.entries(bits)
  const legal = entries.reduce((mask, [, bit]) => mask | (1 << bit), 0) >>> 0
  return {
    read(reader) {
      const at = reader.offset
      const value = codec.read(reader)
      const reserved = (value & ~legal) >>> 0
      if (reserved !== 0) throw reader.invalid(at, `reserved bits ${hexOf(reserved)} are set`)
      const set: Record<string, boolean> = {}
      for (const [name, bit] of entries) set[name] = ((value >>> bit) & 1) === 1
      return set as { [K in keyof B]: boolean }
    },
    write(writer, value) {
      codec.write(writer, entries.reduce((mask, [name, bit]) => (value[name] ? mask | (1 << bit) : mask), 0) >>> 0)
    },
  }
}

export interface Bounds {
  readonly min?: number
  readonly max: number
}

/** A size, then that many bytes (a TPM2B of opaque content). The bound is checked before anything is taken. */
export function sizedBytes(size: Codec<number>, bounds: Bounds): Codec<Buffer> {
  return {
    read: (reader) => reader.bytes(readBounded(reader, size, bounds, 'size')),
    write(writer, value) {
      size.write(writer, value.byteLength)
      writer.bytes(value)
    },
  }
}

/** A size, then a structure that must fill it exactly (a TPM2B of a structure). */
export function sized<T>(size: Codec<number>, content: Codec<T>, bounds: Bounds): Codec<T> {
  return {
    read: (reader) => {
      const length = readBounded(reader, size, bounds, 'size')
      return reader.window(length, () => content.read(reader))
    },
    write(writer, value) {
      const inner = new Writer()
      content.write(inner, value)
      const bytes = inner.finish()
      size.write(writer, bytes.byteLength)
      writer.bytes(bytes)
    },
  }
}

/** A count, then that many items. */
export function list<T>(count: Codec<number>, item: Codec<T>, bounds: Bounds): Codec<readonly T[]> {
  return {
    read(reader) {
      const length = readBounded(reader, count, bounds, 'count')
      const items: T[] = []
      for (let i = 0; i < length; i++) {
        reader.enter(i)
        items.push(item.read(reader))
        reader.leave()
      }
      return items
    },
    write(writer, items) {
      count.write(writer, items.length)
      for (const value of items) item.write(writer, value)
    },
  }
}

function readBounded(reader: Reader, codec: Codec<number>, bounds: Bounds, what: 'size' | 'count'): number {
  const at = reader.offset
  const value = codec.read(reader)
  if (value > bounds.max) throw reader.tooLarge(at, `${what} ${value} is above the limit of ${bounds.max}`)
  if (value < (bounds.min ?? 0)) throw reader.invalid(at, `${what} ${value} is below the minimum of ${bounds.min ?? 0}`)
  return value
}
