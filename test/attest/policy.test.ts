import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { parsePolicy, parseReferences, parseResources, PolicyError, policyId } from '../../src/attest/policy.ts'
import { isTouchstoneError } from '../../src/core/index.ts'

const HEAD = 'apiVersion: touchstone/v1\nkind: AttestationPolicy\nmetadata: { name: fleet }\n'
const MINIMAL = `${HEAD}spec:\n  pcrs: sha256:0-15\n  secureBoot: { enabled: { is: true } }\n`
const DIGEST = 'ab'.repeat(32)
const REFERENCES = `apiVersion: touchstone/v1
kind: ReferenceSet
metadata: { name: images }
spec:
  entries:
    - { value: ${DIGEST}, label: shim, state: deprecated }
    - { value: ${'cd'.repeat(32)} }
`

function faultsOf(text: string): string[] {
  try {
    parseResources(text)
    return []
  } catch (error) {
    assert.ok(error instanceof PolicyError)
    assert.ok(isTouchstoneError(error, 'policy.invalid'))
    return error.faults.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`)
  }
}

test('a minimal policy reads, with defaults that deny', () => {
  const policy = parsePolicy(MINIMAL)
  assert.equal(policy.name, 'fleet')
  assert.deepEqual(policy.judged, { hash: 'sha256', pcrs: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] })
  assert.deepEqual(policy.log, { structure: 'strict', unmeasuredBanks: 'deny', ima: 'optional' })
  assert.equal(policy.purpose, 'any')
  assert.deepEqual(
    policy.rules.map(({ row, matcher }) => [row.fact, matcher.is, matcher.onFailure]),
    [['secureBoot.enabled', true, 'deny']],
  )
})

test('a policy is identified by its name and its exact text', () => {
  const digest = createHash('sha256').update(MINIMAL).digest('hex')
  assert.equal(policyId(parsePolicy(MINIMAL)), `touchstone:policy:fleet:${digest}`)
  assert.notEqual(parsePolicy(`${MINIMAL}# changed\n`).digest, digest)
})

test('reference sets read with the state of each value, active unless it says otherwise', () => {
  const [set] = parseReferences(REFERENCES)
  assert.equal(set?.name, 'images')
  assert.deepEqual(
    set.entries.map(({ label, state }) => [label, state]),
    [
      ['shim', 'deprecated'],
      [undefined, 'active'],
    ],
  )
})

test('nothing may bear the name by which verdicts call the verifier’s own rules', () => {
  const message = 'house is the verifier’s own name for what it asks of every node: take another'
  const named = (text: string) => text.replace(/name: (?:fleet|images)/, 'name: house')
  assert.deepEqual(faultsOf(named(MINIMAL)), [`3:19 metadata.name: ${message}`])
  assert.deepEqual(faultsOf(named(REFERENCES)), [`3:19 metadata.name: ${message}`])
  const nested = `${MINIMAL}  references: [{ name: house, entries: [] }]\n`
  assert.deepEqual(faultsOf(nested), [`7:24 spec.references[0].name: ${message}`])
})

test('reference sets beside a policy in one text come with it', () => {
  const policy = parsePolicy(`${MINIMAL}---\n${REFERENCES}`)
  assert.deepEqual(
    policy.references.map(({ name }) => name),
    ['images'],
  )
})

test('every fault of a document is told at once, with line and column', () => {
  const text = `apiVersion: touchstone/v2
kind: AttestationPolicy
metadata: { name: Fleet One }
spec:
  pcrs: sha256:0-15
  colour: blue
  secureBoot:
    enabled: { is: yes }
    pk: {}
  kernel:
    commandLine: { parameters: { allowed: ["console=*x"] } }
`
  assert.deepEqual(faultsOf(text), [
    '1:13 apiVersion: expected touchstone/v1',
    '3:19 metadata.name: expected lower-case letters, digits, dots and hyphens',
    '6:3 spec.colour: unknown field',
    '8:20 spec.secureBoot.enabled.is: expected true; to live with the other, let the rule warn',
    '9:9 spec.secureBoot.pk: needs anyOf or references',
    '11:44 spec.kernel.commandLine.parameters.allowed[0]: expected one parameter; the only wildcard is a * at its end',
  ])
})

