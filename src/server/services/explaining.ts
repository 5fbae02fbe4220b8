import { z } from 'zod'
import { explainVerdict, parsePolicy, type ReferenceSet } from '../../attest/index.ts'
import { isTouchstoneError, toRfc3339, TouchstoneError } from '../../core/index.ts'
import type { AttestationRow, Repositories } from '../../store/index.ts'
import { parsePcrSelection } from '../../tpm/index.ts'
import type { VerdictExplanation } from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import type { VerifierDeps } from './deps.ts'
import { factsOf } from './node-facts.ts'
import { userspaceOf } from './userspace-log.ts'

/** Good verdicts that are looked through for one whose log is still there; nodes reboot seldom, and keep many logs. */
const LOOKED_THROUGH = 32

/** What a verdict pins, of which the explanation needs this much. */
const inputs = z.object({
  selection: z.string(),
  eventLog: z.string(),
  policy: z.object({ digest: z.string() }),
})

/**
 * Likely causes of a stored verdict: what failed, and how the boot differs from the last good one of the node, by the references
 * of today. Reads two logs and compares them: a quarter of a second at the very most, see `explainVerdict`. Throws
 * `attestation.not_found`.
 */
export async function explainAttestation(
  { store, policies, clock }: Pick<VerifierDeps, 'store' | 'policies' | 'clock'>,
  id: string,
): Promise<VerdictExplanation> {
  const row = await store.attestations.byId(id)
  if (row === undefined) throw new Refusal('attestation.not_found')
  const { selection, eventLog, policy } = inputsOf(row)
  const [judged] = parsePcrSelection(selection)
  if (judged === undefined) throw new TouchstoneError('store.row', `attestation ${row.id} selects no registers`)
  const good = await lastGoodOf(store, row)
  const now = await store.logs.byDigest(eventLog)
  const { references } = await policies.current('fresh')
  const { hash: bank, pcrs: quoted } = judged
  const node = await store.nodes.byId(row.nodeId)
  const explanation = explainVerdict({
    checks: row.checks,
    before: good && { eventLog: good.eventLog, userspaceLog: (await userspaceOf(store.logs, good.row))?.log },
    now: now && { eventLog: now, userspaceLog: (await userspaceOf(store.logs, row))?.log },
    bank,
    quoted,
    references: [...references, ...(await ownReferences(store, policy.digest))],
    circumstances: { now: clock.now(), node: node && factsOf(node) },
  })
  if (good === undefined) return explanation
  const { time, akName, resetCount } = good.row
  const sameBoot = akName === row.akName && resetCount === row.resetCount
  return { lastGood: { id: good.row.id, time: toRfc3339(time), sameBoot }, ...explanation }
}

function inputsOf(row: AttestationRow): z.output<typeof inputs> {
  const read = inputs.safeParse(row.inputs)
  if (!read.success) throw new TouchstoneError('store.row', `attestation ${row.id} does not say what it was made of`)
  return read.data
}

interface GoodBoot {
  readonly row: AttestationRow
  readonly eventLog: Buffer
}

/** The newest verdict of the same node that is older, was affirming, and whose log is still stored. */
async function lastGoodOf({ attestations, logs }: Repositories, row: AttestationRow): Promise<GoodBoot | undefined> {
  const older = await attestations.list({ node: row.nodeId, status: 'affirming', after: row.id, limit: LOOKED_THROUGH })
  const rows = new Map((await attestations.byIds(older.map((each) => each.id))).map((each) => [each.id, each]))
  const missing = new Set<string>()
  for (const { id } of older) {
    const candidate = rows.get(id)
    if (candidate === undefined) continue
    const digest = candidate.inputs['eventLog']
    if (typeof digest !== 'string' || missing.has(digest)) continue
    const eventLog = await logs.byDigest(digest)
    if (eventLog !== undefined) return { row: candidate, eventLog }
    missing.add(digest)
  }
  return undefined
}

/** The sets that came with the policy of then. */
async function ownReferences({ resources }: Repositories, digest: string): Promise<readonly ReferenceSet[]> {
  const text = await resources.byDigest(digest)
  try {
    return text === undefined ? [] : parsePolicy(text).references
  } catch (error) {
    // One that this version cannot read any more takes nothing from what else there is to say.
    if (!isTouchstoneError(error)) throw error
    return []
  }
}
