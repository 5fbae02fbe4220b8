import type { JsonValue } from '../core/index.ts'

/** A ReferenceSet in JSON: large ones are written so, an entry a line, so that two revisions can be compared by lines. */
export interface JsonSet {
  readonly [field: string]: JsonValue
  readonly spec: { readonly [field: string]: JsonValue; readonly entries: readonly JsonEntry[] }
}

export interface JsonEntry {
  readonly [field: string]: JsonValue
}

/** Fields that are to be written, and (`undefined`) that are to go. */
export type JsonFields = readonly (readonly [name: string, value: JsonValue | undefined])[]

/** The set that is written in a text, as it stands there; `undefined`: it is not in JSON. */
export function readJsonSet(text: string): JsonSet | undefined {
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    return undefined
  }
  return isJsonSet(given) ? given : undefined
}

/** Of what JSON.parse gave, so that there are no values but those of JSON. */
function isJsonSet(given: unknown): given is JsonSet {
  if (!isMapping(given) || !isMapping(given['spec'])) return false
  const entries = given['spec']['entries']
  return Array.isArray(entries) && entries.every(isMapping)
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function withFields(mapping: JsonEntry, fields: JsonFields): JsonEntry {
  const replaced = new Map(fields)
  const kept = Object.entries(mapping).flatMap(([name, value]) => {
    const field = replaced.has(name) ? replaced.get(name) : value
    return field === undefined ? [] : [[name, field] as const]
  })
  const added = fields.flatMap(([name, value]) => {
    return value === undefined || Object.hasOwn(mapping, name) ? [] : [[name, value] as const]
  })
  return Object.fromEntries([...kept, ...added])
}

/** O(n). */
export function writeJsonSet({ spec, ...document }: JsonSet): string {
  const { entries, ...terms } = spec
  const member = (indent: string, [name, value]: readonly [string, JsonValue]) =>
    `${indent}${JSON.stringify(name)}: ${JSON.stringify(value)},\n`
  const list = entries.map((entry) => `      ${JSON.stringify(entry)}`).join(',\n')
  return (
    `{\n${Object.entries(document)
      .map((each) => member('  ', each))
      .join('')}  "spec": {\n` +
    `${Object.entries(terms)
      .map((each) => member('    ', each))
      .join('')}    "entries": [\n${list}\n    ]\n  }\n}\n`
  )
}
