import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { Appraisal } from '../../attest/index.ts'
import type { Check, JsonValue } from '../../core/index.ts'
import type { AttestationRow } from '../../store/index.ts'
import type { Recomputed } from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import type { VerifierDeps } from './deps.ts'
import { judge } from './judgement.ts'
import { evidenceCache, rebuildInput } from './stored-evidence.ts'

/**
 * Judges again what a stored verdict was made of, by what it was made by: the same bytes, policy, references, circumstances. Where
 * the program is the same, so must be the verdict. Throws `attestation.not_found`.
 */
export async function recompute(
  { store, version }: Pick<VerifierDeps, 'store' | 'version'>,
  id: string,
): Promise<Recomputed> {
  const row = await store.attestations.byId(id)
  if (row === undefined) throw new Refusal('attestation.not_found')
  const build = { then: textOf(row.inputs['build']), now: version }
  const rebuilt = await rebuildInput(row, evidenceCache(store))
  if ('missing' in rebuilt) return { outcome: 'impossible', build, missing: [...rebuilt.missing], differences: [] }
  const differences = differencesOf(row, judge(rebuilt.input))
  return { outcome: differences.length === 0 ? 'same' : 'different', build, missing: [], differences }
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : 'unknown'
}

type Difference = Recomputed['differences'][number]

function differencesOf(row: AttestationRow, { status, vector, checks }: Appraisal): Difference[] {
  const found: Difference[] = []
  if (row.status !== status) found.push({ what: 'status', then: row.status, now: status })
  if (!isDeepStrictEqual({ ...row.vector }, { ...vector })) {
    found.push({ what: 'vector', then: { ...row.vector }, now: { ...vector } })
  }
  const count = Math.max(row.checks.length, checks.length)
  for (let at = 0; at < count; at += 1) {
    const [then, now] = [plain(row.checks[at]), plain(checks[at])]
    if (!isDeepStrictEqual(then, now)) found.push({ what: `checks.${at}`, then, now })
  }
  return found
}

/** As it is stored: what is undefined is not there. */
function plain(check: Check | undefined): Difference['then'] {
  return check === undefined ? null : z.json().parse(JSON.parse(JSON.stringify(check)))
}
