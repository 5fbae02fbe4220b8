import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { Appraisal, AppraisalInput } from '../../src/attest/appraise.ts'
import { match } from '../../src/attest/matchers.ts'
import { parseReferences } from '../../src/attest/policy.ts'
import { knownValues, rememberedValues } from '../../src/attest/references.ts'
import type { Matcher } from '../../src/attest/rule-schema.ts'
import { firmwareVersionText } from '../../src/attest/rule-table.ts'
import { evidenceOf, honest, member, policyOf, recordedBoot, ruleCheck } from './case.ts'

interface Given {
  readonly input?: Partial<AppraisalInput>
  readonly references?: string
}

function under(rule: string, { input = {}, references }: Given = {}): Appraisal {
  const policy = policyOf(`  pcrs: sha256:0-15\n${rule}`)
  const sets = references === undefined ? [] : parseReferences(references)
  return appraise({ ...evidenceOf(honest), ...input, policy, references: sets })
}

function outcomeOf(fact: string, rule: string, given?: Given): string {
  const { outcome, code } = ruleCheck(under(rule, given), fact)
  return code === undefined ? outcome : `${outcome} ${code}`
}

// What swtpm/boots/README.md has: shim by Microsoft's CA, GRUB and kernel by Debian's.
const MICROSOFT = '48e99b991f57fc52f76149599bff0a58c47154229b9f8d603ac40d3500248507'
const DEBIAN = '079646974bce09b1f04da67bd722d1fb0947ae4c4010bccdbba52d5b23cbf1a2'
const REVOKED = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const OTHER = 'ab'.repeat(32)
const SHIM = '80a66d53a945d2286fcadd780fae1c225aa732079cd67b5225dc78aaab4e2ff8'

test('authorities are allowed by the fingerprint or the subject of their certificate', () => {
  const certificates = (list: string) => `  secureBoot: { authorities: { certificates: { ${list} } } }`
  const both = certificates(`fingerprints: [${MICROSOFT}], subjects: [CN=Debian Secure Boot CA]`)
  assert.equal(outcomeOf('secureBoot.authorities', both), 'pass')
  const one = under(certificates(`fingerprints: [${MICROSOFT}]`))
  const refused = one.checks.filter(({ claim }) => claim === 'secureBoot.authorities')
  assert.deepEqual(
    refused.map(({ code, event }) => [code, event?.summary]),
    [['policy.no_match', 'MokListRT: CN=Debian Secure Boot CA']],
  )
})

test('dbx is new enough where every entry that is wanted is in it', () => {
  const dbx = (list: string, more = '') => `  secureBoot: { dbx: { atLeast: { hashes: [${list}] }${more} } }`
  assert.equal(outcomeOf('secureBoot.dbx', dbx(REVOKED)), 'pass')
  const old = ruleCheck(under(dbx(`${REVOKED}, ${OTHER}`)), 'secureBoot.dbx')
  assert.deepEqual([old.outcome, old.code], ['fail', 'policy.entries_missing'])
  assert.equal(member(old.actual, 'missing'), OTHER)
  const warned = under(dbx(OTHER, ', sets: unsafe_config'))
  assert.equal(warned.vector.configuration, 32)
  assert.equal(warned.status, 'warning')
})

test('a reference set for dbx wants its approved entries, and is missed where nobody has it', () => {
  const rule = '  secureBoot: { dbx: { atLeast: { references: [dbx] } } }'
  const set = (...states: readonly string[]) => {
    const entries = states.map((state) => `    - { value: ${OTHER}, state: ${state}, label: BootHole }\n`)
    const head = 'apiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: dbx }\nspec:\n  entries:\n'
    return { references: `${head}    - { value: ${REVOKED} }\n${entries.join('')}` }
  }
  assert.equal(outcomeOf('secureBoot.dbx', rule, set()), 'pass')
  assert.equal(outcomeOf('secureBoot.dbx', rule, set('candidate')), 'pass')
  assert.equal(outcomeOf('secureBoot.dbx', rule, set('active')), 'fail policy.entries_missing')
  assert.equal(member(ruleCheck(under(rule, set('active')), 'secureBoot.dbx').actual, 'missing'), `BootHole (${OTHER})`)
  assert.equal(outcomeOf('secureBoot.dbx', rule), 'indeterminate policy.reference_missing')
})

