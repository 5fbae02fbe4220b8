import { concernsNode, endException, type PolicyException } from '../../attest/index.ts'
import { toRfc3339 } from '../../core/index.ts'
import type { NodeRecord, Repositories } from '../../store/index.ts'
import type { ExcusedPage, ExceptionEnded } from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'
import { factsOf } from './node-facts.ts'
import { KINDS, loadResource, type PolicySource } from './policies.ts'

interface Ending {
  readonly name: string
  readonly actor: string
  readonly reason: string
}

/**
 * Writes a new revision of an exception, which ends now and is otherwise as it was. Throws `resource.not_found`,
 * `resource.from_file`, `resource.raced`, `reference.unfit`.
 */
export async function endExceptionNow(deps: VerifierDeps, { name, actor, reason }: Ending): Promise<ExceptionEnded> {
  const { store, clock, policies } = deps
  const kind = KINDS.exceptions
  const now = clock.now()
  await exceptionNamed(policies, name)
  const ended = await store.transaction(async (tx): Promise<ExceptionEnded> => {
    const stored = await tx.resources.byName(kind, name)
    if (stored === undefined) throw new Refusal('resource.from_file')
    const { parsed: before } = loadResource(stored.document, {
      revision: stored.revision,
      source: 'database',
      updated: now,
    })
    if (before.kind === kind && before.expires <= now) {
      return { name, revision: stored.revision, change: 'unchanged', expires: toRfc3339(before.expires) }
    }
    const document = endException(stored.document, now)
    const revision = stored.revision + 1
    const { digest } = loadResource(document, { revision, source: 'database', updated: now })
    const row = { kind, name, revision, document, digest, updated: now, actor, reason }
    if (!(await tx.resources.insert(row))) throw new Refusal('resource.raced')
    const detail = { revision: String(revision), digest, reason }
    await writeAudit(tx, deps, { actor, action: 'exception.end', subject: `${kind}/${name}`, detail })
    return { name, revision, change: 'updated', expires: toRfc3339(now) }
  })
  // So that whoever is judged next here is judged without it.
  await policies.current('fresh')
  return ended
}

async function exceptionNamed(policies: PolicySource, name: string): Promise<PolicyException> {
  const found = (await policies.current('fresh')).exceptions.find((each) => each.name === name)
  if (found === undefined) throw new Refusal('resource.not_found')
  return found
}

interface ExcusedAsked {
  readonly name: string
  readonly limit: number
  readonly after?: string | undefined
}

/**
 * What the exception is about at present: of the newest verdict of each node on this page that it concerns, the checks in which
 * it has a part. Throws `resource.not_found`.
 */
export async function excusedBy(
  { store, policies }: Pick<VerifierDeps, 'store' | 'policies'>,
  { name, limit, after }: ExcusedAsked,
): Promise<ExcusedPage> {
  const exception = await exceptionNamed(policies, name)
  const { nodes, next } = await pageOf(store, exception, limit, after)
  const concerned = nodes.filter((node) => concernsNode(exception, factsOf(node)))
  const ids = concerned.flatMap(({ lastAttestation }) => (lastAttestation === undefined ? [] : [lastAttestation.id]))
  const rows = new Map((await store.attestations.byIds(ids)).map((row) => [row.id, row]))
  const items = concerned.flatMap(({ nodeId, model, serial, lastAttestation }) => {
    const row = rows.get(lastAttestation?.id ?? '')
    const checks = row?.checks.filter((check) => check.exception?.name === name) ?? []
    if (row === undefined || checks.length === 0) return []
    return [{ nodeId, model, serial, attestation: row.id, time: toRfc3339(row.time), status: row.status, checks }]
  })
  return { concerned: concerned.length, items, ...(next === undefined ? {} : { next }) }
}

interface NodesPage {
  readonly nodes: readonly NodeRecord[]
  readonly next: string | undefined
}

/** Those that it names, or, where it chooses by labels, all of the fleet. */
async function pageOf(
  { nodes }: Pick<Repositories, 'nodes'>,
  { nodes: { ids } }: PolicyException,
  limit: number,
  after: string | undefined,
): Promise<NodesPage> {
  if (ids !== undefined) {
    const named = await Promise.all(ids.map((id) => nodes.byId(id)))
    return { nodes: named.filter((node) => node !== undefined), next: undefined }
  }
  const listed = await nodes.list({ limit: limit + 1, ...(after === undefined ? {} : { after }) })
  const page = listed.slice(0, limit)
  return { nodes: page, next: listed.length > limit ? page.at(-1)?.nodeId : undefined }
}
