import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { Appraisal, AppraisalInput } from '../../src/attest/appraise.ts'
import { firstFailure } from '../../src/core/index.ts'
import type { Check } from '../../src/core/index.ts'
import { parsePcrSelection } from '../../src/tpm/index.ts'
import { checkNamed, evidenceOf, honest, memberNames, policyOf, recordedBoot } from './case.ts'

function under(rule: string, input: AppraisalInput = evidenceOf(honest)): Appraisal {
  return appraise({ ...input, policy: policyOf(`  pcrs: sha256:0-15\n  rules: [${rule}]`) })
}

/** The check of the rule that is called `r`. */
function ruleOf({ checks }: Appraisal): Check {
  const found = checks.find(({ rule }) => rule === 'test/r')
  assert.ok(found)
  return found
}

function outcomeOf(expression: string, input?: AppraisalInput, more = ''): string {
  const { outcome, code } = ruleOf(under(`{ name: r, expression: '${expression}', claim: executables${more} }`, input))
  return `${outcome}${code === undefined ? '' : ` ${code}`}`
}

test('an expression that is true passes, and one that is not fails with what it read and the event', () => {
  assert.equal(outcomeOf('boot.secureBoot.enabled && boot.boot.attempts == 1'), 'pass')
  const appraisal = under(`{ name: r, expression: 'boot.kernel.commandLine == "x"' }`)
  const { check, claim, code, expected, actual, event } = ruleOf(appraisal)
  assert.deepEqual([check, claim, code], ['policy.rule', 'boot.kernel.commandLine', 'policy.expression'])
  assert.equal(expected, 'boot.kernel.commandLine == "x"')
  assert.ok(typeof actual === 'string')
  assert.match(actual, /^\/boot\/vmlinuz-/)
  assert.deepEqual([event?.pcr, event?.type], [8, 'EV_IPL'])
  assert.equal(appraisal.status, 'contraindicated')
  assert.equal(appraisal.vector.executables, 96)
})

test('an expression over several claims shows each by its name, and has no claim of its own', () => {
  const expression = 'boot.secureBoot.enabled && boot.boot.attempts == 2 && pcrs[7] != ""'
  const { claim, actual } = ruleOf(under(`{ name: r, expression: '${expression}', claim: executables }`))
  assert.equal(claim, undefined)
  assert.deepEqual(memberNames(actual), ['boot.secureBoot.enabled', 'boot.boot.attempts', 'pcrs[7]'])
})

test('an expression that asks for what is not known is indeterminate, says what and why, and is no pass', () => {
  const appraisal = under(`{ name: r, expression: 'boot.secureBoot.auditMode || boot.eve.config.exists(c, c.exists)' }`)
  const { outcome, code, actual } = ruleOf(appraisal)
  assert.deepEqual([outcome, code], ['indeterminate', 'policy.expression_unknown'])
  assert.ok(typeof actual === 'string')
  assert.match(actual, /^boot\.\S+ is not known; boot\.secureBoot\.auditMode: /)
  assert.equal(appraisal.status, 'contraindicated')
})

test('what is unknown does not matter where the rest decides', () => {
  assert.equal(outcomeOf('boot.secureBoot.auditMode || boot.secureBoot.enabled'), 'pass')
  assert.equal(outcomeOf('boot.secureBoot.auditMode && !boot.secureBoot.enabled'), 'fail policy.expression')
  assert.equal(outcomeOf('!has(boot.secureBoot.auditMode)'), 'pass')
})

test('an expression over an empty list is indeterminate unless it says otherwise', () => {
  const overNothing = 'boot.firmware.drivers.all(d, d.digest == "")'
  assert.equal(outcomeOf(overNothing), 'indeterminate fact.empty')
  assert.equal(outcomeOf(overNothing, undefined, ', whenEmpty: pass'), 'pass')
  assert.equal(
    outcomeOf('boot.firmware.drivers.exists(d, true)', undefined, ', whenEmpty: pass'),
    'fail policy.expression',
  )
})

