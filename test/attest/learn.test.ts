import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import { learnBoots, learnPolicy } from '../../src/attest/learn.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import { firstFailure, isTouchstoneError } from '../../src/core/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { evidenceOf, recordedBoot } from './case.ts'
import type { BootName } from './case.ts'

const BOOTS: readonly BootName[] = ['honest', 'cmdline', 'secureboot-off']

test('the policy learned from a boot accepts that boot and none of the others', () => {
  for (const good of BOOTS) {
    const policy = parsePolicy(learnPolicy({ name: good, eventLog: recordedBoot(good).eventLog }))
    for (const other of BOOTS) {
      const { status } = appraise({ ...evidenceOf(recordedBoot(other)), policy })
      const accepted = good === 'secureboot-off' ? 'warning' : 'affirming'
      assert.equal(status, other === good ? accepted : 'contraindicated', `${other} under ${good}`)
    }
  }
})

test('what is unsafe about a boot is not learned as right', () => {
  const text = learnPolicy({ name: 'off', eventLog: recordedBoot('secureboot-off').eventLog })
  assert.match(text, /enabled:\n\s+is: true\n\s+onFailure: warn/)
})

test('a learned policy asks for the judged bank and says what each digest is of', () => {
  const text = learnPolicy({ name: 'honest', eventLog: recordedBoot('honest').eventLog })
  assert.match(text, /pcrs: sha256:0-15/)
  assert.match(text, /[0-9a-f]{64} # \\EFI\\BOOT\\grubx64\.efi/)
  assert.ok(!text.split('\n').some((line) => line.length > 2000))
})

test('a learned policy pins every register that was measured into but that of IMA, behind the rules that explain', () => {
  const { rules } = parsePolicy(learnPolicy({ name: 'honest', eventLog: recordedBoot('honest').eventLog }))
  const facts = rules.map(({ row }) => row.fact)
  const first = facts.findIndex((fact) => fact.startsWith('pcr.'))
  assert.deepEqual(
    facts.slice(first),
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '14'].map((pcr) => `pcr.${pcr}`),
  )
  assert.ok(['kernel.commandLine', 'secureBoot.enabled', 'boot.files'].every((fact) => facts.indexOf(fact) < first))
})

test('a failure under a learned policy is first explained by a fact', () => {
  const policy = parsePolicy(learnPolicy({ name: 'honest', eventLog: recordedBoot('honest').eventLog }))
  for (const [boot, claim] of [
    ['cmdline', 'kernel.commandLine'],
    ['secureboot-off', 'secureBoot.enabled'],
  ] as const) {
    assert.equal(firstFailure(appraise({ ...evidenceOf(recordedBoot(boot)), policy }).checks)?.claim, claim)
  }
})

test('what a log has beside EVE’s files in its registers is not learned as one of them', () => {
  const text = learnPolicy({ name: 'honest', eventLog: recordedBoot('honest').eventLog })
  assert.doesNotMatch(text, /eve:/)
})

test('text from a log cannot break out of its place in a learned policy', () => {
  const eventLog = Buffer.from(recordedBoot('honest').eventLog)
  const path = Buffer.from('grubx64.efi', 'utf16le')
  const at = eventLog.indexOf(path)
  eventLog.write('\n  evil: {}', at, 'utf16le')
  const policy = parsePolicy(learnPolicy({ name: 'honest', eventLog }))
  assert.equal(appraise({ ...evidenceOf(recordedBoot('honest')), policy }).status, 'affirming')
})

test('a log without a firmware bank, or that is none, teaches nothing', () => {
  assert.throws(() => learnPolicy({ name: 'x', eventLog: Buffer.alloc(0) }), { code: 'eventlog.empty' })
})

test(
  'a policy can be learned from every real log, or the log is refused for what it is',
  { skip: SKIP_WITHOUT_SHARED_DATA },
  () => {
    const logs = readdirSync(sharedData('eventlogs')).filter((name) => name.endsWith('.bin'))
    assert.ok(logs.length > 20)
    for (const name of logs) {
      const eventLog = readFileSync(sharedData(`eventlogs/${name}`))
      try {
        const policy = parsePolicy(learnPolicy({ name: 'learned', eventLog }))
        assert.ok(policy.rules.length > 0, name)
      } catch (error) {
        assert.ok(isTouchstoneError(error), `${name}: ${String(error)}`)
        assert.match(name, /ccel|no-action|measurefs/, `${name}: ${error.message}`)
      }
    }
  },
)

test('a log that contradicts itself is named, for no boot with it passes; and so is one that cannot be read', () => {
  const good = recordedBoot('honest').eventLog
  const edited = Buffer.from(good)
  edited.write('/bin/sh', good.indexOf('lockdown=integrity', good.indexOf('kernel_cmdline: ')))
  const logs = [
    { label: 'good.bin', eventLog: good },
    { label: 'edited.bin', eventLog: edited },
  ]
  const { contradictory } = learnBoots({ name: 'learned', logs })
  assert.deepEqual(
    contradictory.map(({ label }) => label),
    ['edited.bin'],
  )
  assert.match(contradictory[0]?.why ?? '', /payload_mismatch/)
  const cut = { label: 'cut.bin', eventLog: good.subarray(0, -1) }
  assert.throws(() => learnBoots({ name: 'learned', logs: [...logs, cut] }), /^TouchstoneError: cut\.bin: /)
})
