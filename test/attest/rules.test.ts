import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { Appraisal, AppraisalInput } from '../../src/attest/appraise.ts'
import { commandLineFault, parameterJudge } from '../../src/attest/command-line.ts'
import { match } from '../../src/attest/matchers.ts'
import { parseReferences } from '../../src/attest/policy.ts'
import { knownValues } from '../../src/attest/references.ts'
import { RULES } from '../../src/attest/rule-table.ts'
import { checkEvaluated } from '../../src/attest/rules.ts'
import type { Check } from '../../src/core/index.ts'
import { evidenceOf, honest, learned, member, policyOf, recordedBoot, ruleCheck, without } from './case.ts'
import { pcrsOf } from './evidence.ts'
import { agileLog, regularBoot, SECURITY_DATABASE, TYPE, variable } from '../eventlog/build-log.ts'
import type { EventSpec } from '../eventlog/build-log.ts'

const LINE =
  '/boot/vmlinuz-6.1.0-56-cloud-amd64 root=/dev/ram0 ro console=ttyS0 panic=10 ima_policy=tcb lockdown=integrity module.sig_enforce=1'

/** An appraisal of the honest boot under one rule, as YAML. */
function under(rule: string, references = ''): Appraisal {
  const policy = policyOf(`  pcrs: sha256:0-15\n${rule}`)
  const sets = references === '' ? [] : parseReferences(references)
  return appraise({ ...evidenceOf(honest), policy, references: sets })
}

function outcomeOf(appraisal: Appraisal, fact: string): string {
  const { outcome, code } = ruleCheck(appraisal, fact)
  return code === undefined ? outcome : `${outcome} ${code}`
}

function setOf(name: string, ...entries: readonly (readonly [value: string, state: string])[]): string {
  const rows = entries.map(([value, state]) => `    - { value: ${value}, state: ${state}, label: ${state} one }\n`)
  return `apiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: ${name} }\nspec:\n  entries:\n${rows.join('')}`
}

const DBX = learned.rules.find(({ row }) => row.fact === 'secureBoot.dbx')?.matcher.anyOf?.[0] ?? ''
const IMAGES = learned.rules.find(({ row }) => row.fact === 'boot.applications')?.matcher.sequence ?? []
const dbxRule = '  secureBoot: { dbx: { references: [dbx] } }'

test('a value is judged by the state of its reference', () => {
  const states = {
    active: ['pass', 'affirming'],
    deprecated: ['warn policy.deprecated', 'warning'],
    candidate: ['fail policy.candidate', 'contraindicated'],
    revoked: ['fail policy.revoked', 'contraindicated'],
  } as const
  for (const [state, [outcome, status]] of Object.entries(states)) {
    const appraisal = under(dbxRule, setOf('dbx', [DBX, state]))
    assert.equal(outcomeOf(appraisal, 'secureBoot.dbx'), outcome)
    assert.equal(appraisal.status, status)
  }
})

test('a revoked reference is contraindicated even where the rule only warns', () => {
  const appraisal = under(
    '  secureBoot: { dbx: { references: [dbx], onFailure: warn } }',
    setOf('dbx', [DBX, 'revoked']),
  )
  assert.equal(outcomeOf(appraisal, 'secureBoot.dbx'), 'fail policy.revoked')
  assert.equal(appraisal.vector.configuration, 96)
  assert.deepEqual(ruleCheck(appraisal, 'secureBoot.dbx').nearest, {
    value: DBX,
    label: 'revoked one',
    state: 'revoked',
    set: 'dbx',
  })
})

test('a value that is revoked in one set of a name is revoked, whatever another one says', () => {
  const both = `${setOf('dbx', [DBX, 'active'])}---\n${setOf('dbx', [DBX, 'revoked'])}`
  assert.equal(outcomeOf(under(dbxRule, both), 'secureBoot.dbx'), 'fail policy.revoked')
})

test('references that travel with the policy are enough', () => {
  const appraisal = under(`${dbxRule}\n  references: [{ name: dbx, entries: [{ value: ${DBX} }] }]`)
  assert.equal(outcomeOf(appraisal, 'secureBoot.dbx'), 'pass')
})

