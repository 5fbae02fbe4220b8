import { z } from 'zod'
import { policyException } from './exception-schema.ts'
import { attestationPolicy } from './policy-schema.ts'
import { referenceSet } from './reference-schema.ts'

/** A JSON Schema of draft 7, which every editor reads. */
export interface JsonSchema {
  readonly [keyword: string]: unknown
}

export const SCHEMAS = {
  AttestationPolicy: attestationPolicy,
  ReferenceSet: referenceSet,
  PolicyException: policyException,
} as const
export type Kind = keyof typeof SCHEMAS

const made = new Map<Kind, JsonSchema>()

/**
 * What a document of this kind looks like, for editors. It knows the shape and not the sense: whether a rule's registers
 * are quoted, what an expression reads and which sets there are is `policy check`'s to say. Made once.
 */
export function jsonSchemaOf(kind: Kind): JsonSchema {
  const known = made.get(kind)
  if (known !== undefined) return known
  const schema = z.toJSONSchema(SCHEMAS[kind], {
    io: 'input',
    target: 'draft-7',
    reused: 'ref',
    override: ({ jsonSchema }) => {
      Object.assign(jsonSchema, asEditorsReadIt(jsonSchema))
    },
  })
  const named: JsonSchema = { ...schema, title: `Touchstone ${kind}` }
  made.set(kind, named)
  return named
}

/** The same as it is published: by `policy schema`, under policies/schema, and by verifiers. */
export function schemaText(kind: Kind): string {
  return `${JSON.stringify(jsonSchemaOf(kind), null, 2)}\n`
}

/**
 * The parser of policies keeps every scalar a text; editors make numbers of `33` and truth values of `true` first, and
 * must not find fault with what is right.
 */
function asEditorsReadIt({ type, const: constant, enum: words }: JsonSchema): JsonSchema {
  if (type !== 'string') return {}
  const allowed: readonly unknown[] = Array.isArray(words) ? words : constant === undefined ? [] : [constant]
  if (!allowed.some((word) => word === 'true' || word === 'false')) {
    return allowed.length > 0 ? {} : { type: ['string', 'number', 'boolean'] }
  }
  return {
    type: ['string', 'boolean'],
    const: undefined,
    enum: allowed.flatMap((word) => [word === 'true', word]),
  }
}

/** Names of the fields that may stand at a path of a document; none where it may have any, or there is no such place. */
export function fieldsAt(kind: Kind, path: readonly PropertyKey[]): readonly string[] {
  const schema = jsonSchemaOf(kind)
  let at: unknown = schema
  for (const step of path) {
    const next =
      typeof step === 'number'
        ? memberOf(at, 'items')
        : (memberOf(memberOf(at, 'properties'), step) ?? memberOf(at, 'additionalProperties'))
    at = resolve(schema, next)
  }
  const properties = memberOf(at, 'properties')
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : []
}

const MAX_REFERENCES = 8

/** Parts that occur more than once stand in `definitions`: `#/definitions/…`, perhaps within `allOf`, perhaps again. */
function resolve(schema: JsonSchema, part: unknown): unknown {
  let at = part
  for (let followed = 0; followed < MAX_REFERENCES; followed += 1) {
    const alternatives: unknown = memberOf(at, 'allOf')
    const first: unknown = Array.isArray(alternatives) ? alternatives[0] : at
    const ref = memberOf(first, '$ref')
    if (typeof ref !== 'string') return first
    at = memberOf(schema['definitions'], ref.split('/').at(-1) ?? '')
  }
  return at
}

function memberOf(value: unknown, name: PropertyKey): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  const member: unknown = Reflect.get(value, name)
  return member
}
