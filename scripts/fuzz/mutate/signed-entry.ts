import { joinParts, splitParts } from '../parts.ts'
import type { Random } from '../random.ts'
import { mutateBytes, oddNumber, type Mutation } from './bytes.ts'
import { u32 } from './tcg-parts.ts'

interface Element {
  tag: number
  /** Elements within, or what there is. */
  content: Element[] | Buffer
}

/** DER as a tree, as far as it is one. */
function readDer(bytes: Buffer): Element[] | undefined {
  const elements: Element[] = []
  let at = 0
  while (at < bytes.byteLength) {
    const tag = bytes[at] ?? 0
    const first = bytes[at + 1] ?? 0x80
    const sizes = first < 0x80 ? 0 : first & 0x7f
    if (first === 0x80 || sizes > 3 || at + 2 + sizes > bytes.byteLength) return undefined
    const size = sizes === 0 ? first : bytes.readUIntBE(at + 2, sizes)
    const content = bytes.subarray(at + 2 + sizes, at + 2 + sizes + size)
    if (content.byteLength < size) return undefined
    const within = (tag & 0x20) !== 0 ? readDer(content) : undefined
    elements.push({ tag, content: within ?? content })
    at += 2 + sizes + size
  }
  return elements
}

function bytesOf({ content }: Element): Buffer {
  return Buffer.isBuffer(content) ? content : writeDer(content)
}

function writeDer(elements: readonly Element[]): Buffer {
  return Buffer.concat(
    elements.flatMap(({ tag, content }) => {
      const bytes = bytesOf({ tag, content })
      const size = bytes.byteLength
      return [Buffer.from([tag]), Buffer.from(size < 0x80 ? [size] : [0x82, size >> 8, size & 0xff]), bytes]
    }),
  )
}

/** Every list of elements in a tree. */
function listsIn(elements: Element[]): Element[][] {
  return [elements, ...elements.flatMap(({ content }) => (Buffer.isBuffer(content) ? [] : listsIn(content)))]
}

function changeDer(field: Buffer, random: Random, other: Buffer): Buffer {
  const tree = readDer(field)
  if (tree === undefined || tree.length === 0) return mutateBytes(field, random, other)
  const list = random.pick(listsIn(tree))
  const at = random.below(list.length)
  const element = list[at]
  const strange = random.pick(listsIn(readDer(other) ?? tree))
  const foreign = strange[random.below(strange.length)]
  if (element === undefined) return mutateBytes(field, random, other)
  switch (random.below(6)) {
    case 0:
      list.splice(at, 1)
      break
    case 1:
      list.splice(at, 0, element)
      break
    case 2:
      element.tag = random.pick([0x02, 0x04, 0x05, 0x06, 0x30, 0x31, 0x80, 0xa0, 0xa1, 0x1f])
      break
    case 3:
      // A copy: a tree that contains itself has no end.
      if (foreign !== undefined) list.splice(at, random.below(2), { tag: foreign.tag, content: bytesOf(foreign) })
      break
    case 4:
      list.push(...list.splice(at, 1))
      break
    default:
      element.content = mutateBytes(bytesOf(element), random, other)
  }
  return writeDer(tree)
}

const TEMPLATES = ['ima-ng', 'ima-sig', 'ima-sigv2', 'ima-modsig', 'evm-sig', 'd-ng|n-ng|sig|d-modsig|modsig']

/** Template and fields of an entry: one of them changed as what it may be, taken from another, lost or moved. */
export const mutateSignedEntry: Mutation = (input, random, other) => {
  const parts = splitParts(input)
  const others = splitParts(other)
  const at = random.below(parts.length)
  const [part, donor] = [parts[at] ?? Buffer.alloc(0), others[at] ?? Buffer.alloc(0)]
  switch (random.below(9)) {
    case 0:
      parts[0] = Buffer.from(random.pick(TEMPLATES))
      break
    case 1:
      parts[at] = donor
      break
    case 2:
      parts.splice(at, 1)
      break
    case 3:
      parts.splice(at, 0, donor)
      break
    case 4:
      // Sizes of attributes, owners.
      parts[at] = Buffer.concat([u32(oddNumber(random)), part.subarray(4)])
      break
    case 5:
      parts[at] = Buffer.concat([part, donor])
      break
    case 6:
      parts[at] = mutateBytes(part, random, donor)
      break
    default:
      parts[at] = Buffer.from(changeDer(part, random, others.at(-1) ?? donor))
  }
  return joinParts(parts)
}