const withoutSet = {
  'that is all it has': dbxRule,
  'beside a known value, which the set might revoke': `  secureBoot: { dbx: { references: [dbx], anyOf: [${DBX}] } }`,
  'beside parameters': `  kernel: { commandLine: { references: [lines], parameters: { forbidden: ["init=*"] } } }`,
  'over nothing that is fine': '  firmware: { actions: { references: [actions], whenEmpty: pass } }',
}
for (const [what, rule] of Object.entries(withoutSet)) {
  test(`a rule whose reference set is missing, ${what}, is indeterminate`, () => {
    const appraisal = under(rule)
    const check = appraisal.checks.find(({ code }) => code === 'policy.reference_missing')
    assert.equal(check?.outcome, 'indeterminate')
    assert.equal(appraisal.status, 'contraindicated')
  })
}

test('an unknown value denies or warns as the rule says', () => {
  const other = 'ab'.repeat(32)
  const denied = under(`  secureBoot: { dbx: { anyOf: [${other}] } }`)
  assert.equal(outcomeOf(denied, 'secureBoot.dbx'), 'fail policy.no_match')
  assert.equal(denied.vector.configuration, 96)
  const warned = under(`  secureBoot: { dbx: { anyOf: [${other}], onFailure: warn } }`)
  assert.equal(outcomeOf(warned, 'secureBoot.dbx'), 'warn policy.no_match')
  assert.equal(warned.vector.configuration, 32)
  assert.equal(warned.status, 'warning')
})

test('each unknown value of a list is a check of its own, with its event', () => {
  const [first = ''] = IMAGES
  const appraisal = under(`  boot: { applications: { anyOf: [${first}] } }`)
  const checks = appraisal.checks.filter(({ claim }) => claim === 'boot.applications')
  assert.deepEqual(
    checks.map(({ actual }) => actual),
    [...new Set(IMAGES.slice(1))],
  )
  assert.deepEqual(
    checks.map(({ event }) => event?.pcr),
    checks.map(() => 4),
  )
})

test('a required value that is absent fails, and a present one passes', () => {
  const [first = ''] = IMAGES
  assert.equal(outcomeOf(under(`  boot: { applications: { required: [${first}] } }`), 'boot.applications'), 'pass')
  const absent = under(`  boot: { applications: { required: [${'ab'.repeat(32)}] } }`)
  assert.equal(outcomeOf(absent, 'boot.applications'), 'fail policy.required_absent')
})

test('a sequence must be the whole list in its order, and the first difference is named', () => {
  const sequence = (values: readonly string[]) => `  boot: { applications: { sequence: [${values.join(', ')}] } }`
  assert.equal(outcomeOf(under(sequence(IMAGES)), 'boot.applications'), 'pass')
  const shorter = ruleCheck(under(sequence(IMAGES.slice(0, -1))), 'boot.applications')
  assert.equal(shorter.code, 'policy.sequence')
  assert.equal(shorter.expected, null)
  assert.equal(shorter.actual, IMAGES.at(-1))
  const longer = ruleCheck(under(sequence([...IMAGES, 'ab'.repeat(32)])), 'boot.applications')
  assert.equal(longer.expected, 'ab'.repeat(32))
  assert.equal(longer.actual, null)
  const swapped = ruleCheck(under(sequence(IMAGES.toReversed())), 'boot.applications')
  assert.deepEqual(swapped.nearest, { position: 0 })
})

test('an empty sequence says that there must be nothing', () => {
  assert.equal(outcomeOf(under('  firmware: { actions: { sequence: [] } }'), 'firmware.actions'), 'pass')
  assert.equal(outcomeOf(under('  grub: { commands: { sequence: [] } }'), 'grub.commands'), 'fail policy.sequence')
})

test('a rule over an empty collection is indeterminate unless it says otherwise', () => {
  const rule = (more: string) => `  firmware: { actions: { anyOf: [x]${more} } }`
  assert.equal(outcomeOf(under(rule('')), 'firmware.actions'), 'indeterminate fact.empty')
  assert.equal(outcomeOf(under(rule(', whenEmpty: pass')), 'firmware.actions'), 'pass')
})

test('a rule over an unknown fact is indeterminate, and one that only warns only warns', () => {
  const denied = under('  secureBoot: { deployedMode: { is: true } }')
  assert.equal(outcomeOf(denied, 'secureBoot.deployedMode'), 'indeterminate fact.unknown')
  assert.equal(denied.vector.configuration, 96)
  const warned = under('  secureBoot: { deployedMode: { is: true, onFailure: warn } }')
  assert.equal(warned.vector.configuration, 32)
  assert.equal(warned.status, 'warning')
})

