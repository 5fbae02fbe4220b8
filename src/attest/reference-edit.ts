import { isMap, isSeq, parseDocument } from 'yaml'
import { TouchstoneError, toRfc3339 } from '../core/index.ts'
import type { JsonValue } from '../core/index.ts'
import { readJsonSet, withFields, writeJsonSet } from './json-reference.ts'
import type { JsonEntry, JsonFields } from './json-reference.ts'
import { parseReferences } from './policy.ts'
import type { ReferenceSet } from './policy.ts'
import { REFERENCE_STATES } from './reference-schema.ts'
import type { ReferenceEntry, ReferenceState } from './reference-schema.ts'
import { mappingEditor, unfit } from './yaml-edit.ts'
import type { Fields } from './yaml-edit.ts'

/** Which entries: those with the value, those with the label, or all; and what becomes of them. */
export interface Promotion {
  readonly which: { readonly value: string } | { readonly label: string } | 'all'
  readonly to: ReferenceState
  /** Milliseconds since the Unix epoch: since when it has that state. */
  readonly at: number
  /** For canary: which nodes. What is there already stays unless it is given. */
  readonly canary?: { readonly selector?: Readonly<Record<string, string>>; readonly percentage?: number } | undefined
  /** For deprecated: when it stops matching, and what it is then. */
  readonly until?: number | undefined
  readonly thereafter?: 'unknown' | 'revoked' | undefined
}

export interface Promoted {
  readonly text: string
  /** Entries that have another state, or another canary or end, than before. */
  readonly changed: number
}

/**
 * The text of a ReferenceSet with other states, and everything else as it was, to the byte: comments, order, quotes; of one in
 * JSON, everything else that it says. Throws
 * `reference.not_found`, and `reference.unfit` for what cannot be done in that text. O(text).
 */
export function promote(text: string, promotion: Promotion): Promoted {
  const [before, ...more] = parseReferences(text)
  if (before === undefined || more.length > 0) throw unfit('there is more than one document in it')
  const made = readJsonSet(text) === undefined ? inYaml(text, before, promotion) : inJson(text, before, promotion)
  const [after] = readAgain(made)
  requirePromoted(before.entries, after?.entries ?? [], promotion)
  return { text: made, changed: before.entries.filter((entry, index) => isOther(entry, after?.entries[index])).length }
}

function inYaml(text: string, before: ReferenceSet, promotion: Promotion): string {
  const document = parseDocument(text, { schema: 'failsafe' })
  const spec = document.getIn(['spec'])
  const entries = document.getIn(['spec', 'entries'])
  if (!isMap(spec) || !isSeq(entries)) throw unfit('it has no entries')
  const edits = mappingEditor(text)
  const change = (node: unknown) => edits.set(node, fieldsOf(promotion, canaryOf(node) ?? canaryOf(spec)))
  if (promotion.which !== 'all') {
    for (const index of chosenOf(before, promotion)) change(entries.items[index])
  } else {
    const own = entries.items.filter((item) => isMap(item) && item.has('state') && item.get('state') !== 'revoked')
    for (const item of own) change(item)
    // What has no state of its own has that of the set.
    if (own.length < entries.items.length || spec.has('state')) change(spec)
  }
  return edits.text()
}

/** Of a document in JSON no layout is kept, only what it says. */
function inJson(text: string, before: ReferenceSet, promotion: Promotion): string {
  const document = readJsonSet(text)
  if (document === undefined) throw unfit('it has no entries')
  const { spec } = document
  const change = (node: JsonEntry) => withFields(node, jsonFieldsOf(promotion, node['canary'] ?? spec['canary']))
  if (promotion.which !== 'all') {
    const chosen = new Set(chosenOf(before, promotion))
    const entries = spec.entries.map((entry, index) => (chosen.has(index) ? change(entry) : entry))
    return writeJsonSet({ ...document, spec: { ...spec, entries } })
  }
  const hasOwn = (entry: JsonEntry) => entry['state'] !== undefined && entry['state'] !== 'revoked'
  const entries = spec.entries.map((entry) => (hasOwn(entry) ? change(entry) : entry))
  const isOfSet = spec['state'] !== undefined || !spec.entries.every(hasOwn)
  const { entries: _, ...terms } = spec
  return writeJsonSet({ ...document, spec: { ...(isOfSet ? change(terms) : terms), entries } })
}

function chosenOf({ entries }: ReferenceSet, promotion: Promotion): readonly number[] {
  const chosen = entries.flatMap((entry, index) => (isMeant(entry, promotion) ? [index] : []))
  if (chosen.length === 0) throw new TouchstoneError('reference.not_found')
  return chosen
}

