import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import { boundChecks } from '../../src/attest/bounds.ts'
import { parseReferences } from '../../src/attest/policy.ts'
import { wordDifference } from '../../src/attest/references.ts'
import type { Check } from '../../src/core/index.ts'
import { evidenceOf, policyOf, recordedBoot, without } from './case.ts'
import { pcrsOf } from './evidence.ts'
import { agileLog, regularBoot, TYPE } from '../eventlog/build-log.ts'
import type { EventSpec } from '../eventlog/build-log.ts'

const LIMIT = 256 * 1024

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}

/** Rules over every list that a log may make long, each with a thousand known values. */
const RULES = [
  'kernel: { commandLine: { references: [texts] } }',
  'grub: { commands: { references: [texts], required: [a, b, c] } }',
  'firmware: { actions: { references: [texts] } }',
  'boot: { applications: { references: [digests] }, files: { references: [digests] }, options: { references: [digests] }, partitionTables: { references: [digests] }, exitBootServices: { is: true } }',
  'eve: { config: { references: [digests] }, rootfs: { references: [texts] } }',
  'requiredFacts: [kernel.commandLine, grub.commands]',
]
const policy = policyOf(`  pcrs: sha256:0-15\n${RULES.map((rule) => `  ${rule}\n`).join('')}`)

function setOf(name: string, values: readonly string[]): string {
  const entries = values.map((value) => `    - { value: "${value}" }\n`).join('')
  return `apiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: ${name} }\nspec:\n  entries:\n${entries}`
}

const thousand = Array.from({ length: 1000 }, (_, index) => index)
const references = [
  ...parseReferences(
    setOf(
      'texts',
      thousand.map((n) => `linux /vmlinuz-${n} root=/dev/ram0 ro a${n} ${'word '.repeat(50)}`),
    ),
  ),
  ...parseReferences(
    setOf(
      'digests',
      thousand.map((n) => n.toString(16).padStart(64, '0')),
    ),
  ),
]

function judge(extra: readonly EventSpec[]) {
  const eventLog = agileLog(regularBoot(extra))
  const boot = { eventLog, imaLog: Buffer.alloc(0), pcrs: pcrsOf(eventLog) }
  return appraise({ ...without(evidenceOf(boot), 'imaLog'), policy, references })
}

function grub(text: string, prefix: 'grub_cmd' | 'kernel_cmdline' = 'grub_cmd'): EventSpec {
  return { pcr: 8, type: TYPE.ipl, data: `${prefix}: ${text}`, measured: text }
}

const hostile: Readonly<Record<string, readonly EventSpec[]>> = {
  'one command of a megabyte': [grub('\u0001'.repeat(500_000)), grub('a '.repeat(250_000))],
  'a command line of a megabyte': [grub('a '.repeat(500_000), 'kernel_cmdline')],
  'many long commands': Array.from({ length: 200 }, (_, n) => grub(`${n} ${'\u0001\u00e9 '.repeat(1200)}`)),
  'many short commands': Array.from({ length: 10_000 }, (_, n) => grub(`set ${n}`)),
  'many long command lines': Array.from({ length: 200 }, (_, n) =>
    grub(`${n} ${'"\\ '.repeat(1200)}`, 'kernel_cmdline'),
  ),
  'long payloads everywhere': Array.from({ length: 40 }, (_, n) => {
    return { pcr: n % 10, type: TYPE.efiAction, data: `${n} ${'\u0007'.repeat(20_000)}` }
  }),
}
for (const [what, extra] of Object.entries(hostile)) {
  test(`a log with ${what} does not make a long verdict`, () => {
    const { checks, status } = judge(extra)
    assert.equal(status, 'contraindicated')
    assert.ok(sizeOf(checks) < LIMIT, `${sizeOf(checks)} bytes`)
    for (const { expected, actual, nearest, event } of checks) {
      for (const field of [expected, actual, nearest]) assert.ok(field === undefined || sizeOf(field) <= 9 * 1024)
      assert.ok(event === undefined || sizeOf(event.summary) < 1200)
    }
  })
}

test('genuine verdicts, the tampered one too, are shown in full', () => {
  for (const name of ['honest', 'cmdline', 'secureboot-off'] as const) {
    const { checks } = appraise(evidenceOf(recordedBoot(name)))
    assert.deepEqual(boundChecks(checks), checks)
    assert.ok(!JSON.stringify(checks).includes('SHA-256 '))
  }
})

test('a text that is cut states its length and the digest of all of it', () => {
  const actual = 'x'.repeat(5000)
  const [check] = boundChecks([{ check: 'a', outcome: 'fail', code: 'b', actual }])
  // head -c 5000 /dev/zero | tr '\\0' x | sha256sum
  const digest = 'c59d3c0480cc2d71d8f646e735e92da65450311eec46e81a5db8c7e6e8a92054'
  assert.ok(typeof check?.actual === 'string')
  assert.match(check.actual, /^x{700,1024}… \(5000 characters, SHA-256 [0-9a-f]{64}\)$/)
  assert.ok(check.actual.includes(digest))
})

test('a list that is cut states how many values it had', () => {
  const actual = Array.from({ length: 100 }, (_, index) => index)
  const [check] = boundChecks([{ check: 'a', outcome: 'fail', actual }])
  assert.deepEqual(check?.actual, [...actual.slice(0, 64), '… 100 in all'])
})

test('what is deep or has many members is cut too', () => {
  let deep: Check['actual'] = 1
  for (let level = 0; level < 50; level++) deep = [deep, { deep }]
  const wide = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`member ${index}`, 'y'.repeat(2000)]))
  const [check] = boundChecks([{ check: 'a', outcome: 'fail', expected: wide, actual: deep }])
  assert.ok(sizeOf(check) < 20 * 1024)
})

test('names, outcomes and codes of all checks stay, however many there are', () => {
  const many = Array.from({ length: 300 }, (_, index): Check => {
    return { check: `check ${index}`, outcome: 'fail', code: 'x', rule: 'p/f', claim: 'f', actual: 'y'.repeat(3000) }
  })
  const bounded = boundChecks(many)
  const said = ({ check, outcome, code, rule, claim }: Check) => ({ check, outcome, code, rule, claim })
  assert.deepEqual(bounded.map(said), many.map(said))
  assert.ok(sizeOf(bounded) < LIMIT)
})

test('words are compared by number, in any order, and not at all in a text without end', () => {
  assert.deepEqual(wordDifference('a b b c', 'c b d d'), { added: ['d', 'd'], missing: ['a', 'b'] })
  assert.deepEqual(wordDifference('a', 'b '.repeat(100_000)), { added: [], missing: [] })
})