test('a required fact must be known', () => {
  const rule = '\n  secureBoot: { enabled: { is: true } }'
  const known = under(`  requiredFacts: [kernel.commandLine]${rule}`)
  assert.equal(known.checks.find(({ check }) => check === 'policy.required-fact')?.outcome, 'pass')
  assert.equal(known.status, 'affirming')
  const unknown = under(`  requiredFacts: [secureBoot.dbt]${rule}`)
  assert.equal(unknown.checks.find(({ check }) => check === 'policy.required-fact')?.code, 'fact.unknown')
  assert.equal(unknown.status, 'contraindicated')
})

test('a command line may be known as a whole or by its parameters', () => {
  const whole = under(`  kernel: { commandLine: { anyOf: ["${LINE}"] } }`)
  assert.equal(outcomeOf(whole, 'kernel.commandLine'), 'pass')
  const allowed = '[root=*, ro, console=*, panic=*, ima_policy=tcb, lockdown=integrity, module.sig-enforce=1]'
  const parts = under(`  kernel: { commandLine: { parameters: { allowed: ${allowed} } } }`)
  assert.equal(outcomeOf(parts, 'kernel.commandLine'), 'pass')
  const tampered = appraise({
    ...evidenceOf(recordedBoot('cmdline')),
    policy: policyOf(`  pcrs: sha256:0-15\n  kernel: { commandLine: { parameters: { allowed: ${allowed} } } }`),
  })
  const check = ruleCheck(tampered, 'kernel.commandLine')
  assert.equal(check.code, 'policy.parameters')
  assert.ok(typeof check.actual === 'string' && check.actual.includes('init=/bin/sh'))
  assert.deepEqual(member(check.nearest, 'added'), [
    'lockdown=none',
    'module.sig_enforce=0',
    'init=/bin/sh',
    'systemd.debug_shell=1',
  ])
})

const parameterCases = [
  ['an allowed one', 'a=1 b', { allowed: ['a=1', 'b'] }, [], []],
  ['one that is not allowed', 'a=1 c', { allowed: ['a=1', 'b'] }, ['c'], []],
  ['a forbidden one', 'a=1 init=/bin/sh', { forbidden: ['init=*'] }, ['init=/bin/sh'], []],
  ['a required one that is absent', 'a=1', { required: ['ro'] }, [], ['ro']],
  ['a required one beside allowed ones', 'ro a', { allowed: ['a'], required: ['ro'] }, [], []],
  [
    'a hyphen for an underscore, as the kernel reads it',
    'module.sig-enforce=0',
    { forbidden: ['module.sig_enforce=0'] },
    ['module.sig_enforce=0'],
    [],
  ],
  ['quotes around the whole', '"init=/bin/sh"', { forbidden: ['init=*'] }, ['init=/bin/sh'], []],
  ['quotes around the value', 'init="/bin/sh"', { forbidden: ['init=*'] }, ['init=/bin/sh'], []],
  ['a space in quotes', 'a="x y" b', { allowed: ['b'] }, ['a=x y'], []],
  ['the image in front, which is no parameter', '/boot/vmlinuz ro', { allowed: ['ro'] }, [], []],
  ['a path that is not in front', 'ro /bin/sh', { allowed: ['ro'] }, ['/bin/sh'], []],
  ['one that repeats an allowed name with another value', 'a=1 a=2', { allowed: ['a=1'] }, ['a=2'], []],
  [
    'a vertical tab, which is white space for the kernel',
    'a\vinit=/bin/sh',
    { forbidden: ['init=*'] },
    ['init=/bin/sh'],
    [],
  ],
  // Its UTF-8 ends with the byte A0.
  [
    'a letter with a byte that the kernel splits at',
    'a=\u00e0init=/bin/sh',
    { forbidden: ['init=*'] },
    ['init=/bin/sh'],
    [],
  ],
  [
    'a required one that is given again with another value',
    'lockdown=integrity ro lockdown=none',
    { required: ['lockdown=integrity'] },
    ['lockdown=none'],
    [],
  ],
  [
    'a required one given again with a hyphen and no value',
    'sig_enforce=1 sig-enforce',
    { required: ['sig_enforce=1'] },
    ['sig_enforce'],
    [],
  ],
  [
    'a required one given again with values that are required or allowed',
    'console=tty0 console=ttyS0 console=ttyS1',
    { required: ['console=tty0', 'console=ttyS0'], allowed: ['console=ttyS1'] },
    [],
    [],
  ],
  [
    'a required one that is for init',
    'ro -- lockdown=integrity',
    { required: ['lockdown=integrity'] },
    [],
    ['lockdown=integrity'],
  ],
  [
    'a forbidden one that is for init',
    '-- systemd.debug-shell',
    { forbidden: ['systemd.debug_shell*'] },
    ['systemd.debug_shell'],
    [],
  ],
  ['-- with a value, which ends nothing', '--=x ro', { required: ['ro'] }, [], []],
  [
    'quotes behind which a shell sees another one',
    'a="x init=/bin/sh y"',
    { forbidden: ['init=*'] },
    ['init=/bin/sh'],
    [],
  ],
  [
    'quotes behind which a shell sees what is not allowed',
    'a="x init=/bin/sh"',
    { allowed: ['a=*'] },
    ['init=/bin/sh'],
    [],
  ],
  ['a quote that is not closed', 'a="x ro', { required: ['ro'] }, [], ['ro']],
  ['a value of nothing but a quote', 'a=" b', { allowed: ['a=*'] }, ['b'], []],
] as const
for (const [what, line, lists, refused, absent] of parameterCases) {
  test(`a command line with ${what}`, () => {
    assert.equal(commandLineFault(line), undefined)
    assert.deepEqual(parameterJudge(lists)(line), { refused: [...refused], absent: [...absent] })
  })
}

