import { createHash } from 'node:crypto'
import type { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'
import type { PcrBankSelection, PcrSelection } from '../tpm/index.ts'
import { policyProblems } from './policy-problems.ts'
import { attestationPolicy, referenceSet } from './policy-schema.ts'
import type { PolicySpec, ReferenceEntry } from './policy-schema.ts'
import { RULES } from './rule-table.ts'
import type { RuleRow } from './rule-table.ts'
import type { Matcher } from './rule-schema.ts'
import { formatPath, readYaml } from './yaml-document.ts'
import type { Fault, YamlDocument } from './yaml-document.ts'

/** Known-good values under one name, with the state of each. */
export interface ReferenceSet {
  readonly kind: 'ReferenceSet'
  readonly name: string
  readonly description?: string
  /** SHA-256 of the text that it was read from, hex; that of the policy where it came with one. */
  readonly digest: string
  readonly entries: readonly ReferenceEntry[]
}

/** One matcher of a policy, and the row of the rule table whose fact it judges. */
export interface Rule {
  readonly row: RuleRow
  readonly matcher: Matcher
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
  readonly rules: readonly Rule[]
  /** Rows of the rule table whose fact must be known. */
  readonly requiredFacts: readonly RuleRow[]
  readonly references: readonly ReferenceSet[]
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
 * Reads one AttestationPolicy, and the ReferenceSet documents that stand in the same text with it, if any. Throws
 * {@link PolicyError} (`policy.invalid`).
 */
export function parsePolicy(text: string): Policy {
  const resources = parseResources(text)
  const [policy, ...more] = resources.filter((resource) => resource.kind === 'AttestationPolicy')
  if (policy === undefined || more.length > 0) {
    const message = `expected one AttestationPolicy, found ${policy === undefined ? 0 : more.length + 1}`
    throw new PolicyError([{ line: 1, column: 1, path: '', message }])
  }
  const beside = resources.filter((resource) => resource.kind === 'ReferenceSet')
  return { ...policy, references: [...policy.references, ...beside] }
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

/** Reads any number of documents of either kind. Throws {@link PolicyError} with every fault of all of them. */
export function parseResources(text: string): (Policy | ReferenceSet)[] {
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
export function policyId({ name, digest }: Policy): string {
  return `touchstone:policy:${name}:${digest}`
}

function readResource(document: YamlDocument, digest: string, faults: Fault[]): (Policy | ReferenceSet)[] {
  const { value } = document
  const kind = typeof value === 'object' && 'kind' in value ? value['kind'] : undefined
  if (kind === 'AttestationPolicy') {
    const parsed = attestationPolicy.safeParse(value)
    if (!parsed.success) return report(document, parsed.error, faults)
    const { metadata, spec } = parsed.data
    const problems = policyProblems(spec)
    faults.push(...problems.map(({ path, message }) => ({ ...document.locate(path), path: formatPath(path), message })))
    const [judged] = spec.pcrs
    return judged === undefined ? [] : [buildPolicy(metadata, spec, digest, judged)]
  }
  if (kind === 'ReferenceSet') {
    const parsed = referenceSet.safeParse(value)
    if (!parsed.success) return report(document, parsed.error, faults)
    return [{ kind: 'ReferenceSet', ...named(parsed.data.metadata), digest, entries: parsed.data.spec.entries }]
  }
  faults.push({ ...document.locate(['kind']), path: 'kind', message: 'expected AttestationPolicy or ReferenceSet' })
  return []
}

function report(document: YamlDocument, error: z.ZodError, faults: Fault[]): [] {
  for (const issue of error.issues) {
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : [undefined]
    for (const key of keys) {
      const path = key === undefined ? issue.path : [...issue.path, key]
      const message = key === undefined ? messageOf(issue) : 'unknown field'
      faults.push({ ...document.locate(issue.path, key), path: formatPath(path), message })
    }
  }
  return []
}

/** A missing field and an empty one are what people write by mistake; the rest says what it is by itself. */
function messageOf(issue: z.core.$ZodIssue): string {
  return issue.code === 'invalid_type' && issue.input === undefined ? 'the field is required' : issue.message
}

function named({ name, description }: { name: string; description?: string | undefined }) {
  return { name, ...(description === undefined ? {} : { description }) }
}

function buildPolicy(
  metadata: { name: string; description?: string | undefined },
  spec: PolicySpec,
  digest: string,
  judged: PcrBankSelection,
): Policy {
  return {
    kind: 'AttestationPolicy',
    ...named(metadata),
    digest,
    pcrs: spec.pcrs,
    judged,
    purpose: spec.purpose,
    ...(spec.guest === undefined ? {} : { guest: spec.guest }),
    log: spec.log,
    rules: RULES.flatMap((row) => {
      const matcher = row.matcher(spec)
      return matcher === undefined ? [] : [{ row, matcher }]
    }),
    requiredFacts: RULES.filter(({ fact }) => spec.requiredFacts.includes(fact)),
    references: spec.references.map((set) => ({ kind: 'ReferenceSet', ...set, digest })),
  }
}