test('an expression over a register that nobody measured into is indeterminate', () => {
  const appraisal = under(
    `{ name: r, expression: 'pcrs[15] != "" && has(boot.userspace.machineId)', claim: executables }`,
  )
  assert.equal(ruleOf(appraisal).code, 'pcr.unmeasured')
  assert.equal(checkNamed(appraisal, 'pcr.measured').outcome, 'fail')
})

test('an expression over a register that is not quoted is indeterminate', () => {
  const policy = policyOf(`  pcrs: sha256:0-15\n  rules: [{ name: r, expression: 'boot.secureBoot.enabled' }]`)
  const selection = parsePcrSelection('sha256:0-6')
  const { checks } = appraise({ ...evidenceOf(honest, { selection }), selection, policy })
  assert.equal(checks.find(({ rule }) => rule === 'test/r')?.code, 'pcr.unquoted')
})

test('expressions are evaluated behind authentic evidence alone', () => {
  const wrongNonce = { ...evidenceOf(honest), nonce: Buffer.alloc(16, 7) }
  const otherLog = { ...evidenceOf(honest), eventLog: recordedBoot('cmdline').eventLog }
  for (const expression of ['boot.secureBoot.enabled', 'pcrs[7] != ""', 'ima.covered > 0']) {
    assert.match(outcomeOf(expression, wrongNonce), /^indeterminate (?:policy\.unauthenticated|pcr\.unquoted)$/)
    assert.match(outcomeOf(expression, otherLog), /^indeterminate (?:policy\.unauthenticated|pcr\.unquoted)$/)
  }
  for (const expression of ['quote.safe', 'node.model == "m"']) {
    const input = { ...wrongNonce, node: { model: 'm', labels: {} } }
    assert.equal(outcomeOf(expression, input), 'indeterminate policy.unauthenticated')
  }
})

test('a line that was made unreadable makes what is said of all lines unknown', () => {
  assert.equal(outcomeOf('boot.kernel.commandLines.all(l, l.contains("lockdown=integrity"))'), 'pass')
  assert.equal(
    outcomeOf('boot.kernel.commandLines.all(l, l.contains("lockdown=integrity"))', evidenceOf(recordedBoot('cmdline'))),
    'fail policy.expression',
  )
})

test('quote, node and IMA log have their variables', () => {
  const ek = 'ab'.repeat(32)
  const input = {
    ...evidenceOf(honest),
    node: { ekSha256: ek, model: 'edge-100', serial: 'E7', labels: { site: 'lab' } },
  }
  const prior = { clock: 1n, resetCount: 2, restartCount: 0, firmwareVersion: 0x2019102300163636n }
  assert.equal(
    outcomeOf('quote.safe && quote.resetCount == 3 && quote.restartCount == 1 && quote.clock == 5000'),
    'pass',
  )
  assert.equal(outcomeOf('versionAtLeast(quote.firmwareVersion, "8217.4131")'), 'pass')
  assert.equal(outcomeOf('quote.resetsSinceLast == 1', { ...input, prior }), 'pass')
  assert.equal(outcomeOf('quote.resetsSinceLast == 1', input), 'indeterminate policy.expression_unknown')
  assert.equal(outcomeOf('node.model == "edge-100" && node.labels.site in ["lab", "field"]', input), 'pass')
  assert.equal(outcomeOf(`node.ek == "${ek}" && node.serial == "E7"`, input), 'pass')
  assert.equal(
    outcomeOf('node.ek == "x"', { ...input, node: { labels: {} } }),
    'indeterminate policy.expression_unknown',
  )
  assert.equal(outcomeOf('node.labels.owner == "a"', input), 'indeterminate policy.expression_unknown')
  assert.equal(outcomeOf('ima.covered > 0 && ima.covered <= ima.entries', input), 'pass')
})