const unreadable = {
  'a quote within a name': 'lockdown"=integrity"',
  'a name that is not ASCII': 'l\u00f6ckdown=integrity',
  'bytes that are not UTF-8': 'a\ufffdinit=/bin/sh',
  'a control character': 'a=b\u0001nokaslr',
  'a NUL': 'a=b\0lockdown=integrity',
  'more than the kernel reads': `a=${'b'.repeat(4095)}`,
}
for (const [what, line] of Object.entries(unreadable)) {
  test(`a command line with ${what} is not read`, () => {
    assert.notEqual(commandLineFault(line), undefined)
  })
}

/** A boot whose kernel got these bytes as its command line, and the rule of policies/secure-boot.yaml. */
function bootedLine(line: Buffer | string): Check {
  const data = Buffer.concat([Buffer.from('kernel_cmdline: '), Buffer.from(line)])
  const parameters = 'required: [lockdown=integrity], forbidden: ["init=*"]'
  const policy = policyOf(`  pcrs: sha256:0-15\n  kernel: { commandLine: { parameters: { ${parameters} } } }`)
  const input = bootedWith({ pcr: 8, type: TYPE.ipl, data, measured: Buffer.from(line) })
  return ruleCheck(appraise({ ...input, policy }), 'kernel.commandLine')
}

test('the command line is judged as the kernel reads its bytes', () => {
  assert.equal(bootedLine('/vmlinuz lockdown=integrity').outcome, 'pass')
  assert.equal(bootedLine('/vmlinuz a\u2003lockdown=integrity').code, 'policy.command_line')
  assert.equal(bootedLine('/vmlinuz a=\u2003lockdown=integrity').code, 'policy.parameters')
  const noBreakSpace = Buffer.concat([
    Buffer.from('/vmlinuz lockdown=integrity a'),
    Buffer.from([0xa0]),
    Buffer.from('init=/bin/sh'),
  ])
  assert.equal(bootedLine(noBreakSpace).code, 'policy.command_line')
  assert.equal(bootedLine('/vmlinuz lockdown"=integrity"').code, 'policy.command_line')
})

test('a line that nobody can read does not pass because it has no forbidden parameter, not even beside its namesake', () => {
  const value = `unknown:${'ab'.repeat(32)}`
  const matcher = { parameters: { forbidden: ['init=*'] }, onFailure: 'deny' } as const
  const [finding] = match(matcher, [{ value }, { value, unread: true }], knownValues(matcher, []), {})
  assert.equal(finding?.code, 'policy.no_match')
})

test('a command line that the kernel would cut short fails without a search for what it is like', () => {
  const check = bootedLine(`/vmlinuz lockdown=integrity ${'a '.repeat(300_000)}`)
  assert.equal(check.outcome, 'fail')
  assert.equal(check.code, 'policy.command_line')
  assert.equal(check.nearest, undefined)
})

/** Evidence of a small regular boot with some more events in it. */
function bootedWith(...extra: readonly EventSpec[]): AppraisalInput {
  const eventLog = agileLog(regularBoot(extra))
  const policy = policyOf('  pcrs: sha256:0-15\n  boot: { exitBootServices: { is: true } }')
  return { ...without(evidenceOf({ eventLog, imaLog: Buffer.alloc(0), pcrs: pcrsOf(eventLog) }), 'imaLog'), policy }
}

