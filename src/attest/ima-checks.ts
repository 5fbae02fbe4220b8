import type { Check, EventRef, JsonValue } from '../core/index.ts'
import { isExcusable } from './excusable.ts'
import type { ImaRules } from './ima-rules.ts'
import type { ImaCheck, ImaOffence, ImaTally } from './ima-state.ts'
import type { Finding } from './matchers.ts'
import { renderMessage } from './message.ts'
import { fail, indeterminate, pass, warn } from './outcome.ts'
import { IMA_PCR } from './registers.ts'

/** The checks that rules ask for, beside those that are always made. */
export function askedBy(rules: ImaRules | undefined): readonly ImaCheck[] {
  if (rules === undefined) return []
  return [
    ...(rules.files === undefined ? [] : (['ima.files'] as const)),
    'ima.violations',
    'ima.buffers',
    ...(rules.deviceMapper === undefined ? [] : (['ima.device-mapper'] as const)),
  ]
}

/** What of `spec.ima` asks for each check. */
const FIELDS: Readonly<Partial<Record<string, string>>> = {
  'ima.files': 'allow',
  'ima.violations': 'violations',
  'ima.buffers': 'buffers',
  'ima.device-mapper': 'deviceMapper',
}

/** The check with the name and the terms of the rule that asks for it. */
export function asRule(check: Check, rules: ImaRules | undefined): Check {
  const terms = rules?.terms.get(FIELDS[check.check] ?? '')
  if (terms === undefined) return check
  const { id: rule, mode, message } = terms
  return {
    ...check,
    rule,
    ...(mode === 'monitor' ? { mode } : {}),
    ...(message === undefined || check.outcome === 'pass' ? {} : { message: renderMessage(message, findingOf(check)) }),
  }
}

function findingOf({ outcome, expected, actual, event, nearest }: Check): Finding {
  return { outcome, expected, actual, event, nearest }
}

/** What the rules say of everything that was measured. */
export function ruleChecks(rules: ImaRules | undefined, tally: ImaTally | undefined): Check[] {
  if (rules === undefined) return []
  return askedBy(rules).flatMap((name) => {
    const wrong = [...ofOffences(name, tally), ...absentOf(name, rules, tally)]
    // A set that nobody supplied may revoke what another one allows, so nothing passes without it.
    const missing = missingSets(name, rules)
    const unjudged = indeterminate(name, 'policy.reference_missing', { expected: { references: missing } })
    const passed = missing.length > 0 ? unjudged : pass(name, { actual: countsOf(name, tally) })
    const checks = wrong.length > 0 ? wrong : [passed]
    return checks.map((check) => asRule(check, rules))
  })
}

/** `ima.structure`: what no kernel writes, whatever policy asks. */
export function structureChecks(tally: ImaTally | undefined): Check[] {
  const wrong = ofOffences('ima.structure', tally)
  return wrong.length > 0 ? wrong : [pass('ima.structure')]
}

/** One check for each of the first offences, one for the rest. */
function ofOffences(name: ImaCheck, tally: ImaTally | undefined): Check[] {
  const known = tally?.offences[name]
  if (known === undefined) return []
  const shown = known.first.map((offence) => offenceCheck(name, offence))
  const rest = known.count - known.first.length
  if (rest === 0) return shown
  // Where all that are shown are such that no exception excuses them, the others may be, too.
  const alike = known.first.filter((each) => isExcusable(each.code))
  const named = alike.length > 0 ? alike : known.first
  const code = named.find(({ outcome }) => outcome === known.worst)?.code ?? named[0]?.code
  const actual = `${rest} more entries, ${known.count} in all`
  return [...shown, { check: name, outcome: known.worst, ...(code === undefined ? {} : { code }), actual }]
}

function offenceCheck(
  name: ImaCheck,
  { outcome, code, index, template, path, expected, actual, nearest }: ImaOffence,
): Check {
  const event: EventRef = { index, pcr: IMA_PCR, type: template, summary: path }
  return {
    check: name,
    outcome,
    code,
    ...(expected === undefined ? {} : { expected }),
    ...(actual === undefined ? {} : { actual }),
    ...(nearest === undefined ? {} : { nearest }),
    event,
  }
}

function countsOf(name: ImaCheck, tally: ImaTally | undefined): JsonValue {
  if (tally === undefined) return {}
  const { files, known, signed, excluded, violations, buffers, tables } = tally.counts
  switch (name) {
    case 'ima.files':
      return { files, known, signed, excluded }
    case 'ima.violations':
      return { violations }
    case 'ima.buffers':
      return { buffers }
    case 'ima.device-mapper':
      return { tables }
    case 'ima.structure':
      return {}
  }
}

/** What should have been measured and was not. A rule over no file at all has judged nothing. */
function absentOf(name: ImaCheck, rules: ImaRules, tally: ImaTally | undefined): Check[] {
  if (name === 'ima.files') {
    const isEmpty = (tally?.counts.files ?? 0) === 0 && rules.files?.whenEmpty === 'indeterminate'
    return isEmpty ? [indeterminate(name, 'fact.empty', { actual: countsOf(name, tally) })] : []
  }
  if (name === 'ima.buffers') {
    return rules.buffers.flatMap(({ name: wanted, required, onFailure }, index) => {
      const isMissing = required && tally?.seen.buffers.includes(index) !== true
      return isMissing ? [absent(name, wanted.text, onFailure)] : []
    })
  }
  if (name === 'ima.device-mapper') {
    const { required = [], onFailure = 'deny' } = rules.deviceMapper ?? {}
    return required.flatMap((wanted, index) =>
      tally?.seen.devices.includes(index) === true ? [] : [absent(name, wanted.text, onFailure)],
    )
  }
  return []
}

function missingSets(name: ImaCheck, { files, buffers, deviceMapper }: ImaRules): string[] {
  const missing = {
    'ima.structure': [],
    'ima.violations': [],
    'ima.files': files?.missing ?? [],
    'ima.buffers': buffers.flatMap(({ known }) => known?.missing ?? []),
    'ima.device-mapper': deviceMapper?.rootHashes?.missing ?? [],
  }
  return [...new Set(missing[name])]
}

function absent(name: ImaCheck, wanted: string, onFailure: 'deny' | 'warn'): Check {
  const detail = { expected: { measured: wanted } }
  return onFailure === 'deny' ? fail(name, 'ima.absent', detail) : warn(name, 'ima.absent', detail)
}
