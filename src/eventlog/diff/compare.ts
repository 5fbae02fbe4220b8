import { hash } from 'node:crypto'
import { toHex } from '../../core/index.ts'
import type { AnnotatedEvent } from '../annotate.ts'
import { decodeBootOption, LOAD_OPTION_ACTIVE } from '../payload/boot-option.ts'
import { certificateNames } from '../payload/certificate-names.ts'
import { devicePathText } from '../payload/device-path.ts'
import { readEveConfigFile } from '../payload/eve-config.ts'
import { decodeGpt, type Partition } from '../payload/gpt.ts'
import { decodeImageLoad } from '../payload/image.ts'
import { contentOf, decodeSignatureLists } from '../payload/signature-list.ts'
import { labelText } from '../payload/text.ts'
import { plainText } from '../payload/plain.ts'
import { variableValueText } from '../payload/variable-value.ts'
import { decodeVariable } from '../payload/variable.ts'
import { readWindowsEvents } from '../payload/windows-events.ts'
import { childrenOfBoundary, windowsEventText } from '../payload/windows-text.ts'
import { summaryOf } from '../summary.ts'
import { bootNumber, bootOrderNumbers } from '../variables.ts'
import type { EventChange, FieldChange, SubjectKind } from './log-diff.ts'
import { diffWords } from './words.ts'

/** What differs between two events on one subject. */
export type Comparison = Pick<EventChange, 'fields' | 'added' | 'removed' | 'words'>

export const NOTHING: Comparison = { fields: [], added: [], removed: [], words: [] }

/** Descriptions of the boot options of both logs, by number: names for a boot order. */
export type OptionNames = ReadonlyMap<number, string>

/**
 * What two events, of which each takes the other's place, differ in. Read from the payloads, so it is what was measured
 * only where both events are bound. O(n log n) in the payloads.
 */
export function compareEvents(
  kind: SubjectKind,
  before: AnnotatedEvent,
  after: AnnotatedEvent,
  names: { readonly before: OptionNames; readonly after: OptionNames },
): Comparison {
  const compared = compareSubjects(kind, before, after, names)
  const found = compared.fields.length + compared.added.length + compared.removed.length + compared.words.length
  if (found > 0) return compared
  return { ...NOTHING, fields: differing({ digest: digestOf(before) }, { digest: digestOf(after) }) }
}

function compareSubjects(
  kind: SubjectKind,
  before: AnnotatedEvent,
  after: AnnotatedEvent,
  names: { readonly before: OptionNames; readonly after: OptionNames },
): Comparison {
  switch (kind) {
    case 'boot-order':
      return bootOrder(valueOf(before), valueOf(after), names)
    case 'boot-option':
      return { ...NOTHING, fields: differing(bootOption(valueOf(before)), bootOption(valueOf(after))) }
    case 'keys':
      return { ...NOTHING, ...multisets(keysOf(valueOf(before)), keysOf(valueOf(after))) }
    case 'partitions':
      return partitions(before, after)
    case 'file':
      return { ...NOTHING, fields: differing(configFile(before), configFile(after)) }
    case 'image':
      return { ...NOTHING, fields: differing(image(before), image(after)) }
    case 'text':
      return { ...NOTHING, words: diffWords(textOf(before), textOf(after)) }
    case 'variable':
      return { ...NOTHING, fields: variableFields(before, after) }
    case 'settings': {
      const [a, b] = [settingsOf(before), settingsOf(after)]
      return a === undefined || b === undefined
        ? { ...NOTHING, fields: differing(content(before), content(after)) }
        : { ...NOTHING, ...multisets(a, b) }
    }
    case 'action':
    case 'separator':
    case 'other':
      return { ...NOTHING, fields: differing(content(before), content(after)) }
  }
}

type Fields = Readonly<Record<string, string | undefined>>

function differing(before: Fields, after: Fields): FieldChange[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names]
    .map((name) => ({ name, before: before[name] ?? null, after: after[name] ?? null }))
    .filter((field) => field.before !== field.after)
}

/** What only one of two lists has, each as often as it has it more. */
export function multisets(
  before: readonly string[],
  after: readonly string[],
): { readonly added: string[]; readonly removed: string[] } {
  const left = new Map<string, number>()
  for (const value of after) left.set(value, (left.get(value) ?? 0) + 1)
  const removed: string[] = []
  for (const value of before) {
    const count = left.get(value) ?? 0
    if (count === 0) removed.push(value)
    else left.set(value, count - 1)
  }
  return { added: [...left].flatMap(([value, count]) => Array<string>(count).fill(value)), removed }
}

function valueOf({ event, content }: AnnotatedEvent): Buffer {
  const variable = content?.kind === 'variable' ? content.variable : decodeVariable(event.data)
  return variable?.value ?? Buffer.alloc(0)
}

function bootOrder(before: Buffer, after: Buffer, names: { before: OptionNames; after: OptionNames }): Comparison {
  const [a, b] = [bootOrderNumbers(before), bootOrderNumbers(after)]
  const show = (number: number): string => {
    const name = names.after.get(number) ?? names.before.get(number)
    return name === undefined ? optionText(number) : `${optionText(number)} ${name}`
  }
  return {
    ...NOTHING,
    fields: differing({ order: a.map(optionText).join(',') }, { order: b.map(optionText).join(',') }),
    ...multisets(a.map(show), b.map(show)),
  }
}

function optionText(number: number): string {
  return number.toString(16).padStart(4, '0').toUpperCase()
}

