import { Document, isScalar } from 'yaml'
import { TouchstoneError } from '../core/index.ts'
import type { EventLog, ReplayBank } from '../eventlog/index.ts'
import { isList } from './causes/member.ts'
import { LEARNED_PCRS, learnFacts } from './learn/boot-rules.ts'
import type { LearnedRule, LeftOut } from './learn/boot-rules.ts'
import { oneLine } from './learn/documents.ts'
import { observeBoots } from './learn/observed-boot.ts'
import type { NamedLog, ObservedBoot } from './learn/observed-boot.ts'
import { withReasons } from './learn/register-reasons.ts'
import { parsePolicy } from './policy.ts'
import { checkStructure } from './register-checks.ts'
import { checkRules } from './rules.ts'

export interface LearnInput {
  /** Name of the policy. */
  readonly name: string
  readonly eventLog: Uint8Array
}

export interface LearnBootsInput {
  /** Name of the policy. */
  readonly name: string
  readonly logs: readonly NamedLog[]
  /** The bank to learn in; by default the best that all logs have. */
  readonly bank?: ReplayBank
}

/** A policy that was learned from boots. */
export interface LearnedBoots {
  /** YAML, one document. */
  readonly text: string
  readonly bank: ReplayBank
  /** Facts that are judged. */
  readonly rules: readonly string[]
  /** Facts that differ among the boots and are judged all the same, and how they differ. */
  readonly variants: readonly LeftOut[]
  /** Facts, and parts of facts, that are not judged because they differ too much or are not always known. */
  readonly leftOut: readonly LeftOut[]
  /** Registers that something was measured into and that no rule reads. */
  readonly unjudged: readonly number[]
  /** Logs that no policy accepts, and why: they contradict themselves, as one that somebody edited does. */
  readonly contradictory: readonly Contradiction[]
}

interface Contradiction {
  readonly label: string
  readonly why: string
}

/**
 * The policy that accepts this boot and no other, as a YAML text that needs no other document: every fact of the log, and
 * behind them every register but IMA's, exactly. The facts explain a failure; the registers leave nothing to explain away.
 * What is unsafe about the boot (Secure Boot off, setup mode) is not learned as right: such a rule warns.
 *
 * Nothing here is verified: a policy learned from a tampered boot accepts the tampering. Learn from a machine that is
 * known to be good, or from a log that an appraisal has just proved. Throws what `parseEventLog` throws,
 * `eventlog.bank_missing`, `log.registers` and `learn.nothing`.
 */
export function learnPolicy({ name, eventLog }: LearnInput): string {
  return learnBoots({ name, logs: [{ label: 'the log', eventLog }] }).text
}

/**
 * The policy that accepts each of these boots, by the fewest values that do: a fact that is the same in all is learned
 * exactly; one that has a few variants (see {@link areVariants}) with each of them; a list by what every boot has in it and
 * what any has; and what is another thing each time, or is not known of every boot, is left out and said to be. Whole
 * registers are learned where they are the same. Each boot is then judged by the policy: a rule that its own boots do not
 * pass (a command line that no policy accepts) is left out too.
 *
 * As with one boot, nothing is verified. Throws the same. O(events of all logs) for each fact.
 */
export function learnBoots({ name, logs, bank: wanted }: LearnBootsInput): LearnedBoots {
  const { bank, boots } = observeBoots(logs, wanted)
  const facts = learnFacts(boots)
  const rules = facts.flatMap(({ learned }) => (learned === undefined ? [] : [learned]))
  if (rules.length === 0) throw new TouchstoneError('learn.nothing', 'no rule can be made of what these logs measure')
  const leftOut = withReasons(facts, boots)
  const refused = refusedByOwnBoots(write({ name, bank, boots, rules, leftOut }), boots)
  const kept = rules.filter(({ row }) => !refused.has(row.fact))
  const all = [...leftOut, ...[...refused].map(([fact, why]) => ({ fact, why }))]
  return {
    text: write({ name, bank, boots, rules: kept, leftOut: all }),
    bank,
    rules: kept.map(({ row }) => row.fact),
    variants: kept.flatMap(({ row, variants }) => (variants === undefined ? [] : [{ fact: row.fact, why: variants }])),
    leftOut: all,
    unjudged: unjudgedBy(kept, boots),
    contradictory: boots.flatMap(({ label, log }) => contradictionIn(label, log, bank)),
  }
}

function contradictionIn(label: string, log: EventLog, bank: ReplayBank): Contradiction[] {
  const { outcome, actual } = checkStructure({ log: { structure: 'tolerant' } }, log, bank)
  if (outcome === 'pass') return []
  const [first] = isList(actual) ? actual : []
  return [{ label, why: typeof first === 'string' ? first : 'its structure' }]
}

/** IMA's register is judged with its log. */
const IMA_PCR = 10

function unjudgedBy(rules: readonly LearnedRule[], boots: readonly ObservedBoot[]): number[] {
  const read = new Set(rules.flatMap(({ row }) => row.pcrs))
  return LEARNED_PCRS.filter(
    (pcr) => pcr !== IMA_PCR && !read.has(pcr) && boots.some(({ boot }) => boot.registers.has(pcr)),
  )
}

interface Writing {
  readonly name: string
  readonly bank: ReplayBank
  readonly boots: readonly ObservedBoot[]
  readonly rules: readonly LearnedRule[]
  readonly leftOut: readonly LeftOut[]
}

function write({ name, bank, boots, rules, leftOut }: Writing): string {
  const many = boots.length > 1
  const document = new Document({
    apiVersion: 'touchstone/v1',
    kind: 'AttestationPolicy',
    metadata: {
      name,
      description: many
        ? `Learned from ${boots.length} boots: accepts each of them.`
        : 'Learned from one boot: accepts exactly that.',
    },
    spec: { pcrs: `${bank}:0-15` },
  })
  for (const { row, rule, notes } of rules) {
    const path = ['spec', ...row.fact.split('.')]
    document.setIn(path, document.createNode(rule))
    notes.forEach((note, index) => {
      const node = document.getIn([...path, 'anyOf' in rule ? 'anyOf' : 'sequence', index], true)
      if (isScalar(node) && note !== '') node.comment = ` ${note}`
    })
  }
  const what = many ? `Accepts each of ${boots.length} boots.` : 'Accepts one boot exactly.'
  document.commentBefore = [
    ` ${what} Loosen what may change: see policies/README.md.`,
    ...(many ? boots.map(({ label }) => ` Learned from: ${oneLine(label)}`) : []),
    ...rules.flatMap(({ row, variants }) => (variants === undefined ? [] : [` Variants: ${row.fact}: ${variants}`])),
    ...leftOut.map(({ fact, why }) => ` Left out: ${fact}: ${oneLine(why)}`),
  ].join('\n')
  return document.toString({ lineWidth: 0 })
}

/** Rules that one of the boots they were learned from does not pass, and why. */
function refusedByOwnBoots(text: string, boots: readonly ObservedBoot[]): ReadonlyMap<string, string> {
  const policy = parsePolicy(text)
  const refused = new Map<string, string>()
  for (const { label, boot } of boots) {
    for (const { check, claim, rule, outcome, code } of checkRules({
      policy,
      references: [],
      boot,
      quoted: LEARNED_PCRS,
    })) {
      const isOwn = check === 'policy.rule' && rule?.startsWith(`${policy.name}/`) === true
      if (!isOwn || claim === undefined || outcome === 'pass' || outcome === 'warn') continue
      refused.set(claim, `${label} does not pass it: ${code ?? outcome}`)
    }
  }
  return refused
}
