import { createHash } from 'node:crypto'
import type { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'
import type { PcrBankSelection, PcrSelection } from '../tpm/index.ts'
import { didYouMean } from './closest.ts'
import { readExpressionRules } from './expression-rules.ts'
import type { ExpressionRule, Problem } from './expression-rules.ts'
import { policyException } from './exception-schema.ts'
import type { PolicyException } from './exceptions.ts'
import { fieldsAt } from './policy-json-schema.ts'
import type { Kind } from './policy-json-schema.ts'
import { imaTerms } from './ima-schema.ts'
import { policyProblems } from './policy-problems.ts'
import { attestationPolicy } from './policy-schema.ts'
import type { PolicySpec } from './policy-schema.ts'
import { referenceSet, settleEntries } from './reference-schema.ts'
import type { Provenance, ReferenceEntry } from './reference-schema.ts'
import { RULES, registersOf } from './rule-table.ts'
import type { RuleRow } from './rule-table.ts'
import type { GivenMatcher, Matcher } from './rule-schema.ts'
import { settleTerms } from './rule-terms.ts'
import type { Terms } from './rule-terms.ts'
import { formatPath, readYaml } from './yaml-document.ts'
import type { Fault, YamlDocument } from './yaml-document.ts'

const KINDS = ['AttestationPolicy', 'ReferenceSet', 'PolicyException'] as const satisfies readonly Kind[]

/** What a document says. */
export type Resource = Policy | ReferenceSet | PolicyException

/** Known-good values under one name, with the state of each. */
export interface ReferenceSet {
  readonly kind: 'ReferenceSet'
  readonly name: string
  readonly description?: string
  /** SHA-256 of the text that it was read from, hex; that of the policy where it came with one. */
  readonly digest: string
  readonly provenance?: Provenance
  /** Each with what the set says of all. */
  readonly entries: readonly ReferenceEntry[]
}

/** One matcher of a policy, and the row of the rule table whose fact it judges. */
export interface Rule {
  readonly row: RuleRow
  readonly matcher: Matcher
  /** Registers that the answer rests on: those of the fact, and of what vouches for it. */
  readonly pcrs: readonly number[]
  readonly terms: Terms
}

export interface Policy {
  readonly kind: 'AttestationPolicy'
  readonly name: string
  readonly description?: string
  /** SHA-256 of the text, hex: what a verdict pins. */
  readonly digest: string
  /** What a node quotes under this policy. */
  readonly pcrs: PcrSelection
  /** The first bank of `pcrs`: the one that is judged. */
  readonly judged: PcrBankSelection
  readonly purpose: PolicySpec['purpose']
  /** Present where it is for guests. */
  readonly guest?: NonNullable<PolicySpec['guest']>
  readonly log: PolicySpec['log']
  /** Present where entries of the IMA log are judged. */
  readonly ima?: NonNullable<PolicySpec['ima']>
  readonly rules: readonly Rule[]
  /** The rules that are expressions, compiled. */
  readonly expressions: readonly ExpressionRule[]
  /** What each rule's outcome means, by what its checks carry as `rule`. */
  readonly terms: ReadonlyMap<string, Terms>
  /** Rows of the rule table whose fact must be known. */
  readonly requiredFacts: readonly RuleRow[]
  readonly references: readonly ReferenceSet[]
  /** Those that stand in the same text. */
  readonly exceptions: readonly PolicyException[]
}

/** A document that cannot be used: every fault at once, with line and column. */
export class PolicyError extends TouchstoneError {
  readonly faults: readonly Fault[]

  constructor(unsorted: readonly Fault[]) {
    const faults = unsorted.toSorted((a, b) => a.line - b.line || a.column - b.column)
    super('policy.invalid', faults.map(formatFault).join('\n'), { details: { faults: faults.length } })
    this.name = 'PolicyError'
    this.faults = faults
  }
}

/** `12:7 spec.pcr.7: needs anyOf or references` */
function formatFault({ line, column, path, message }: Fault): string {
  return `${line}:${column} ${path === '' ? '' : `${path}: `}${message}`
}

/**
 * Reads one AttestationPolicy, and the ReferenceSet and PolicyException documents that stand in the same text with it, if
 * any. Throws {@link PolicyError} (`policy.invalid`).
 */
export function parsePolicy(text: string): Policy {
  const resources = parseResources(text)
  const [policy, ...more] = resources.filter((resource) => resource.kind === 'AttestationPolicy')
  if (policy === undefined || more.length > 0) {
    const message = `expected one AttestationPolicy, found ${policy === undefined ? 0 : more.length + 1}`
    throw new PolicyError([{ line: 1, column: 1, path: '', message }])
  }
  const beside = resources.filter((resource) => resource.kind === 'ReferenceSet')
  const exceptions = resources.filter((resource) => resource.kind === 'PolicyException')
  return { ...policy, references: [...policy.references, ...beside], exceptions }
}

/** Reads a text of ReferenceSet documents alone. Throws {@link PolicyError}. */
export function parseReferences(text: string): ReferenceSet[] {
  const resources = parseResources(text)
  const sets = resources.filter((resource) => resource.kind === 'ReferenceSet')
  if (sets.length === 0 || sets.length < resources.length) {
    throw new PolicyError([{ line: 1, column: 1, path: '', message: 'expected ReferenceSet documents and no others' }])
  }
  return sets
}

/** Reads one PolicyException. Throws {@link PolicyError}. */
export function parseException(text: string): PolicyException {
  const [exception, ...more] = parseResources(text)
  if (exception?.kind === 'PolicyException' && more.length === 0) return exception
  throw new PolicyError([{ line: 1, column: 1, path: '', message: 'expected one PolicyException and nothing else' }])
}

/** Reads any number of documents of any kind. Throws {@link PolicyError} with every fault of all of them. */
export function parseResources(text: string): Resource[] {
  const { documents, faults } = readYaml(text)
  const digest = createHash('sha256').update(text).digest('hex')
  const resources = documents.flatMap((document) => readResource(document, digest, faults))
  if (faults.length === 0 && resources.length === 0) {
    faults.push({ line: 1, column: 1, path: '', message: 'the text has no document' })
  }
  if (faults.length > 0) throw new PolicyError(faults)
  return resources
}

/** Names a policy and its exact text: `touchstone:policy:fleet:9f86…`. */
export function policyId({ name, digest }: Pick<Policy, 'name' | 'digest'>): string {
  return `touchstone:policy:${name}:${digest}`
}

function readResource(document: YamlDocument, digest: string, faults: Fault[]): Resource[] {
  const { value } = document
  const kind = typeof value === 'object' && 'kind' in value ? value['kind'] : undefined
  if (kind === 'AttestationPolicy') {
    const parsed = attestationPolicy.safeParse(value)
    if (!parsed.success) return report(document, kind, parsed.error, faults)
    const { metadata, spec } = parsed.data
    const expressions = readExpressionRules(spec.rules, metadata.name)
    const problems = [...policyProblems(spec, expressions.rules), ...expressions.problems]
    faults.push(...problems.map((problem) => faultOf(document, problem)))
    const [judged] = spec.pcrs
    return judged === undefined ? [] : [buildPolicy(metadata, spec, digest, judged, expressions.rules)]
  }
  if (kind === 'ReferenceSet') {
    const parsed = referenceSet.safeParse(value)
    if (!parsed.success) return report(document, kind, parsed.error, faults)
    return [{ kind, ...named(parsed.data.metadata), ...setOf(parsed.data.spec, digest) }]
  }
  if (kind === 'PolicyException') {
    const parsed = policyException.safeParse(value)
    if (!parsed.success) return report(document, kind, parsed.error, faults)
    return [{ kind, ...named(parsed.data.metadata), digest, ...parsed.data.spec }]
  }
  const meant = typeof kind === 'string' ? didYouMean(kind, KINDS) : ''
  const message = `expected ${KINDS.slice(0, -1).join(', ')} or ${KINDS.at(-1) ?? ''}${meant}`
  faults.push({ ...document.locate(['kind']), path: 'kind', message })
  return []
}

function setOf(spec: z.output<typeof referenceSet>['spec'], digest: string) {
  const { provenance } = spec
  return { digest, ...(provenance === undefined ? {} : { provenance }), entries: settleEntries(spec) }
}

function faultOf(document: YamlDocument, { path, at, message }: Problem): Fault {
  const position = at === undefined ? document.locate(path) : document.locateWithin(path, at)
  return { ...position, path: formatPath(path), message }
}

function report(document: YamlDocument, kind: Kind, error: z.ZodError, faults: Fault[]): [] {
  // Nobody repairs more at a time, and each is looked up in the text; one mapping may have as many unknown fields as bytes.
  const listed = error.issues.slice(0, MAX_ISSUES).flatMap((issue) => {
    const keys = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, MAX_ISSUES) : [undefined]
    return keys.map((key) => ({ issue, key }))
  })
  for (const { issue, key } of listed.slice(0, MAX_ISSUES)) {
    const path = key === undefined ? issue.path : [...issue.path, key]
    const message =
      key === undefined
        ? messageOf(issue, valueAt(document.value, issue.path), fieldsAt(kind, issue.path))
        : `unknown field${didYouMean(key, fieldsAt(kind, issue.path))}`
    faults.push({ ...document.locate(issue.path, key), path: formatPath(path), message })
  }
  return []
}

