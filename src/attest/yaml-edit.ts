import { isMap, isScalar } from 'yaml'
import type { Pair, YAMLMap } from 'yaml'
import { TouchstoneError } from '../core/index.ts'

/** Fields of a mapping: what is to be written, and (`undefined`) what is to go. */
export type Fields = readonly (readonly [name: string, text: string | undefined])[]

interface Change {
  readonly from: number
  readonly to: number
  readonly text: string
}

/**
 * Collects changes of fields of mappings in a YAML text, and makes them where they stand: everything else stays as it is, to the
 * byte. What comes out is to be read again, because a text may have any layout. Throws `reference.unfit`.
 */
export function mappingEditor(text: string) {
  const changes: Change[] = []
  return {
    set(node: unknown, fields: Fields): void {
      if (!isMap(node)) throw unfit('an entry is no mapping')
      const pairs = pairsOf(node)
      for (const [name, value] of fields) {
        const known = pairs.find((pair) => pair.name === name)
        if (known === undefined) continue
        changes.push(value === undefined ? removal(text, node, pairs, known) : replacement(text, known, value))
      }
      const added = fields.filter(([name, value]) => value !== undefined && !pairs.some((pair) => pair.name === name))
      const last = pairs.at(-1)
      if (added.length === 0) return
      if (last === undefined) throw unfit('an entry is empty')
      const lines = added.map(([name, value = '']) => `${name}: ${value}`)
      const list = pairs.find(({ name }) => name === 'entries')
      if (list !== undefined) {
        // Of a set: above its entries, where people look for it.
        const between = node.flow === true ? ', ' : `\n${' '.repeat(columnOf(text, list.from))}`
        changes.push({ from: list.from, to: list.from, text: lines.map((line) => `${line}${between}`).join('') })
        return
      }
      const at = trimmed(text, last.from, last.valueTo)
      if (node.flow === true) changes.push({ from: at, to: at, text: lines.map((line) => `, ${line}`).join('') })
      else {
        const end = endOfLine(text, at)
        const indent = ' '.repeat(columnOf(text, pairs[0]?.from ?? 0))
        changes.push({ from: end, to: end, text: lines.map((line) => `\n${indent}${line}`).join('') })
      }
    },
    text(): string {
      const ordered = changes.toSorted((a, b) => a.from - b.from || a.to - b.to)
      let made = ''
      let at = 0
      for (const { from, to, text: inserted } of ordered) {
        if (from < at) throw unfit('two changes meet')
        made += text.slice(at, from) + inserted
        at = to
      }
      return made + text.slice(at)
    },
  }
}

interface Place {
  readonly name: string
  /** Where the key begins and ends. */
  readonly from: number
  readonly keyTo: number
  readonly valueFrom: number
  readonly valueTo: number
}

function pairsOf(node: YAMLMap): readonly Place[] {
  return node.items.map((pair: Pair): Place => {
    const { key, value } = pair
    if (!isScalar(key) || !key.range) throw unfit('a key is no text')
    const [from, keyTo] = key.range
    const range = typeof value === 'object' && value !== null && 'range' in value ? value.range : undefined
    const [valueFrom, valueTo] = isRange(range) ? range : [keyTo, keyTo]
    return { name: String(key.value), from, keyTo, valueFrom, valueTo }
  })
}

function isRange(range: unknown): range is [number, number, number] {
  return Array.isArray(range) && range.every((each) => typeof each === 'number')
}

function replacement(text: string, { keyTo, valueFrom, valueTo }: Place, value: string): Change {
  const to = trimmed(text, valueFrom, valueTo)
  // What begins on a line of its own is a block, and goes as a whole.
  const isBeside = valueFrom > keyTo && !text.slice(keyTo, valueFrom).includes('\n')
  if (isBeside) return { from: valueFrom, to, text: value }
  const from = text.indexOf(':', keyTo) + 1
  return { from, to: Math.max(from, to), text: ` ${value}` }
}

function removal(text: string, node: YAMLMap, pairs: readonly Place[], place: Place): Change {
  const index = pairs.indexOf(place)
  const before = pairs[index - 1]
  const end = trimmed(text, place.from, place.valueTo)
  if (before === undefined) throw unfit(`${place.name} stands first in its entry`)
  if (node.flow === true) return { from: trimmed(text, before.from, before.valueTo), to: end, text: '' }
  return { from: text.lastIndexOf('\n', place.from), to: endOfLine(text, end), text: '' }
}

/** The end of what was written, without white space behind it. */
function trimmed(text: string, from: number, to: number): number {
  let end = to
  while (end > from && /\s/.test(text.charAt(end - 1))) end -= 1
  return end
}

function endOfLine(text: string, at: number): number {
  const end = text.indexOf('\n', at)
  if (end < 0) return text.length
  return text.charAt(end - 1) === '\r' ? end - 1 : end
}

function columnOf(text: string, at: number): number {
  return at - (text.lastIndexOf('\n', at - 1) + 1)
}

export function unfit(message: string): TouchstoneError {
  return new TouchstoneError('reference.unfit', message)
}
