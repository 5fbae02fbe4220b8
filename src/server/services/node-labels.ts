import { MAX_LABELS } from '../../core/index.ts'
import { Refusal } from '../http/refusal.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'

interface Labelling {
  readonly nodeId: string
  readonly actor: string
  /** `null` takes one away; what is not named stays. */
  readonly labels: Readonly<Record<string, string | null>>
}

/** Canaries, exceptions and rules choose nodes by these. Throws `node.not_found`, `node.labels`. */
export async function labelNode(deps: VerifierDeps, { nodeId, actor, labels }: Labelling): Promise<void> {
  await deps.store.transaction(async (tx) => {
    const node = await tx.nodes.byId(nodeId)
    if (node === undefined) throw new Refusal('node.not_found')
    const merged = Object.entries({ ...node.labels, ...labels })
    const kept = Object.fromEntries(merged.filter((entry): entry is [string, string] => entry[1] !== null))
    if (Object.keys(kept).length > MAX_LABELS) throw new Refusal('node.labels')
    const changed = Object.entries(labels).filter(([name, value]) => (node.labels[name] ?? null) !== value)
    if (changed.length === 0) return
    await tx.nodes.setLabels(node.nodeId, kept)
    const detail = Object.fromEntries(changed.map(([name, value]) => [name, value ?? '(taken away)']))
    await writeAudit(tx, deps, { actor, action: 'node.label', subject: nodeId, detail })
  })
}
