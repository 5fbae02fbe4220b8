import { didYouMean } from './closest.ts'
import { exceptionDoubts, exceptionFault } from './exceptions.ts'
import type { PolicyException } from './exceptions.ts'
import { givenRules } from './policy-problems.ts'
import { attestationPolicy } from './policy-schema.ts'
import type { PolicySpec } from './policy-schema.ts'
import { parseResources, PolicyError } from './policy.ts'
import type { Policy, Resource } from './policy.ts'
import { referenceSet, settleEntries } from './reference-schema.ts'
import type { ReferenceState } from './reference-schema.ts'
import { judgesBoot } from './rules.ts'
import { formatPath, readYaml } from './yaml-document.ts'
import type { Fault, YamlDocument } from './yaml-document.ts'

/** One text that is reviewed with others. */
export interface ReviewedFile {
  readonly file: string
  readonly text: string
}

/** `error`: the documents cannot be used as they are. `warning`: they can, and probably say something else than was meant. */
export interface ReviewFinding extends Fault {
  readonly file: string
  readonly severity: 'error' | 'warning'
}

export interface ReviewOptions {
  /** Sets that are in none of the files are the verifier's: a warning then, and else an error. */
  readonly partial?: boolean
  /** Names of the sets that there are beside those in the files. */
  readonly known?: readonly string[]
  /** Milliseconds since the Unix epoch: exceptions that are over by then, or last too long. Not looked at without. */
  readonly now?: number
}

interface Place {
  readonly file: string
  readonly document: YamlDocument
  readonly path: readonly PropertyKey[]
}

interface NamedPlace extends Place {
  readonly name: string
}

interface PolicyPlaces extends Place {
  readonly spec: PolicySpec
  readonly policy: Policy
  /** Sets that travel with it. */
  readonly own: readonly NamedPlace[]
  /** Names of sets in its rules. */
  readonly uses: readonly NamedPlace[]
}

interface Places {
  readonly findings: ReviewFinding[]
  /** As they are read. */
  readonly read: Policy[]
  readonly exceptions: (Place & { readonly exception: PolicyException })[]
  readonly policies: PolicyPlaces[]
  readonly sets: (NamedPlace & { readonly matching: number })[]
}

/**
 * Everything that is wrong or odd about policies and reference sets that belong together: each file's own faults first; a
 * rule that names a set which nobody has; sets that no rule names, or that match nothing; rules that no log can satisfy;
 * exceptions to rules that there are not, or whose time is over.
 */
export function reviewPolicies(files: readonly ReviewedFile[], options: ReviewOptions = {}): ReviewFinding[] {
  const places: Places = { findings: [], read: [], exceptions: [], policies: [], sets: [] }
  for (const each of files) collect(places, each)
  const { findings, policies, sets } = places
  const names = [...sets.map(({ name }) => name), ...(options.known ?? [])]
  for (const policy of policies) {
    const there = [...names, ...policy.own.map(({ name }) => name)]
    findings.push(...policy.uses.filter(({ name }) => !there.includes(name)).map((use) => missing(use, there, options)))
    findings.push(
      ...policy.own.filter((set) => !isUsed(set, [policy])).map(unused),
      ...oddRules(policy),
      ...idle(policy),
    )
  }
  if (policies.length > 0) findings.push(...sets.filter((set) => !isUsed(set, policies)).map(unused))
  findings.push(...sets.filter(({ matching }) => matching === 0).map(matchesNothing))
  findings.push(...places.exceptions.flatMap((each) => oddException(each, places.read, options)))
  return findings.sort((a, b) => (a.file === b.file ? a.line - b.line || a.column - b.column : 0))
}

function collect(places: Places, { file, text }: ReviewedFile): void {
  let resources: readonly Resource[]
  try {
    resources = parseResources(text)
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error
    places.findings.push(...error.faults.map((fault): ReviewFinding => ({ ...fault, file, severity: 'error' })))
    return
  }
  const { documents } = readYaml(text)
  // Without a fault, every document is one resource.
  for (const [index, document] of documents.entries()) {
    const resource = resources[index]
    if (resource?.kind === 'AttestationPolicy') places.read.push(resource)
    if (resource?.kind === 'PolicyException') {
      places.exceptions.push({ file, document, path: ['spec'], exception: resource })
    }
    const policy = attestationPolicy.safeParse(document.value)
    if (policy.success && resource?.kind === 'AttestationPolicy') {
      places.policies.push(policyPlaces(file, document, policy.data.spec, resource))
    }
    const set = referenceSet.safeParse(document.value)
    if (!set.success) continue
    const settled = settleEntries(set.data.spec)
    const matching = settled.filter(({ state }) => MATCHING.includes(state)).length
    places.sets.push({ file, document, path: ['metadata', 'name'], name: set.data.metadata.name, matching })
  }
}