const MAX_ISSUES = 100

const EXPECTED: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'fields',
  record: 'fields',
  string: 'a text',
}

/** A missing field, one of another form, and a word that is nearly one of those that there are are what people write by mistake. */
function messageOf(issue: z.core.$ZodIssue, value: unknown, fields: readonly string[]): string {
  switch (issue.code) {
    case 'invalid_type': {
      if (value === undefined) return 'the field is required'
      const wanted = EXPECTED[issue.expected] ?? issue.expected
      const some =
        wanted === 'fields' && fields.length > 0
          ? ` (${fields.slice(0, 6).join(', ')}${fields.length > 6 ? ', …' : ''})`
          : ''
      return `expected ${wanted}${some}, and this is ${formOf(value)}`
    }
    case 'invalid_value': {
      const words = issue.values.filter((each) => typeof each === 'string')
      // Of one word alone, the message has it already.
      return typeof value === 'string' && words.length > 1
        ? `${issue.message}${didYouMean(value, words)}`
        : issue.message
    }
    case 'invalid_key':
      return issue.issues[0]?.message ?? issue.message
    default:
      return issue.message
  }
}

function formOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  return value === '' ? 'empty' : 'a text'
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, step) => {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined
    const member: unknown = Reflect.get(at, step)
    return member
  }, value)
}