const refused: Readonly<Record<string, readonly [string, string]>> = {
  'a document of another kind': [
    'apiVersion: touchstone/v1\nkind: Pod\n',
    '2:7 kind: expected AttestationPolicy, ReferenceSet or PolicyException',
  ],
  'a document without a kind': ['a: b\n', '1:1 kind: expected AttestationPolicy, ReferenceSet or PolicyException'],
  'a missing field': [
    `${HEAD}spec:\n  secureBoot: { enabled: { is: true } }\n`,
    '5:3 spec.pcrs: the field is required',
  ],
  'a policy without any rule': [
    `${HEAD}spec: { pcrs: "sha256:0-7" }\n`,
    '4:7 spec: the policy has no rule: it would accept anything',
  ],
  'registers that no TPM has': [
    `${HEAD}spec: { pcrs: "sha256:0-99", secureBoot: { enabled: { is: true } } }\n`,
    '4:15 spec.pcrs: PCR selection "sha256:0-99": 0-99 is not a range within 0 to 31',
  ],
  'a judged bank that cannot be replayed': [
    `${HEAD}spec: { pcrs: "sm3_256:0-7", secureBoot: { enabled: { is: true } } }\n`,
    '4:15 spec.pcrs: the first bank is judged: it must be one of sha256, sha384, sha512, sha1, with registers',
  ],
  'a rule over a register that is not quoted': [
    `${HEAD}spec: { pcrs: "sha256:0-6", secureBoot: { enabled: { is: true } } }\n`,
    '4:52 spec.secureBoot.enabled: secureBoot.enabled reads PCR 7, which spec.pcrs does not ask for',
  ],
  'a digest of another bank': [
    `${HEAD}spec: { pcrs: "sha256:0-7", pcr: { "0": { anyOf: [${'ab'.repeat(20)}] } } }\n`,
    '4:51 spec.pcr.0.anyOf[0]: a digest of the judged bank sha256 has 64 hex digits',
  ],
  'a digest in upper case': [
    `${HEAD}spec: { pcrs: "sha256:0-7", pcr: { "0": { anyOf: [${'AB'.repeat(32)}] } } }\n`,
    '4:51 spec.pcr.0.anyOf[0]: expected a digest in lower-case hex',
  ],
  'a fact that there is not': [
    `${HEAD}spec: { pcrs: "sha256:0-7", requiredFacts: [moon.phase], secureBoot: { enabled: { is: true } } }\n`,
    '4:45 spec.requiredFacts[0]: no such fact',
  ],
  'an IMA log required without PCR 10': [
    `${HEAD}spec: { pcrs: "sha256:0-7", log: { ima: required }, secureBoot: { enabled: { is: true } } }\n`,
    '4:41 spec.log.ima: IMA needs PCR 10, which spec.pcrs does not ask for',
  ],
  'two reference sets of one name': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true } }, references: [{ name: a, entries: [] }, { name: a, entries: [] }] }\n`,
    '4:115 spec.references[1].name: a is there twice',
  ],
  'a sequence beside other matchers': [
    `${HEAD}spec: { pcrs: "sha256:0-15", grub: { commands: { sequence: [a], anyOf: [a] } } }\n`,
    '4:48 spec.grub.commands: a sequence says it all: no anyOf, references or required beside it',
  ],
  'an unknown severity': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true, onFailure: ignore } } }\n`,
    '4:75 spec.secureBoot.enabled.onFailure: expected deny or warn',
  ],
  'an unknown state of a reference': [
    REFERENCES.replace('deprecated', 'retired'),
    '6:102 spec.entries[0].state: expected candidate, canary, active, deprecated or revoked',
  ],
  'a field that is misspelt, with what was meant': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabeld: { is: true } } }\n`,
    '4:43 spec.secureBoot.enabeld: unknown field; did you mean enabled?',
  ],
  'a field that is misspelt in a part that several rules share': [
    `${HEAD}spec: { pcrs: "sha256:0-15", kernel: { commandLine: { anyOf: [a], parameters: { alowed: [a], required: [b] } } } }\n`,
    '4:81 spec.kernel.commandLine.parameters.alowed: unknown field; did you mean allowed?',
  ],
  'a word that is misspelt, with what was meant': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true, mode: enforc } } }\n`,
    '4:70 spec.secureBoot.enabled.mode: expected enforce or monitor; did you mean enforce?',
  ],
  'a value by a name that is misspelt': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true, sets: unsafe_confg } } }\n`,
    '4:70 spec.secureBoot.enabled.sets: there is no value unsafe_confg; did you mean unsafe_config?',
  ],
  'a bank that is misspelt': [
    `${HEAD}spec: { pcrs: "sha265:0-7", secureBoot: { enabled: { is: true } } }\n`,
    '4:15 spec.pcrs: PCR selection "sha265:0-7": a bank is written as hash:registers; did you mean sha256?',
  ],
  'a register that there is not': [
    `${HEAD}spec: { pcrs: "sha256:0-7", pcr: { "24": { anyOf: [${DIGEST}] } } }\n`,
    '4:42 spec.pcr.24: expected a register number, 0 to 23',
  ],
  'a text where fields are expected': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabled: true } }\n`,
    '4:52 spec.secureBoot.enabled: expected fields (is, name, claim, sets, onFailure, mode, …), and this is a text',
  ],
  'a text where a list is expected': [
    `${HEAD}spec: { pcrs: "sha256:0-15", boot: { applications: { references: images } } }\n`,
    '4:66 spec.boot.applications.references: expected a list, and this is a text',
  ],
  'a kind that is misspelt, with what was meant': [
    'apiVersion: touchstone/v1\nkind: AttestationPolici\n',
    '2:7 kind: expected AttestationPolicy, ReferenceSet or PolicyException; did you mean AttestationPolicy?',
  ],
  'a fact that is misspelt, with what was meant': [
    `${HEAD}spec: { pcrs: "sha256:0-7", requiredFacts: [secureBoot.dxb], secureBoot: { enabled: { is: true } } }\n`,
    '4:45 spec.requiredFacts[0]: no such fact; did you mean secureBoot.dbx?',
  ],
  'a value that affirms': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true, sets: 2 } } }\n`,
    '4:70 spec.secureBoot.enabled.sets: expected a value of 32 to 127 other than 99, or one of untrustworthy_instance',
  ],
  'the value of evidence that proves nothing': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true, sets: 99 } } }\n`,
    '4:70 spec.secureBoot.enabled.sets: expected a value of 32 to 127 other than 99',
  ],
  'a value of another claim': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true, sets: unrecognized_rt } } }\n`,
    '4:70 spec.secureBoot.enabled.sets: that is a value of executables, and the rule speaks for configuration',
  ],
  'a warning that contraindicates': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true, sets: 96, onFailure: warn } } }\n`,
    '4:85 spec.secureBoot.enabled.onFailure: warn sets 32 to 95, and sets says 96',
  ],
  'a placeholder that there is not': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true, message: "{actuall}" } } }\n`,
    '4:73 spec.secureBoot.enabled.message: the placeholders are {actual}, {expected}, {event}, {nearest}',
  ],
  'two rules of one name': [
    `${HEAD}spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true, name: a } }, rules: [{ name: a, expression: quote.safe }] }\n`,
    '4:93 spec.rules[0].name: another rule is called a',
  ],
  'a rule by the name of a part of spec.ima': [
    `${HEAD}spec: { pcrs: "sha256:0-15", ima: { violations: warn }, rules: [{ name: ima.violations, expression: quote.safe }], secureBoot: { enabled: { is: true } } }\n`,
    '4:73 spec.rules[0].name: names that begin with ima. are those of the parts of spec.ima: take another',
  ],
  'a range that is empty': [
    `${HEAD}spec: { pcrs: "sha256:0-7", firmware: { version: { atLeast: 1.10, below: 1.9 } } }\n`,
    '4:74 spec.firmware.version.below: no version is at least the one and below the other',
  ],
  'a bound that has no order': [
    `${HEAD}spec: { pcrs: "sha256:0-7", firmware: { version: { atLeast: latest } } }\n`,
    '4:61 spec.firmware.version.atLeast: expected whole numbers with dots between them',
  ],
  'a number that is none': [
    `${HEAD}spec: { pcrs: "sha256:0-7", clock: { restarts: { atMost: few } } }\n`,
    '4:58 spec.clock.restarts.atMost: expected a whole number',
  ],
  'images by what verified them, without the register that tells': [
    `${HEAD}spec: { pcrs: "sha256:0-6", boot: { applications: { verifiedBy: { subjects: [CN=a] } } } }\n`,
    '4:51 spec.boot.applications: boot.applications reads PCR 7, which spec.pcrs does not ask for',
  ],
  'an expression over registers that are not quoted': [
    `${HEAD}spec: { pcrs: "sha256:0-7", rules: [{ name: a, expression: boot.kernel.path == "a" }] }\n`,
    '4:60 spec.rules[0].expression: it reads PCR 8, 12, which spec.pcrs does not ask for',
  ],
  'an expression that does not say which claim it speaks for': [
    `${HEAD}spec: { pcrs: "sha256:0-7", rules: [{ name: a, expression: boot.secureBoot.enabled && quote.safe }] }\n`,
    '4:37 spec.rules[0]: it reads claims of configuration and instance-identity: say which one it speaks for',
  ],
  'an expression without a name': [
    `${HEAD}spec: { pcrs: "sha256:0-7", rules: [{ expression: quote.safe }] }\n`,
    '4:37 spec.rules[0].name: the field is required',
  ],
  'a text without documents': ['# nothing\n', '1:1 : the text has no document'],
  'an alias': [MINIMAL.replace('is: true', 'is: *yes'), '6:32 spec.secureBoot.enabled.is: aliases are not allowed'],
}
for (const [what, [text, fault]] of Object.entries(refused)) {
  test(`${what} is refused at its place`, () => {
    const faults = faultsOf(text)
    assert.ok(
      faults.some((each) => each.startsWith(fault)),
      faults.join('\n'),
    )
  })
}

test('a fault of an expression is told where it is written, however the text is', () => {
  const rule = (scalar: string) =>
    `${HEAD}spec:\n  pcrs: sha256:0-7\n  rules:\n    - name: a\n      expression: ${scalar}\n`
  const fault = 'spec.rules[0].expression: there is no claim enabeld here; did you mean enabled?'
  assert.deepEqual(faultsOf(rule('boot.secureBoot.enabeld')), [`8:35 ${fault}`])
  assert.deepEqual(faultsOf(rule(`'boot.secureBoot.enabeld'`)), [`8:36 ${fault}`])
  assert.deepEqual(faultsOf(rule(`"quote.safe && \\"\\" == \\"\\" && boot.secureBoot.enabeld"`)), [`8:66 ${fault}`])
  assert.deepEqual(faultsOf(rule('|\n        quote.safe &&\n          boot.secureBoot.enabeld')), [`10:27 ${fault}`])
  assert.deepEqual(faultsOf(rule('>-\n        quote.safe\n        && boot.secureBoot.enabeld')), [`10:28 ${fault}`])
  assert.deepEqual(faultsOf(rule('quote.safe &&\n        boot.secureBoot.enabeld')), [`9:25 ${fault}`])
})

test('version numbers and words that other YAML readers turn into something else stay text', () => {
  const policy = parsePolicy(
    `${HEAD}spec: { pcrs: "sha256:0-7", firmware: { version: { anyOf: [1.10, no, 0x1f] } } }\n`,
  )
  assert.deepEqual(policy.rules[0]?.matcher.anyOf, ['1.10', 'no', '0x1f'])
})

test('a text of two policies is no policy, and one with a policy is no reference sets', () => {
  assert.throws(() => parsePolicy(`${MINIMAL}---\n${MINIMAL}`), { code: 'policy.invalid' })
  assert.throws(() => parsePolicy(REFERENCES), { code: 'policy.invalid' })
  assert.throws(() => parseReferences(`${REFERENCES}---\n${MINIMAL}`), { code: 'policy.invalid' })
  assert.equal(parseResources(`${REFERENCES}---\n${MINIMAL}`).length, 2)
})
