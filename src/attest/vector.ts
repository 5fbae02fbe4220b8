import { counts } from '../core/index.ts'
import type { Check, Outcome, Status, TrustClaim, TrustVector, Verdict } from '../core/index.ts'
import type { Policy } from './policy.ts'
import { RULES } from './rule-table.ts'
import { isOfHouse } from './rules.ts'

// Values: draft-ietf-rats-ar4si section 2.3. A claim that nothing speaks of is left out; runtime-opaque, storage-opaque
// and sourced-data always are, because a TPM's evidence says nothing on them.

const MEASURED = ['configuration', 'executables', 'hardware'] as const
const EVERYTHING = ['instance-identity', ...MEASURED] as const

interface Impact {
  readonly claims: readonly TrustClaim[]
  /** Value of a failure; an `indeterminate` counts as one. */
  readonly fail: number
  readonly warn: number
}

/** Cryptographic validation failed: nothing of the evidence is worth anything. */
const UNPROVEN: Impact = { claims: EVERYTHING, fail: 99, warn: 32 }
/** Whoever rules the host rules the guest's memory, and its TPM with it. */
const HOSTED: Impact = { claims: EVERYTHING, fail: 96, warn: 32 }
const UNMEASURED: Impact = { claims: MEASURED, fail: 96, warn: 32 }

/** What each check of the house does to the vector. A check that is not here must not fail unseen: it is UNPROVEN. */
const IMPACTS: Readonly<Record<string, Impact>> = {
  'ak.enrolled': { claims: ['instance-identity'], fail: 97, warn: 32 },
  'quote.clock': { claims: ['instance-identity'], fail: 96, warn: 32 },
  'quote.counters': { claims: ['instance-identity'], fail: 96, warn: 32 },
  'quote.firmware-version': { claims: ['hardware'], fail: 96, warn: 32 },
  // Where a log cannot be read, nothing of it is proved.
  'log.readable': { claims: MEASURED, fail: 99, warn: 32 },
  'bank.unmeasured': UNMEASURED,
  'bank.strength': UNMEASURED,
  'pcr.zero': UNMEASURED,
  'pcr.measured': UNMEASURED,
  'log.structure': UNMEASURED,
  'log.userspace': UNMEASURED,
  'ima.replay': { claims: ['executables'], fail: 96, warn: 32 },
  'ima.structure': { claims: ['executables'], fail: 96, warn: 32 },
  'ima.boot-aggregate': { claims: ['executables'], fail: 96, warn: 32 },
  'ima.files': { claims: ['executables'], fail: 96, warn: 32 },
  'ima.violations': { claims: ['executables'], fail: 96, warn: 32 },
  'ima.buffers': { claims: ['configuration'], fail: 96, warn: 32 },
  'ima.device-mapper': { claims: ['file-system'], fail: 96, warn: 32 },
  'policy.evaluated': UNMEASURED,
  'guest.placement': { claims: ['instance-identity'], fail: 96, warn: 32 },
  'guest.host-active': HOSTED,
  'guest.host-boot': HOSTED,
  'guest.host-fresh': HOSTED,
  'guest.host-verdict': HOSTED,
  'link.present': { claims: ['instance-identity'], fail: 96, warn: 32 },
  'link.host-state': HOSTED,
  'link.generation': { claims: ['instance-identity'], fail: 96, warn: 32 },
}

const RULE: Readonly<Record<TrustClaim, Impact>> = {
  'instance-identity': { claims: ['instance-identity'], fail: 96, warn: 32 },
  configuration: { claims: ['configuration'], fail: 96, warn: 32 },
  executables: { claims: ['executables'], fail: 96, warn: 32 },
  'file-system': { claims: ['file-system'], fail: 96, warn: 32 },
  hardware: { claims: ['hardware'], fail: 96, warn: 32 },
}

/** Codes whose value is not that of the check: a revoked key is known, an unknown one is not. */
const VALUE_OF_CODE: Readonly<Record<string, number>> = { 'ak.revoked': 96 }

const CLAIM_OF_FACT: ReadonlyMap<string, TrustClaim> = new Map(RULES.map(({ fact, claim }) => [fact, claim]))

/** Matches, and says that something better is known: never what a rule's failure sets. */
const MILD = 'policy.deprecated'

