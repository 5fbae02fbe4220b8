import { firstFailure, isTouchstoneError } from '../../core/index.ts'
import type { AttestationRow, NodeRecord, Repositories } from '../../store/index.ts'
import type { WhatIfPage } from '../../wire/index.ts'
import { checkTogether, readAll } from './apply.ts'
import type { VerifierDeps } from './deps.ts'
import { underOtherRules } from './ima-log.ts'
import { judge } from './judgement.ts'
import { exceptionsOf, factsOf } from './node-facts.ts'
import type { PolicySnapshot } from './policies.ts'
import { evidenceCache, type EvidenceCache, rebuildInput } from './stored-evidence.ts'

interface WhatIf {
  readonly documents: readonly string[]
  readonly limit: number
  readonly after?: string | undefined
}

/** Verdicts that are read at a time: each comes with everything that it was made of. */
const BATCH = 50

/**
 * What would become of the newest verdict of each node on this page if these documents were applied: the same evidence, judged
 * now, with the labels that the node has now, because references and exceptions begin, end and choose by these. Nothing is stored.
 * Costs one warm appraisal a node, and a whole one where it has an IMA log; others are served between any two. Throws `policy.invalid`, `policy.ambiguous`, `policy.none`.
 */
export async function whatIf(
  deps: Pick<VerifierDeps, 'store' | 'policies' | 'clock'>,
  { documents, limit, after }: WhatIf,
): Promise<WhatIfPage> {
  const { store, policies, clock } = deps
  const now = clock.now()
  const loaded = readAll(documents, now)
  await checkTogether(policies, loaded)
  const draft = await policies.with(loaded)
  const nodes = await store.nodes.list({ limit: limit + 1, ...(after === undefined ? {} : { after }) })
  const page = nodes.slice(0, limit)
  const cache = evidenceCache(store)
  const counts = { same: 0, changed: 0, impossible: 0, none: 0 }
  const changes: WhatIfPage['changes'] = []
  for (let from = 0; from < page.length; from += BATCH) {
    const batch = page.slice(from, from + BATCH)
    const ids = batch.flatMap(({ lastAttestation }) => (lastAttestation === undefined ? [] : [lastAttestation.id]))
    const rows = new Map((await store.attestations.byIds(ids)).map((row) => [row.id, row]))
    for (const node of batch) {
      await new Promise((resolve) => setImmediate(resolve))
      const row = node.lastAttestation && rows.get(node.lastAttestation.id)
      const found = row === undefined ? 'none' : await compare(store, node, row, draft, cache, now)
      if (typeof found === 'string') counts[found] += 1
      else {
        counts.changed += 1
        changes.push(found)
      }
    }
  }
  const last = nodes.length > limit ? page.at(-1) : undefined
  return { counts, changes, ...(last === undefined ? {} : { next: last.nodeId }) }
}

async function compare(
  store: Pick<Repositories, 'imaLogs'>,
  record: NodeRecord,
  row: AttestationRow,
  draft: PolicySnapshot,
  cache: EvidenceCache,
  now: number,
): Promise<'same' | 'impossible' | WhatIfPage['changes'][number]> {
  const rebuilt = await rebuildInput(row, cache).catch((error: unknown) => {
    // One row that somebody changed must not hide what becomes of the others; recomputing it says what is wrong.
    if (!isTouchstoneError(error, 'store.row')) throw error
    return undefined
  })
  if (rebuilt === undefined || 'missing' in rebuilt) return 'impossible'
  const { nodeId, model, serial, guest } = record
  const policy = draft.policyFor(row.purpose, guest === undefined ? 'node' : 'guest')
  const node = factsOf(record)
  const exceptions = exceptionsOf(draft.exceptions, node)
  const drafted = { ...rebuilt.input, policy, references: draft.references, exceptions, node, now }
  const { status, checks } = judge(await underOtherRules(store, row, drafted))
  if (status === row.status) return 'same'
  const why = status === 'affirming' ? undefined : firstFailure(checks)
  return { nodeId, model, serial, from: row.status, to: status, ...(why === undefined ? {} : { why }) }
}