const MATCHING: readonly ReferenceState[] = ['canary', 'active', 'deprecated']

function oddException(
  { exception, ...place }: Places['exceptions'][number],
  policies: readonly Policy[],
  { now, partial = false }: ReviewOptions,
): ReviewFinding[] {
  const fault = now === undefined ? undefined : exceptionFault(exception, now)
  const lasts = fault === undefined ? [] : [found({ ...place, path: ['spec', 'expires'] }, 'error', fault)]
  // Where the policy is the verifier's, only the verifier knows its rules.
  const isElsewhere = policies.length === 0 || (partial && policies.every(({ name }) => name !== exception.policy))
  const doubts = exceptionDoubts(exception, isElsewhere ? undefined : policies, now)
  return [
    ...lasts,
    ...doubts.map(({ field, index, message }) => {
      const path = ['spec', field, ...(index === undefined ? [] : [index])]
      return found({ ...place, path }, 'warning', message)
    }),
  ]
}

function policyPlaces(file: string, document: YamlDocument, spec: PolicySpec, policy: Policy): PolicyPlaces {
  const own = spec.references.map(({ name }, index) => {
    return { file, document, path: ['spec', 'references', index, 'name'], name }
  })
  const uses = namesUnder(document.value, []).map((use) => ({ ...use, file, document }))
  return { file, document, path: ['spec'], spec, policy, own, uses }
}

/** Wherever a rule has `references`, it is a list of names of sets; the sets of the policy itself are no texts. */
function namesUnder(value: unknown, path: readonly PropertyKey[]): { name: string; path: readonly PropertyKey[] }[] {
  if (Array.isArray(value)) {
    if (path.at(-1) !== 'references') return value.flatMap((each, index) => namesUnder(each, [...path, index]))
    return value.flatMap((name, index) => (typeof name === 'string' ? [{ name, path: [...path, index] }] : []))
  }
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, each]) => namesUnder(each, [...path, key]))
}

function isUsed({ name }: { readonly name: string }, policies: readonly PolicyPlaces[]): boolean {
  return policies.some(({ uses }) => uses.some((use) => use.name === name))
}

function found({ file, document, path }: Place, severity: ReviewFinding['severity'], message: string): ReviewFinding {
  return { ...document.locate(path), path: formatPath(path), file, severity, message }
}

function missing(use: NamedPlace, there: readonly string[], { partial = false, known }: ReviewOptions): ReviewFinding {
  const meant = didYouMean(use.name, there)
  const advice =
    known !== undefined
      ? '; while it is missing the rule cannot be evaluated, and no node passes'
      : partial
        ? '; the verifier must have it, or the rule cannot be evaluated'
        : '; name its file too, or say --partial where the verifier has it'
  const where = known === undefined ? 'none of these files has a' : 'there is no'
  const message = `${where} reference set ${use.name}${meant === '' ? advice : meant}`
  return found(use, partial ? 'warning' : 'error', message)
}

function unused(set: NamedPlace): ReviewFinding {
  return found(set, 'warning', `no rule names the reference set ${set.name}`)
}

function matchesNothing(set: NamedPlace): ReviewFinding {
  return found(set, 'warning', `${set.name} has no entry that matches: none is canary, active or deprecated`)
}

function oddRules({ file, document, spec }: PolicyPlaces): ReviewFinding[] {
  const rules = givenRules(spec)
  return rules
    .filter(({ row }) => row.unsupplied === true)
    .map(({ row, path }) => {
      const message = `no log records PCR ${row.pcrs.join(', ')}: the rule can never be evaluated`
      return found({ file, document, path }, 'warning', message)
    })
}

function idle({ policy, ...place }: PolicyPlaces): ReviewFinding[] {
  if (judgesBoot(policy)) return []
  const { rules, expressions } = policy
  const isTried = [...rules, ...expressions].every(({ terms }) => terms.mode === 'monitor')
  const why = isTried ? 'every rule is only monitored' : 'no rule that counts reads anything of the evidence'
  return [found(place, 'warning', `${why}: nothing of a boot is judged, and no node gets more than a warning`)]
}