test('a database that cannot be read is not said to lack anything', () => {
  const matcher: Matcher = { atLeast: { hashes: [OTHER] }, onFailure: 'deny' }
  const known = knownValues(matcher, [])
  const [finding] = match(matcher, [{ value: 'dd', members: () => undefined }], known, {})
  assert.deepEqual([finding?.outcome, finding?.code], ['indeterminate', 'fact.unknown'])
})

const verifiedBy = (list: string) => `  boot: { applications: { verifiedBy: { fingerprints: [${list}] } } }`

test('images of any digest are allowed where Secure Boot verified all of them with allowed certificates', () => {
  const appraisal = under(verifiedBy(`${MICROSOFT}, ${DEBIAN}`))
  assert.equal(ruleCheck(appraisal, 'boot.applications').outcome, 'pass')
  assert.equal(appraisal.vector.executables, 3)
})

test('one image that was verified with another certificate leaves nobody vouching for any', () => {
  const { code, nearest } = ruleCheck(under(verifiedBy(MICROSOFT)), 'boot.applications')
  assert.equal(code, 'policy.not_vouched')
  assert.equal(member(nearest, 'doubt'), 'an image was verified with CN=Debian Secure Boot CA')
})

test('without Secure Boot nobody vouches for an image, and known ones are still known', () => {
  const input = evidenceOf(recordedBoot('secureboot-off'))
  const { code, nearest } = ruleCheck(under(verifiedBy(`${MICROSOFT}, ${DEBIAN}`), { input }), 'boot.applications')
  assert.equal(code, 'policy.not_vouched')
  assert.equal(member(nearest, 'doubt'), 'Secure Boot is not proven to be on')
  const known = `  boot: { applications: { anyOf: [${SHIM}], verifiedBy: { fingerprints: [${MICROSOFT}] } } }`
  const values = under(known, { input }).checks.filter(({ claim }) => claim === 'boot.applications')
  assert.ok(values.every(({ actual }) => actual !== SHIM))
})

test('a digest that is revoked is revoked, whoever signed it', () => {
  const references = `apiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: bad }\nspec: { entries: [{ value: ${SHIM}, state: revoked }] }\n`
  const rule = `  boot: { applications: { references: [bad], verifiedBy: { fingerprints: [${MICROSOFT}, ${DEBIAN}] } } }`
  assert.equal(outcomeOf('boot.applications', rule, { references }), 'fail policy.revoked')
})

const version = (list: string) => `  tpm: { firmwareVersion: { ${list} } }`

test('a version is in its range by its numbers', () => {
  // swtpm's, in evidence.ts: 2019.1023 and so on as four numbers of 16 bits.
  assert.equal(firmwareVersionText(0x0007_0055_11cb_0000n), '7.85.4555.0')
  assert.equal(outcomeOf('tpm.firmwareVersion', version('atLeast: 8217.4131')), 'pass')
  assert.equal(outcomeOf('tpm.firmwareVersion', version('atLeast: 8217.4131, below: 8218')), 'pass')
  assert.equal(outcomeOf('tpm.firmwareVersion', version('atLeast: 8217.10000')), 'fail policy.version_range')
  assert.equal(outcomeOf('tpm.firmwareVersion', version('below: 8217')), 'fail policy.version_range')
  assert.equal(outcomeOf('tpm.firmwareVersion', version('anyOf: [8217.4131.22.13878]')), 'pass')
})

test('a version whose order nobody knows is not judged by guessing', () => {
  const matcher: Matcher = { atLeast: '1.2', onFailure: 'warn' }
  const [finding] = match(matcher, [{ value: 'N1UET78W' }], knownValues(matcher, []), {})
  assert.deepEqual([finding?.outcome, finding?.code], ['indeterminate', 'policy.version_unordered'])
})

test('a range and a list must both hold', () => {
  const matcher: Matcher = { anyOf: ['1.2'], atLeast: '1.10', onFailure: 'deny' }
  const findings = match(matcher, [{ value: '1.2' }], knownValues(matcher, []), {})
  assert.deepEqual(
    findings.map(({ code }) => code),
    ['policy.version_range'],
  )
})

