import {
  parseResources,
  type Policy,
  type PolicyException,
  type ReferenceSet,
  type Resource,
} from '../../attest/index.ts'
import { type Clock, isTouchstoneError, toHex, TouchstoneError } from '../../core/index.ts'
import type { ResourceRecord, Store } from '../../store/index.ts'
import { sha256 } from '../../wire/index.ts'

/** How long a snapshot may be used before the database is asked again. */
const MAX_AGE_MS = 2000

export const KINDS = {
  policy: 'AttestationPolicy',
  references: 'ReferenceSet',
  exceptions: 'PolicyException',
} as const

export type Purpose = 'enrolment' | 'attestation'

/** Machines and guests boot differently, and may have policies of their own. */
export type Subject = 'node' | 'guest'

/** One document, read and where it came from. */
export interface LoadedResource {
  readonly kind: string
  readonly name: string
  /** 0 for what comes from a file. */
  readonly revision: number
  readonly source: 'file' | 'database'
  readonly document: string
  readonly digest: string
  readonly updated: number
  readonly parsed: Resource
}

/** What was applied and this version cannot read: nobody is judged before it is replaced. */
interface UnreadableResource {
  readonly kind: string
  readonly name: string
  readonly error: TouchstoneError
}

export interface PolicySnapshot {
  /** See `resources.version` of the store. */
  readonly version: number
  readonly resources: readonly LoadedResource[]
  readonly unreadable: readonly UnreadableResource[]
  readonly references: readonly ReferenceSet[]
  readonly exceptions: readonly PolicyException[]
  /** Of a machine unless told otherwise. Throws `policy.none`, `policy.ambiguous`, or `store.row` while one is unreadable. */
  policyFor(purpose: Purpose, subject?: Subject): Policy
}

export interface PolicySource {
  /** What is in force, at most two seconds old, or as of now. */
  current(age?: 'fresh'): Promise<PolicySnapshot>
  /** What would be in force with `applied` on top; for judging documents before they are stored. */
  with(applied: readonly LoadedResource[]): Promise<PolicySnapshot>
}

/** The policy that each purpose is pinned to by the configuration. */
export type Pins = { readonly [purpose in Purpose]?: string | undefined }

/** `files` come from the configuration; what operators apply replaces a file of the same kind and name. */
export function policySource(store: Store, clock: Clock, files: readonly LoadedResource[], pins: Pins): PolicySource {
  let latest: { readonly at: number; readonly snapshot: PolicySnapshot } | undefined

  let kept = false
  /** Documents never change under one digest, and may take a second to read: nodes wait meanwhile. */
  const loadKnown = (record: ResourceRecord): Layer => {
    const { kind, name, digest, revision, updated } = record
    const known = latest?.snapshot.resources.find(
      (one) => one.digest === digest && one.kind === kind && one.name === name,
    )
    return known === undefined ? loadStored(record) : { ...known, revision, updated, source: 'database' }
  }

  const load = async (): Promise<PolicySnapshot> => {
    // What a verdict was made by must be there when it is recomputed, whatever became of the file.
    if (!kept) await store.resources.keep(files, clock.now())
    kept = true
    const version = await store.resources.version()
    if (latest?.snapshot.version === version) return latest.snapshot
    const stored = await store.resources.list()
    return snapshotOf(version, [...files, ...stored.map(loadKnown)], pins)
  }

  const current = async (age?: 'fresh') => {
    const now = clock.now()
    if (age === undefined && latest !== undefined && now - latest.at <= MAX_AGE_MS && now >= latest.at)
      return latest.snapshot
    const snapshot = await load()
    latest = { at: now, snapshot }
    return snapshot
  }

  return {
    current,
    with: async (applied) => {
      const base = await load()
      return snapshotOf(base.version, [...base.resources, ...base.unreadable, ...applied], pins)
    },
  }
}

const ATTEMPTS = 3

/**
 * Runs `work` under the policies in force. `work` answers `stale` when it found, inside its transaction, that they had
 * changed since the snapshot was taken; then it runs again under the new ones. Throws `resource.raced` when they change
 * faster than that.
 */
export async function underCurrentPolicy<T>(
  policies: PolicySource,
  work: (snapshot: PolicySnapshot) => Promise<T | 'stale'>,
): Promise<T> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const outcome = await work(await policies.current(attempt === 0 ? undefined : 'fresh'))
    if (outcome !== 'stale') return outcome
  }
  throw new TouchstoneError('resource.raced')
}