function isMeant({ value, label }: ReferenceEntry, { which }: Promotion): boolean {
  if (which === 'all') return true
  return 'value' in which ? value === which.value : label === which.label
}

interface WrittenCanary {
  readonly selector?: Readonly<Record<string, string>> | undefined
  readonly percentage?: string | undefined
}

/** As it is written, in a text without fault. */
function canaryOf(node: unknown): WrittenCanary | undefined {
  const canary = isMap(node) ? node.get('canary') : undefined
  if (!isMap(canary)) return undefined
  const selector = canary.get('selector')
  const percentage = canary.get('percentage')
  const pairs = isMap(selector) ? selector.items.map(({ key, value }) => [String(key), String(value)]) : undefined
  return {
    selector: pairs && textsOf(pairs),
    percentage: typeof percentage === 'string' ? percentage : undefined,
  }
}

function textsOf(pairs: readonly (readonly string[])[]): Record<string, string> {
  return Object.fromEntries(pairs.map(([name = '', value = '']) => [name, value]))
}

/** What is written, and (`undefined`) what no longer fits. A canary's nodes stay those that they were where none are given. */
function fieldsOf({ to, at, canary, until, thereafter }: Promotion, known: WrittenCanary = {}): Fields {
  const selector = canary?.selector ?? known.selector
  const percentage = canary?.percentage ?? known.percentage
  const parts = [
    ...(selector === undefined
      ? []
      : [
          `selector: { ${Object.entries(selector)
            .map(([name, value]) => `${scalar(name)}: ${scalar(value)}`)
            .join(', ')} }`,
        ]),
    ...(percentage === undefined ? [] : [`percentage: ${percentage}`]),
  ]
  return [
    ['state', to],
    ['since', toRfc3339(at)],
    ...(to === 'canary' && canary !== undefined && parts.length > 0
      ? [['canary', `{ ${parts.join(', ')} }`] as const]
      : []),
    ['until', to === 'deprecated' && until !== undefined ? toRfc3339(until) : undefined],
    ['thereafter', to === 'deprecated' && until !== undefined ? thereafter : undefined],
  ]
}

/** The same in JSON. */
function jsonFieldsOf({ to, at, canary, until, thereafter }: Promotion, known: JsonValue | undefined): JsonFields {
  const isEnding = to === 'deprecated' && until !== undefined
  const { selector, percentage } = canary ?? {}
  const before = isMapping(known) ? known : {}
  const nodes = {
    ...before,
    ...(selector === undefined ? {} : { selector: { ...selector } }),
    ...(percentage === undefined ? {} : { percentage }),
  }
  return [
    ['state', to],
    ['since', toRfc3339(at)],
    ...(to === 'canary' && canary !== undefined && Object.keys(nodes).length > 0 ? [['canary', nodes] as const] : []),
    ['until', isEnding ? toRfc3339(until) : undefined],
    ['thereafter', isEnding ? thereafter : undefined],
  ]
}

function isMapping(value: JsonValue | undefined): value is JsonEntry {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** As YAML reads it back, in a flow mapping too. */
function scalar(text: string): string {
  return /^[A-Za-z][A-Za-z0-9._/-]*$/.test(text) ? text : JSON.stringify(text)
}

function readAgain(text: string) {
  try {
    return parseReferences(text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : ''
    throw new TouchstoneError('reference.unfit', `it would no longer be one that can be read: ${why}`, { cause })
  }
}

/** What was written must be what was meant, whatever the text looks like. */
function requirePromoted(
  before: readonly ReferenceEntry[],
  after: readonly ReferenceEntry[],
  promotion: Promotion,
): void {
  const { to } = promotion
  const isWrong = before.some((entry, index) => {
    const now = after[index]
    if (now?.value !== entry.value || now.label !== entry.label || now.path !== entry.path) return true
    if (!isMeant(entry, promotion)) return isOther(entry, now)
    return promotion.which === 'all' ? entry.state !== 'revoked' && now.state !== to : now.state !== to
  })
  if (before.length !== after.length) throw unfit('its layout is not one that can be changed in place')
  if (!isWrong) return
  const isHeldBack = after.some((entry) => REFERENCE_STATES.indexOf(entry.state) < REFERENCE_STATES.indexOf(to))
  throw unfit(
    isHeldBack
      ? 'the state of the whole set is more cautious than that, and stands for all its entries: promote --all'
      : 'its layout is not one that can be changed in place',
  )
}

function isOther(a: ReferenceEntry, b: ReferenceEntry | undefined): boolean {
  const told = ({ state, canary, until, thereafter }: ReferenceEntry) =>
    JSON.stringify([state, canary, until, thereafter])
  return b === undefined || told(a) !== told(b)
}