function bootOption(value: Buffer): Fields {
  const option = decodeBootOption(value)
  if (option === undefined) return { value: toHex(value) }
  const { attributes, description, devicePath, optionalData } = option
  const active = attributes === undefined ? {} : { active: (attributes & LOAD_OPTION_ACTIVE) === 0 ? 'no' : 'yes' }
  const data = optionalData.byteLength === 0 ? {} : { data: labelText(optionalData) ?? toHex(optionalData) }
  return { description, path: devicePathText(devicePath), ...active, ...data }
}

/** Names of the options that a log has, for those who must read its boot order. */
export function optionNames(events: readonly AnnotatedEvent[]): OptionNames {
  const names = new Map<number, string>()
  for (const { content } of events) {
    if (content?.kind !== 'variable') continue
    const number = bootNumber(content.variable.name)
    const option = number === undefined ? undefined : decodeBootOption(content.variable.value)
    if (number !== undefined && option !== undefined && !names.has(number)) names.set(number, option.description)
  }
  return names
}

function keysOf(value: Buffer): string[] {
  return (decodeSignatureLists(value) ?? []).map((entry) => {
    const bytes = contentOf(entry)
    if (entry.kind !== 'x509') return toHex(bytes)
    // Databases do have two certificates of one subject.
    const subject = certificateNames(bytes)?.subject ?? 'unreadable certificate'
    return `${subject} (sha256 ${hash('sha256', bytes, 'hex').slice(0, 16)})`
  })
}

function partitions(before: AnnotatedEvent, after: AnnotatedEvent): Comparison {
  const [a, b] = [decodeGpt(before.event.data), decodeGpt(after.event.data)]
  if (a === undefined || b === undefined) return { ...NOTHING, fields: differing(content(before), content(after)) }
  const [old, now] = [partitionsByIdentity(a.partitions), partitionsByIdentity(b.partitions)]
  const fields = differing({ disk: a.disk }, { disk: b.disk })
  for (const [identity, partition] of old) {
    const same = now.get(identity)
    if (same === undefined) continue
    const differences = differing({ ...partition.fields }, { ...same.fields })
    fields.push(...differences.map((field) => ({ ...field, name: `${partition.name} ${SPOKEN[field.name] ?? ''}` })))
  }
  return {
    ...NOTHING,
    fields,
    removed: [...old].filter(([identity]) => !now.has(identity)).map(([, { name }]) => name),
    added: [...now].filter(([identity]) => !old.has(identity)).map(([, { name }]) => name),
  }
}

const NO_GUID = '00000000-0000-0000-0000-000000000000'

/** The second version of the event leaves the identifiers zero; then the place in the table tells entries apart. */
function partitionsByIdentity(
  partitions: readonly Partition[],
): ReadonlyMap<string, { readonly name: string; readonly fields: Partition }> {
  return new Map(
    partitions.map((fields, at) => {
      const name = fields.name === '' ? `partition ${at + 1}` : fields.name
      return [fields.guid === NO_GUID ? `${at}` : fields.guid, { name, fields }]
    }),
  )
}

const SPOKEN: Readonly<Record<string, string>> = {
  type: 'type',
  guid: 'identifier',
  name: 'name',
  attributes: 'attributes',
  firstBlock: 'first block',
  lastBlock: 'last block',
}

function configFile({ event }: AnnotatedEvent): Fields {
  const file = readEveConfigFile(labelText(event.data) ?? '')
  return { exists: file?.exists === true ? 'yes' : 'no', 'content-hash': file?.contentHash }
}

function image(annotated: AnnotatedEvent): Fields {
  const load = decodeImageLoad(annotated.event.data)
  return {
    digest: digestOf(annotated),
    path: load === undefined ? undefined : devicePathText(load.devicePath),
  }
}

function textOf({ event, content }: AnnotatedEvent): string {
  return content?.kind === 'written' ? content.text : (labelText(event.data) ?? '')
}

/** What is said of an event whose payload is measured is the difference; otherwise it is the digest, and a label. */
function content(annotated: AnnotatedEvent): Fields {
  const said = summaryOf(annotated)
  if (annotated.binding !== 'unbound') return { content: said }
  return { digest: digestOf(annotated), label: said }
}

function digestOf({ digest }: AnnotatedEvent): string | undefined {
  return digest === undefined ? undefined : toHex(digest)
}

/** Vendors' variables have no layout that is known; which bytes differ is what there is to say. */
function variableFields(before: AnnotatedEvent, after: AnnotatedEvent): FieldChange[] {
  const [a, b] = [valueOf(before), valueOf(after)]
  if (a.byteLength !== b.byteLength || a.byteLength < MIN_BINARY || labelText(a) !== undefined) {
    return differing({ value: variableText(before) }, { value: variableText(after) })
  }
  const fields: FieldChange[] = []
  for (let at = 0; at < a.byteLength && fields.length < MAX_BYTES; at++) {
    if (a[at] === b[at]) continue
    fields.push({ name: `byte ${at}`, before: a.toString('hex', at, at + 1), after: b.toString('hex', at, at + 1) })
  }
  return fields
}

function variableText({ event, content: vouched }: AnnotatedEvent): string | undefined {
  const variable = vouched?.kind === 'variable' ? vouched.variable : decodeVariable(event.data)
  return variable === undefined ? undefined : (variableValueText(variable) ?? plainText(variable.value))
}

/** Each setting and module of Windows' log as a line; `undefined` for tagged events of others. */
function settingsOf({ event }: AnnotatedEvent): string[] | undefined {
  return readWindowsEvents(event.data)?.flatMap(childrenOfBoundary).map(windowsEventText)
}

const MIN_BINARY = 9
const MAX_BYTES = 32
