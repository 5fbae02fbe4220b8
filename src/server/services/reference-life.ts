import { changesBetween, parseReferences, promote, type Promotion, type ReferenceSet } from '../../attest/index.ts'
import { isTouchstoneError, toRfc3339 } from '../../core/index.ts'
import type { ResourceRecord } from '../../store/index.ts'
import type { ReferencePromoted, ReferencePromotion, ResourceHistory } from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'
import { KINDS, loadResource } from './policies.ts'

/**
 * Writes a new revision of a reference set, in which the named entries have another state and all else is as it was. Throws
 * `resource.not_found`, `resource.from_file`, `resource.raced`, `reference.not_found`, `reference.unfit`.
 */
export async function promoteReferences(
  deps: VerifierDeps,
  { name, actor, ...asked }: ReferencePromotion & { readonly name: string; readonly actor: string },
): Promise<ReferencePromoted> {
  const { store, clock, policies } = deps
  const kind = KINDS.references
  const now = clock.now()
  const { resources } = await policies.current('fresh')
  const isThere = resources.some((one) => one.kind === kind && one.name === name)
  const promoted = await store.transaction(async (tx): Promise<ReferencePromoted> => {
    const stored = await tx.resources.byName(kind, name)
    if (stored === undefined) throw new Refusal(isThere ? 'resource.from_file' : 'resource.not_found')
    const { text, changed } = promote(stored.document, promotionOf(asked, now))
    const { revision, digest } = stored
    if (changed === 0) return { name, revision, digest, change: 'unchanged', entries: 0, document: stored.document }
    const made = loadResource(text, { revision: revision + 1, source: 'database', updated: now })
    const answer = { name, digest: made.digest, entries: changed, document: text }
    if (asked.dryRun) return { ...answer, revision, change: 'draft' }
    const { reason, to } = asked
    const { document, digest: of } = made
    const row = { kind, name, revision: made.revision, document, digest: of, updated: now, actor, reason }
    if (!(await tx.resources.insert(row))) throw new Refusal('resource.raced')
    const detail = {
      revision: String(made.revision),
      digest: of,
      to,
      which: asked.value ?? asked.label ?? 'all',
      entries: String(changed),
      reason,
    }
    await writeAudit(tx, deps, { actor, action: 'reference.promote', subject: `${kind}/${name}`, detail })
    return { ...answer, revision: made.revision, change: 'updated' }
  })
  // So that whoever is judged next here is judged by it.
  await policies.current('fresh')
  return promoted
}

type Asked = Omit<ReferencePromotion, 'reason' | 'dryRun'>

function promotionOf({ value, label, to, canary, until, thereafter }: Asked, at: number): Promotion {
  const which = value !== undefined ? { value } : label !== undefined ? { label } : 'all'
  const { selector, percentage } = canary ?? {}
  const nodes = {
    ...(selector === undefined ? {} : { selector }),
    ...(percentage === undefined ? {} : { percentage }),
  }
  return {
    which,
    to,
    at,
    canary: canary === undefined ? undefined : nodes,
    until: until === undefined ? undefined : Date.parse(until),
    thereafter,
  }
}

/** Nobody reads more at a time, and each is a document to read. */
const REVISIONS = 20
/** Of large ones: reading a document of 20 MB takes a second. */
const REVISIONS_OF_LARGE = 3
const LARGE = 2 << 20
const CHANGES = 64

/**
 * Who changed a document when and why, newest first; of references, which values. What is still that of a file has one
 * revision, 0. Throws `resource.not_found`.
 */
export async function historyOf(
  { store, policies }: Pick<VerifierDeps, 'store' | 'policies'>,
  kind: string,
  name: string,
): Promise<ResourceHistory> {
  const newest = await store.resources.byName(kind, name)
  const shown = (newest?.document.length ?? 0) > LARGE ? REVISIONS_OF_LARGE : REVISIONS
  const revisions = await store.resources.history(kind, name, shown + 1)
  if (revisions.length === 0) {
    const { resources } = await policies.current('fresh')
    const file = resources.find((one) => one.kind === kind && one.name === name)
    if (file === undefined) throw new Refusal('resource.not_found')
    const { digest, updated } = file
    return { items: [{ revision: 0, updated: toRfc3339(updated), actor: 'file', digest }] }
  }
  const items: ResourceHistory['items'] = []
  // Each is read once, though it is compared twice.
  const read = new Map<ResourceRecord, ReferenceSet | undefined>()
  const setOf = (record: ResourceRecord) => {
    if (!read.has(record)) read.set(record, readSet(record))
    return read.get(record)
  }
  for (const [at, record] of revisions.slice(0, shown).entries()) {
    const { revision, updated, actor, reason, digest } = record
    // A document may be a megabyte: others are served in between.
    await new Promise((resolve) => setImmediate(resolve))
    const changes = kind === KINDS.references ? changesOf(revisions[at + 1], record, setOf) : undefined
    read.delete(record)
    items.push({
      revision,
      updated: toRfc3339(updated),
      actor,
      ...(reason === undefined ? {} : { reason }),
      digest,
      ...(changes === undefined ? {} : { changes: changes.slice(0, CHANGES) }),
      ...(changes !== undefined && changes.length > CHANGES ? { more: changes.length - CHANGES } : {}),
    })
  }
  return { items }
}

function changesOf(
  before: ResourceRecord | undefined,
  after: ResourceRecord,
  setOf: (record: ResourceRecord) => ReferenceSet | undefined,
) {
  const now = setOf(after)
  return now && changesBetween(before && setOf(before), now).map((change) => ({ ...change }))
}

/** `undefined` for what this version cannot read any more. */
function readSet({ document }: ResourceRecord): ReferenceSet | undefined {
  try {
    return parseReferences(document)[0]
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    return undefined
  }
}