test('the clock of the TPM, its resets and restarts are judged by the quote itself', () => {
  const rule = '  clock: { safe: { is: true }, restarts: { atMost: 1 }, resetsSinceLast: { atMost: 0 } }'
  const prior = { clock: 1n, resetCount: 3, restartCount: 0, firmwareVersion: 0x2019102300163636n }
  const fact = (name: string, given?: Given) => outcomeOf(`clock.${name}`, rule, given)
  assert.deepEqual([fact('safe'), fact('restarts')], ['pass', 'pass'])
  assert.equal(fact('resetsSinceLast', { input: { prior } }), 'pass')
  assert.equal(fact('resetsSinceLast', { input: { prior: { ...prior, resetCount: 2 } } }), 'fail policy.count')
  assert.equal(fact('resetsSinceLast'), 'indeterminate fact.empty')
  const unsafe = evidenceOf(honest, { safe: false, restartCount: 2 })
  assert.equal(fact('safe', { input: unsafe }), 'fail policy.no_match')
  assert.equal(fact('restarts', { input: unsafe }), 'fail policy.count')
  assert.equal(under(rule, { input: unsafe }).vector['instance-identity'], 96)
})

test('a counter that went back is no small number of resets', () => {
  const prior = { clock: 1n, resetCount: 9, restartCount: 0, firmwareVersion: 0x2019102300163636n }
  const rule = '  clock: { resetsSinceLast: { atMost: 5 } }'
  assert.equal(outcomeOf('clock.resetsSinceLast', rule, { input: { prior } }), 'indeterminate fact.unknown')
})

test('what the quote says is judged even where the logs do not agree, and never of a quote that is not fresh', () => {
  const rule = '  clock: { safe: { is: true } }'
  const otherLog = { eventLog: recordedBoot('cmdline').eventLog }
  assert.equal(outcomeOf('clock.safe', rule, { input: otherLog }), 'pass')
  const replayed = { nonce: Buffer.alloc(16, 9) }
  assert.equal(outcomeOf('clock.safe', rule, { input: replayed }), 'indeterminate policy.unauthenticated')
})

test('a rule has its name, its claim, its value and its words in the verdict', () => {
  const terms = 'name: sb-off, claim: executables, sets: 97, message: "is {actual} at {event}"'
  const input = evidenceOf(recordedBoot('secureboot-off'))
  const appraisal = under(`  secureBoot: { enabled: { is: true, ${terms} } }`, { input })
  const { rule, outcome, message } = ruleCheck(appraisal, 'secureBoot.enabled')
  assert.deepEqual([rule, outcome], ['test/sb-off', 'fail'])
  assert.match(message ?? '', /^is false at event \d+ \(PCR 7, EV_EFI_VARIABLE_DRIVER_CONFIG\)$/)
  assert.deepEqual([appraisal.vector.executables, appraisal.vector.configuration], [97, undefined])
})

test('a rule without a name is known by its fact', () => {
  assert.equal(
    ruleCheck(under('  secureBoot: { enabled: { is: true } }'), 'secureBoot.enabled').rule,
    'test/secureBoot.enabled',
  )
})

test('a deprecated value is a mild warning, whatever a failure would set', () => {
  const references = `apiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: images }\nspec: { entries: [{ value: ${SHIM}, state: deprecated }] }\n`
  const rule = '  boot: { applications: { references: [images], sets: unrecognized_rt } }'
  const appraisal = under(rule, { references })
  const codes = appraisal.checks.filter(({ claim }) => claim === 'boot.applications').map(({ code }) => code)
  assert.ok(codes.includes('policy.deprecated') && codes.includes('policy.no_match'))
  assert.equal(appraisal.vector.executables, 33)
})

test('known values are gathered once for the same sets, and again for others', () => {
  const matcher: Matcher = { references: ['s'], onFailure: 'deny' }
  const set = { name: 's', entries: [{ value: 'a', state: 'active' as const }] }
  const first = rememberedValues(matcher, [set])
  assert.equal(rememberedValues(matcher, [set]), first)
  const other = rememberedValues(matcher, [{ ...set, entries: [{ value: 'a', state: 'revoked' }] }])
  assert.equal(other.entries.get('a')?.state, 'revoked')
  assert.deepEqual(rememberedValues(matcher, []).missing, ['s'])
  assert.equal(rememberedValues(matcher, [set]).entries.get('a')?.state, 'active')
})