test('debug mode and a missing DMA protection are 96 in configuration even where no rule asks', () => {
  assert.equal(appraise(bootedWith()).status, 'affirming')
  for (const text of ['UEFI Debug Mode', 'DMA Protection Disabled']) {
    const appraisal = appraise(bootedWith({ pcr: 7, type: TYPE.efiAction, data: text }))
    const check = ruleCheck(appraisal, 'firmware.actions')
    assert.equal(check.rule, 'house/firmware.actions')
    assert.equal(check.actual, text)
    assert.equal(appraisal.vector.configuration, 96)
  }
})

test('Secure Boot that nobody can know is a warning where no rule asks, as if it were off', () => {
  const hidden = regularBoot().filter(
    ({ data }) => !(data instanceof Buffer) || !data.includes('SecureBoot', 0, 'utf16le'),
  )
  const eventLog = agileLog(hidden)
  const boot = { eventLog, imaLog: Buffer.alloc(0), pcrs: pcrsOf(eventLog) }
  const appraisal = appraise({ ...without(evidenceOf(boot), 'imaLog'), policy: bootedWith().policy })
  const check = ruleCheck(appraisal, 'secureBoot.enabled')
  assert.deepEqual([check.rule, check.outcome, check.code], ['house/secureBoot.enabled', 'warn', 'fact.unknown'])
  assert.equal(appraisal.vector.configuration, 32)
})

test('what no policy asked for affirms nothing', () => {
  assert.deepEqual(appraise(bootedWith()).vector, { 'instance-identity': 2 })
})

test('Secure Boot that the log does not prove is indeterminate, and the check says what is doubtful', () => {
  const authority = variable(
    SECURITY_DATABASE,
    'db',
    Buffer.concat([Buffer.alloc(16), Buffer.from('3082000401020305', 'hex')]),
  )
  const input = bootedWith({ pcr: 7, type: TYPE.authority, data: authority })
  const policy = policyOf('  pcrs: sha256:0-15\n  secureBoot: { enabled: { is: true } }')
  const check = ruleCheck(appraise({ ...input, policy }), 'secureBoot.enabled')
  assert.equal(check.code, 'fact.unknown')
  assert.ok(typeof check.actual === 'string')
  assert.match(check.actual, /is not in db/)
})

test('a thousand unknown values do not make a thousand checks, and none of the rest is forgotten', () => {
  const seen = Array.from({ length: 1000 }, (_, index) => ({ value: `value ${index}` }))
  const matcher = { anyOf: ['other'], onFailure: 'deny' } as const
  const findings = match(matcher, seen, knownValues(matcher, []), {})
  assert.equal(findings.length, 17)
  assert.equal(findings.at(-1)?.actual, '984 more values')
  assert.equal(findings.at(-1)?.outcome, 'fail')
})

test('what stands for the rest is not better than any of the rest', () => {
  const seen = Array.from({ length: 40 }, (_, index) => ({ value: `value ${index}` }))
  const entries = seen.map(({ value }, index) => ({ value, state: index === 30 ? 'revoked' : 'deprecated' }) as const)
  const matcher = { references: ['set'], onFailure: 'deny' } as const
  const findings = match(matcher, seen, knownValues(matcher, [{ name: 'set', entries }]), {})
  assert.equal(findings.at(-1)?.outcome, 'fail')
  assert.equal(findings.at(-1)?.code, 'policy.revoked')
})

test('a policy of which a rule was not evaluated, or that has none, is not evaluated', () => {
  const checks: Check[] = [{ check: 'policy.rule', rule: 'test/secureBoot.enabled', outcome: 'pass' }]
  const one = policyOf('  pcrs: sha256:0-15\n  secureBoot: { enabled: { is: true } }')
  assert.equal(checkEvaluated(one, checks).outcome, 'pass')
  assert.equal(checkEvaluated(one, []).code, 'policy.not_evaluated')
  assert.equal(checkEvaluated({ ...one, rules: [] }, checks).code, 'policy.not_evaluated')
})

test('no two rules read the same fact, and every fact has a place in the policy', () => {
  const facts = RULES.map(({ fact }) => fact)
  assert.equal(new Set(facts).size, facts.length)
  for (const { fact, pcrs, ofQuote } of RULES) assert.equal(pcrs.length === 0, ofQuote !== undefined, fact)
})
