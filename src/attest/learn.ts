import { Document, isScalar } from 'yaml'
import { TouchstoneError } from '../core/index.ts'
import { annotate, bootFacts, parseEventLog, preferredBank, replayEventLog } from '../eventlog/index.ts'
import { BARE_PCRS, RULES } from './rule-table.ts'
import type { AuthenticatedBoot, Observed, RuleRow } from './rule-table.ts'

export interface LearnInput {
  /** Name of the policy. */
  readonly name: string
  readonly eventLog: Uint8Array
}

const PCRS = Array.from({ length: 16 }, (_, pcr) => pcr)

/**
 * The policy that accepts this boot and no other, as a YAML text that needs no other document: every fact of the log, and
 * behind them every register but IMA's, exactly. The facts explain a failure; the registers leave nothing to explain away.
 * What is unsafe about the boot (Secure Boot off, setup mode) is not learned as right: such a rule warns.
 *
 * Nothing here is verified: a policy learned from a tampered boot accepts the tampering. Learn from a machine that is
 * known to be good, or from a log that an appraisal has just proved. Throws what `parseEventLog` throws,
 * `eventlog.bank_missing` and `log.registers`.
 */
export function learnPolicy(input: LearnInput): string {
  const log = parseEventLog(input.eventLog)
  if (log.registers !== 'pcr') throw new TouchstoneError('log.registers')
  const bank = preferredBank(log)
  if (bank === undefined) throw new TouchstoneError('eventlog.bank_missing')
  const boot: AuthenticatedBoot = {
    facts: bootFacts(log, bank),
    registers: replayEventLog(log, bank).values,
    events: new Map(annotate(log, bank).map((annotated) => [annotated.event.index, annotated])),
  }
  const learned = RULES.flatMap((row) => {
    const rule = learnRule(row, boot)
    return rule === undefined ? [] : [{ path: ['spec', ...row.fact.split('.')], ...rule }]
  })
  const document = new Document({
    apiVersion: 'touchstone/v1',
    kind: 'AttestationPolicy',
    metadata: { name: input.name, description: 'Learned from one boot: accepts exactly that.' },
    spec: { pcrs: `${bank}:0-15` },
  })
  for (const { path, rule, notes } of learned) {
    document.setIn(path, document.createNode(rule))
    notes.forEach((note, index) => {
      const node = document.getIn([...path, 'anyOf' in rule ? 'anyOf' : 'sequence', index], true)
      if (isScalar(node) && note !== '') node.comment = ` ${note}`
    })
  }
  document.commentBefore = ' Accepts one boot exactly. Loosen what may change: see policies/README.md.'
  return document.toString({ lineWidth: 0 })
}

interface LearnedRule {
  readonly rule: Readonly<Record<string, unknown>>
  /** What each value is, for whoever reads the policy. Taken from the log: not all of it is authenticated. */
  readonly notes: readonly string[]
}

function learnRule(row: RuleRow, boot: AuthenticatedBoot): LearnedRule | undefined {
  const readable = row.pcrs.some((pcr) => boot.registers.has(pcr)) && row.pcrs.every((pcr) => PCRS.includes(pcr))
  const seen = readable ? row.observe(boot) : undefined
  if (seen === undefined || row.learn === 'never') return undefined
  // Whatever it is, this fact is not about it; the register is learned as a whole.
  if (seen.length > 0 && seen.every(({ unread }) => unread === true)) return undefined
  const [first] = seen
  const values = seen.map(({ value }) => value)
  switch (row.learn) {
    case 'safe-true':
      return first && flag(true, first.value === 'true')
    case 'safe-false':
      return first && flag(false, first.value === 'false')
    case 'flag':
      return first && flag(first.value === 'true', true)
    case 'value':
      return first && { rule: { anyOf: [first.value] }, notes: notesOf([first], row) }
    case 'values':
      return first && { rule: { anyOf: [...new Set(values)] }, notes: [] }
    case 'list':
      // Nothing in a register that is learned as a whole is said already.
      if (seen.length === 0 && row.pcrs.every((pcr) => BARE_PCRS.includes(pcr))) return undefined
      return { rule: { sequence: values }, notes: notesOf(seen, row) }
  }
}

function flag(is: boolean, holds: boolean): LearnedRule {
  return { rule: holds ? { is } : { is, onFailure: 'warn' }, notes: [] }
}

/** Texts explain themselves; a digest needs the event that it is of. */
function notesOf(seen: readonly Observed[], { digests }: RuleRow): string[] {
  return digests === true ? seen.map(({ event }) => event?.summary ?? '') : []
}