test('a rule that is only monitored shows its outcome, and changes nothing', () => {
  const typed = '  secureBoot: { enabled: { is: true } }\n'
  const monitored = `  rules: [{ name: r, expression: '!boot.secureBoot.enabled', mode: monitor, message: 'on: {actual}' }]`
  const policy = policyOf(`  pcrs: sha256:0-15\n${typed}${monitored}`)
  const appraisal = appraise({ ...evidenceOf(honest), policy })
  const { outcome, mode, message } = ruleOf(appraisal)
  assert.deepEqual([outcome, mode, message], ['fail', 'monitor', 'on: true'])
  assert.equal(appraisal.status, 'affirming')
  assert.equal(firstFailure(appraisal.checks), undefined)
  const without = appraise({ ...evidenceOf(honest), policy: policyOf(`  pcrs: sha256:0-15\n${typed}`) })
  assert.deepEqual(appraisal.vector, without.vector)
})

test('a monitored rule affirms nothing either, and does not take the place of what the house asks', () => {
  const policy = policyOf(`  pcrs: sha256:0-15\n  secureBoot: { enabled: { is: true, mode: monitor } }`)
  const good = appraise({ ...evidenceOf(honest), policy })
  assert.deepEqual([good.status, good.vector.configuration], ['warning', 32])
  const off = appraise({ ...evidenceOf(recordedBoot('secureboot-off')), policy })
  assert.equal(off.checks.find(({ rule }) => rule === 'house/secureBoot.enabled')?.outcome, 'warn')
  assert.equal(off.status, 'warning')
})

test('where no rule counts, nothing was judged: the verdict says so, and is no better than a warning', () => {
  const all = 'boot.secureBoot.enabled'
  const cases = {
    [`secureBoot: { enabled: { is: true, mode: monitor } }`]: 'warn',
    [`rules: [{ name: r, expression: '${all}', mode: monitor }]`]: 'warn',
    [`rules: [{ name: r, expression: 'node.model == "m"' }]`]: 'warn',
    [`rules: [{ name: r, expression: 'node.model == "m" && ${all}', claim: configuration }]`]: 'pass',
    [`rules: [{ name: r, expression: 'pcrs[7] != ""' }]`]: 'pass',
    [`secureBoot: { enabled: { is: true, onFailure: warn } }`]: 'pass',
  }
  for (const [spec, outcome] of Object.entries(cases)) {
    const input = { ...evidenceOf(honest), node: { model: 'm', labels: {} } }
    const { status, checks } = appraise({ ...input, policy: policyOf(`  pcrs: sha256:0-15\n  ${spec}`) })
    const check = checks.find((each) => each.check === 'policy.evaluated')
    const code = outcome === 'warn' ? 'policy.nothing_enforced' : undefined
    assert.deepEqual([check?.outcome, check?.code], [outcome, code], spec)
    assert.equal(status, outcome === 'warn' ? 'warning' : 'affirming', spec)
  }
})

test('a failure sets the claim that the rule speaks for, to the value that it says', () => {
  const appraisal = under(`{ name: r, expression: 'boot.kernel.commandLine == "x"', sets: unrecognized_rt }`)
  assert.equal(ruleOf(appraisal).outcome, 'warn')
  assert.equal(appraisal.vector.executables, 33)
  assert.equal(appraisal.status, 'warning')
  const other = under(`{ name: r, expression: '!boot.secureBoot.enabled', claim: hardware, sets: 97 }`)
  assert.deepEqual([other.vector.hardware, other.vector.configuration], [97, undefined])
  assert.equal(other.status, 'contraindicated')
})

test('an indeterminate expression sets what its failure would', () => {
  const appraisal = under(`{ name: r, expression: 'boot.secureBoot.auditMode', sets: 36 }`)
  assert.equal(ruleOf(appraisal).outcome, 'indeterminate')
  assert.equal(appraisal.vector.configuration, 36)
  assert.equal(appraisal.status, 'warning')
})

test('every rule is counted as evaluated, expressions too', () => {
  const appraisal = under(`{ name: r, expression: 'boot.secureBoot.enabled' }, { name: s, expression: 'quote.safe' }`)
  assert.deepEqual(checkNamed(appraisal, 'policy.evaluated').actual, { rules: 2, missed: [] })
})