/** Reads one document. Throws `policy.invalid`. */
export function loadResource(
  document: string,
  origin: Pick<LoadedResource, 'revision' | 'source' | 'updated'>,
): LoadedResource {
  const [parsed, ...more] = read(document)
  if (parsed === undefined || more.length > 0) {
    throw new TouchstoneError('policy.invalid', `expected one document, found ${more.length + 1}`)
  }
  return { ...origin, kind: parsed.kind, name: parsed.name, digest: parsed.digest, document, parsed }
}

/** What was read lately and is large: what-if is asked page by page, and what is applied is read twice. */
const remembered = new Map<string, readonly Resource[]>()
const LARGE = 1 << 20
const MAX_REMEMBERED = 2

function read(document: string): readonly Resource[] {
  if (document.length <= LARGE) return parseResources(document)
  const digest = toHex(sha256(Buffer.from(document, 'utf8')))
  const known = remembered.get(digest)
  if (known !== undefined) return known
  const resources = parseResources(document)
  remembered.set(digest, resources)
  for (const oldest of [...remembered.keys()].slice(0, -MAX_REMEMBERED)) remembered.delete(oldest)
  return resources
}

/** What was applied was valid then; when it no longer is, that is the verifier's trouble and not that of who asks. */
function loadStored({ kind, name, revision, document, updated }: ResourceRecord): Layer {
  try {
    return loadResource(document, { revision, source: 'database', updated })
  } catch (cause) {
    if (!isTouchstoneError(cause)) throw cause
    const message = `${kind} ${name}, revision ${revision}, cannot be read: ${cause.message}`
    return { kind, name, error: new TouchstoneError('store.row', message, { cause }) }
  }
}

type Layer = LoadedResource | UnreadableResource

function snapshotOf(version: number, layers: readonly Layer[], pins: Pins): PolicySnapshot {
  // Later layers replace earlier ones of the same kind and name.
  const byName = new Map(layers.map((resource) => [`${resource.kind}/${resource.name}`, resource]))
  const unreadable = [...byName.values()].filter((layer) => 'error' in layer)
  const resources = [...byName.values()]
    .flatMap((layer) => ('error' in layer ? [] : [layer]))
    .sort((a, b) => a.name.localeCompare(b.name, 'en'))
  const policies = resources.flatMap(({ parsed }) => (parsed.kind === 'AttestationPolicy' ? [parsed] : []))
  return {
    version,
    resources,
    unreadable,
    references: resources.flatMap(({ parsed }) => (parsed.kind === 'ReferenceSet' ? [parsed] : [])),
    exceptions: resources.flatMap(({ parsed }) => (parsed.kind === 'PolicyException' ? [parsed] : [])),
    policyFor: (purpose, subject = 'node') => {
      // Without it another policy might be chosen, or nothing be revoked.
      if (unreadable[0] !== undefined) throw unreadable[0].error
      const forNodes = policies.filter(({ guest }) => guest === undefined)
      const forGuests = policies.filter((policy) => policy.guest !== undefined && serves(policy, purpose))
      const isOwn = subject === 'guest' && forGuests.length > 0
      return isOwn ? choose(forGuests, purpose, undefined) : choose(forNodes, purpose, pins[purpose])
    },
  }
}

function serves(policy: Policy, purpose: Purpose): boolean {
  return policy.purpose === purpose || policy.purpose === 'any'
}

/** The pinned policy; else the only one made for the purpose; else the only one made for any. */
function choose(policies: readonly Policy[], purpose: Purpose, pin: string | undefined): Policy {
  const named = pin === undefined ? undefined : policies.filter(({ name }) => name === pin)
  const own = policies.filter((policy) => policy.purpose === purpose)
  const candidates = named ?? (own.length > 0 ? own : policies.filter((policy) => policy.purpose === 'any'))
  const [policy, ...more] = candidates
  if (policy === undefined) {
    throw new TouchstoneError('policy.none', `there is no policy ${pin ?? ''} for ${purpose}`.replace('  ', ' '))
  }
  if (more.length > 0) {
    const names = candidates.map(({ name }) => name).join(', ')
    throw new TouchstoneError('policy.ambiguous', `for ${purpose} there are ${names}`)
  }
  return policy
}