function named({ name, description }: { name: string; description?: string | undefined }) {
  return { name, ...(description === undefined ? {} : { description }) }
}

function buildPolicy(
  metadata: { name: string; description?: string | undefined },
  spec: PolicySpec,
  digest: string,
  judged: PcrBankSelection,
  expressions: readonly ExpressionRule[],
): Policy {
  const rules = RULES.flatMap((row) => {
    const given = row.matcher(spec)
    return given === undefined ? [] : [buildRule(row, given, metadata.name)]
  })
  const ima = spec.ima === undefined ? [] : imaTerms(spec.ima, metadata.name).values()
  return {
    kind: 'AttestationPolicy',
    ...named(metadata),
    digest,
    pcrs: spec.pcrs,
    judged,
    purpose: spec.purpose,
    ...(spec.guest === undefined ? {} : { guest: spec.guest }),
    log: spec.log,
    ...(spec.ima === undefined ? {} : { ima: spec.ima }),
    rules,
    expressions,
    terms: new Map([...[...rules, ...expressions].map(({ terms }) => terms), ...ima].map((terms) => [terms.id, terms])),
    requiredFacts: RULES.filter(({ fact }) => spec.requiredFacts.includes(fact)),
    references: spec.references.map((set) => ({ kind: 'ReferenceSet', name: set.name, ...setOf(set, digest) })),
    exceptions: [],
  }
}

function buildRule(row: RuleRow, given: GivenMatcher, policy: string): Rule {
  const terms = settleTerms(given, policy, { name: row.fact, claim: row.claim })
  return { row, matcher: { ...given, onFailure: terms.onFailure }, pcrs: registersOf(row, given), terms }
}