function impactOf(check: Check, policy: Policy): Impact {
  const terms = check.rule === undefined ? undefined : policy.terms.get(check.rule)
  if (terms === undefined) {
    if (check.check !== 'policy.rule' && check.check !== 'policy.required-fact') return IMPACTS[check.check] ?? UNPROVEN
    const claim = CLAIM_OF_FACT.get(check.claim ?? '')
    return claim === undefined ? UNPROVEN : RULE[claim]
  }
  const { claims, fail, warn } = RULE[terms.claim]
  // What denies never sets less than a denial, and what warns no more than a warning: a revoked value denies always.
  return terms.onFailure === 'deny'
    ? { claims, fail: terms.value, warn }
    : { claims, fail, warn: check.code === MILD ? warn : terms.value }
}

function valueOf(check: Check, { fail, warn }: Impact, policy: Policy): number | undefined {
  switch (check.outcome) {
    case 'pass':
      return undefined
    case 'warn':
      return check.exception?.sets ?? warn
    case 'fail':
      return (check.code === undefined ? undefined : VALUE_OF_CODE[check.code]) ?? fail
    case 'indeterminate':
      return policy.terms.get(check.rule ?? '')?.onFailure === 'warn' ? warn : fail
  }
}

/** What the policy's rules that passed give ground to say; without such a rule a claim is only ever lowered. */
function affirmed(checks: readonly Check[], policy: Policy): TrustVector {
  const passed = new Set<string>()
  const unfit = new Set<string>()
  const claims = new Set<TrustClaim>()
  for (const check of checks) {
    if (check.check !== 'policy.rule' || isOfHouse(check) || !counts(check)) continue
    const terms = check.rule === undefined ? undefined : policy.terms.get(check.rule)
    const subject = check.claim ?? check.rule ?? ''
    if (check.outcome !== 'pass') unfit.add(subject)
    passed.add(subject)
    const claim = terms?.claim ?? CLAIM_OF_FACT.get(subject)
    if (claim !== undefined && check.outcome === 'pass') claims.add(claim)
  }
  const holds = (fact: string) => passed.has(fact) && !unfit.has(fact)
  const enrolled = checks.some(({ check, outcome }) => check === 'ak.enrolled' && outcome === 'pass')
  const isClean = (name: string) => {
    const ofName = checks.filter(({ check }) => check === name)
    return ofName.length > 0 && ofName.every((check) => check.outcome === 'pass' && counts(check))
  }
  const keys = ['secureBoot.enabled', 'secureBoot.pk', 'secureBoot.kek', 'secureBoot.db'].every(holds)
  return {
    ...(enrolled ? { 'instance-identity': 2 } : {}),
    // 2: Secure Boot and its key databases are approved ones; 3: what was asked for holds.
    ...(keys ? { configuration: 2 } : claims.has('configuration') ? { configuration: 3 } : {}),
    // 3: the images of the boot are known ones. 2: and so is every file that ran since.
    ...(holds('boot.applications') || holds('pcr.4') ? { executables: isClean('ima.files') ? 2 : 3 } : {}),
    ...(isClean('ima.device-mapper') && policy.ima?.deviceMapper?.required !== undefined ? { 'file-system': 2 } : {}),
    ...(holds('pcr.0') ? { hardware: 2 } : {}),
  }
}

/** The vector of a list of checks: what passed affirms, then the worst of what did not. */
export function vectorOf(checks: readonly Check[], policy: Policy): TrustVector {
  const vector: Partial<Record<TrustClaim, number>> = { ...affirmed(checks, policy) }
  for (const check of checks) {
    if (check.outcome === 'pass' || !counts(check)) continue
    const impact = impactOf(check, policy)
    const value = valueOf(check, impact, policy)
    if (value === undefined) continue
    for (const claim of impact.claims) vector[claim] = Math.max(vector[claim] ?? 0, value)
  }
  return vector
}

const TIERS: readonly { readonly status: Status; readonly from: number }[] = [
  { status: 'contraindicated', from: 96 },
  { status: 'warning', from: 32 },
  { status: 'affirming', from: 2 },
  { status: 'none', from: -1 },
]

/** Never better than the worst claim, and never affirming beside a check that did not pass. */
export function statusOf(vector: TrustVector, checks: readonly Check[]): Status {
  const worst = Math.max(-1, ...Object.values(vector))
  const tier = TIERS.find(({ from }) => worst >= from)?.status ?? 'none'
  const unclean = (['fail', 'indeterminate', 'warn'] as const satisfies readonly Outcome[]).some((outcome) =>
    checks.some((check) => check.outcome === outcome && counts(check)),
  )
  return unclean && tier !== 'contraindicated' ? 'warning' : tier
}

/** The verdict of a list of checks under the policy that asked for them. */
export function verdictOf(checks: readonly Check[], policy: Policy): Verdict {
  const vector = vectorOf(checks, policy)
  return { status: statusOf(vector, checks), vector, checks }
}
