import { exceptionDoubts, exceptionFault, type PolicyException, reviewPolicies } from '../../attest/index.ts'
import { isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import type { ApplyResult } from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'
import { KINDS, loadResource, type LoadedResource, type PolicySnapshot, type PolicySource } from './policies.ts'

type Applied = ApplyResult['items'][number]

/**
 * Stores documents as the newest revisions of what they name: all of them, or none. What is there already with the same
 * text stays as it is. Throws `policy.invalid` with every fault, `policy.ambiguous` where afterwards nobody could
 * tell which policy to judge by, and `resource.raced` where others were applied meanwhile.
 */
export async function applyDocuments(
  deps: VerifierDeps,
  documents: readonly string[],
  actor: string,
  reason?: string,
): Promise<ApplyResult> {
  const { store, clock, policies } = deps
  const now = clock.now()
  const loaded = readAll(documents, now)
  const after = await checkTogether(policies, loaded)
  const inForce = new Map((await policies.current('fresh')).resources.map((one) => [`${one.kind}/${one.name}`, one]))
  const items = await store.transaction(async (tx) => {
    // What was applied in between may be ambiguous together with these.
    if ((await tx.resources.version()) !== after.version) throw new Refusal('resource.raced')
    const done: Applied[] = []
    for (const { kind, name, digest, document } of loaded) {
      const before = inForce.get(`${kind}/${name}`)
      const stored = await tx.resources.byName(kind, name)
      if ((stored ?? before)?.digest === digest) {
        done.push({ kind, name, revision: stored?.revision ?? 0, digest, change: 'unchanged' })
        continue
      }
      const revision = (stored?.revision ?? 0) + 1
      const inserted = await tx.resources.insert({
        kind,
        name,
        revision,
        document,
        digest,
        updated: now,
        actor,
        reason,
      })
      if (!inserted) throw new Refusal('resource.raced')
      const detail = { revision: String(revision), digest, ...(reason === undefined ? {} : { reason }) }
      await writeAudit(tx, deps, { actor, action: 'resource.apply', subject: `${kind}/${name}`, detail })
      done.push({
        kind,
        name,
        revision,
        digest,
        change: before === undefined && stored === undefined ? 'created' : 'updated',
      })
    }
    return done
  })
  // So that whoever is judged next here is judged by them.
  await policies.current('fresh')
  const warnings = doubtsOf(loaded, after, now)
  return { items, ...(warnings.length === 0 ? {} : { warnings }) }
}

/** Every document of an operator's request, read. Throws `policy.invalid` with every fault. */
export function readAll(documents: readonly string[], now: number): readonly LoadedResource[] {
  const faults: string[] = []
  const loaded: LoadedResource[] = []
  for (const [index, document] of documents.entries()) {
    try {
      const resource = loadResource(document, { revision: 0, source: 'database', updated: now })
      if (loaded.some(({ kind, name }) => kind === resource.kind && name === resource.name)) {
        faults.push(`document ${index + 1}: ${resource.kind} ${resource.name} occurs twice`)
      }
      const { parsed } = resource
      const fault = parsed.kind === KINDS.exceptions ? exceptionFault(parsed, now) : undefined
      if (fault !== undefined) faults.push(`document ${index + 1}: ${fault}`)
      loaded.push(resource)
    } catch (error) {
      if (!isTouchstoneError(error)) throw error
      faults.push(`document ${index + 1}: ${error.message}`)
    }
  }
  if (faults.length > 0) throw new TouchstoneError('policy.invalid', faults.join('\n'))
  return loaded
}

/** What is probably not meant: of policies that were applied, and of exceptions. */
function doubtsOf(loaded: readonly LoadedResource[], after: PolicySnapshot, now: number): string[] {
  return [...policyDoubts(loaded, after), ...exceptionsInDoubt(loaded, after, now)]
}

/** Sets that nobody has, rules that can never be evaluated, and policies that judge nothing: nodes would not pass, or all would. */
export function policyDoubts(
  loaded: readonly LoadedResource[],
  { references }: Pick<PolicySnapshot, 'references'>,
): string[] {
  const known = references.map(({ name }) => name)
  return loaded
    .filter(({ kind }) => kind === KINDS.policy)
    .flatMap(({ name, document }) =>
      reviewPolicies([{ file: name, text: document }], { known, partial: true }).map(
        ({ line, column, path, message }) => `policy ${name}, ${line}:${column} ${path}: ${message}`,
      ),
    )
}

/** Of the exceptions that were applied, and of those that a policy which was applied may have left behind. */
function exceptionsInDoubt(
  loaded: readonly LoadedResource[],
  { resources, exceptions }: PolicySnapshot,
  now: number,
): string[] {
  const policies = resources.flatMap(({ parsed }) => (parsed.kind === KINDS.policy ? [parsed] : []))
  const isChanged = ({ name, policy }: PolicyException) =>
    loaded.some(({ kind, name: of }) =>
      kind === KINDS.policy ? policy === undefined || policy === of : kind === KINDS.exceptions && name === of,
    )
  return exceptions
    .filter(isChanged)
    .flatMap((exception) =>
      exceptionDoubts(exception, policies, now).map(({ message }) => `exception ${exception.name}: ${message}`),
    )
}

/**
 * What would be in force with these. A purpose that nobody serves yet is no fault: operators may begin with references.
 * Throws `policy.ambiguous`.
 */
export async function checkTogether(
  policies: PolicySource,
  loaded: readonly LoadedResource[],
): Promise<PolicySnapshot> {
  const after = await policies.with(loaded)
  for (const purpose of ['enrolment', 'attestation'] as const) {
    for (const subject of ['node', 'guest'] as const) {
      try {
        after.policyFor(purpose, subject)
      } catch (error) {
        if (!isTouchstoneError(error, 'policy.none')) throw error
      }
    }
  }
  return after
}
