import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { AppraisalInput } from '../../src/attest/appraise.ts'
import { learnPolicy } from '../../src/attest/learn.ts'
import { selectionToAsk } from '../../src/attest/selection.ts'
import { parsePcrSelection } from '../../src/tpm/index.ts'
import type { PcrSelection } from '../../src/tpm/index.ts'
import { checkNamed, evidenceOf, honest, learned, member, memberNames, policyOf, without } from './case.ts'
import type { Boot } from './case.ts'
import { MAX_IMA_ENTRIES } from '../../src/attest/ima-replay.ts'
import { replayImaLog, parseImaLog } from '../../src/eventlog/index.ts'
import { agileLog, digestOf, event, regularBoot, TYPE, u32 } from '../eventlog/build-log.ts'
import type { EventSpec } from '../eventlog/build-log.ts'
import { pcrsOf } from './evidence.ts'
import type { PcrValues } from './evidence.ts'

const ZEROS = Object.fromEntries(Array.from({ length: 24 }, (_, pcr) => [String(pcr), '00'.repeat(64)]))

/** The bytes of the first entry of an IMA log. */
function imaEntrySize(log: Buffer): number {
  const nameEnd = 28 + log.readUInt32LE(24)
  return nameEnd + 4 + log.readUInt32LE(nameEnd)
}

/** The log with one more event at its end, and the registers of the machine that measured that too. */
function extended(boot: Boot, pcr: number): Pick<Boot, 'eventLog' | 'pcrs'> {
  const more = event({ pcr, type: TYPE.efiAction, data: 'one more' }, ['sha1', 'sha256', 'sha384'])
  const eventLog = Buffer.concat([boot.eventLog, more])
  const sha256 = pcrsOf(eventLog)['sha256']
  return { eventLog, pcrs: { ...boot.pcrs, sha256: { ...sha256, 10: boot.pcrs['sha256']?.['10'] ?? '' } } }
}

function onlyPcr0(): Pick<Boot, 'eventLog' | 'pcrs'> {
  const eventLog = agileLog([{ pcr: 0, type: TYPE.crtmVersion, data: Buffer.alloc(2) }])
  return { eventLog, pcrs: pcrsOf(eventLog) }
}

/** Evidence over several banks: what was asked, and what the TPM signed for it. */
function banks(asked: string, signed: string, pcrs: PcrValues = honest.pcrs): AppraisalInput {
  const input = evidenceOf(honest, { selection: parsePcrSelection(signed), pcrs })
  return { ...input, selection: parsePcrSelection(asked) }
}

function withPcr(pcr: number, value: string, boot: Boot = honest): PcrValues {
  return { ...boot.pcrs, sha256: { ...boot.pcrs['sha256'], [pcr]: value } }
}

test('PCR 0 to 7 of other banks are replayed and digested too', () => {
  const all = 'sha256:0-15+sha1:0-7+sha384:0-7'
  const appraisal = appraise(banks(all, all))
  assert.equal(appraisal.status, 'affirming')
  assert.deepEqual(checkNamed(appraisal, 'bank.unmeasured').expected, { enabled: ['sha1', 'sha384'] })
})

test('a bank that is not allocated is signed empty, and that is permitted where it is not judged', () => {
  const appraisal = appraise(banks('sha256:0-15+sha384:0-7+sha512:0-7', 'sha256:0-15+sha384:0-7+sha512:none'))
  assert.equal(appraisal.status, 'affirming')
})

test('the judged bank signed empty, or another bank signed in part, is another selection', () => {
  for (const signed of ['sha256:none+sha384:0-7', 'sha256:0-15+sha384:0-6', 'sha256:0-15']) {
    const appraisal = appraise(banks('sha256:0-15+sha384:0-7', signed))
    assert.equal(checkNamed(appraisal, 'quote.selection').outcome, 'fail', signed)
    assert.equal(appraisal.status, 'contraindicated')
  }
})

test('a changed value in another bank fails the digest', () => {
  const all = 'sha256:0-15+sha1:0-7'
  const pcrs = { ...honest.pcrs, sha1: { ...honest.pcrs['sha1'], 7: '11'.repeat(20) } }
  const appraisal = appraise({ ...banks(all, all, pcrs), pcrs })
  const check = checkNamed(appraisal, 'quote.digest')
  assert.equal(check.outcome, 'fail')
  assert.deepEqual(member(check.expected, 'pcrs'), { sha1: { '7': '11'.repeat(20) } })
})

test('an enabled bank that nobody measured into fails, and only warns where policy says so', () => {
  const all = 'sha256:0-15+sha512:0-7'
  const pcrs = { ...honest.pcrs, sha512: ZEROS }
  const strict = appraise(banks(all, all, pcrs))
  assert.equal(checkNamed(strict, 'quote.digest').outcome, 'pass')
  assert.equal(checkNamed(strict, 'bank.unmeasured').code, 'bank.unmeasured')
  assert.deepEqual(checkNamed(strict, 'bank.unmeasured').actual, { unmeasured: ['sha512'] })
  assert.equal(strict.status, 'contraindicated')
  const lenient = { ...learned, log: { ...learned.log, unmeasuredBanks: 'warn' } } as const
  const warned = appraise({ ...banks(all, all, pcrs), policy: lenient })
  assert.equal(checkNamed(warned, 'bank.unmeasured').outcome, 'warn')
  assert.equal(warned.status, 'warning')
})

test('a bank that cannot be replayed fails the digest', () => {
  const all = 'sha256:0-15+sm3_256:0-7'
  const appraisal = appraise(banks(all, all, { ...honest.pcrs, sm3_256: ZEROS }))
  assert.equal(checkNamed(appraisal, 'quote.digest').code, 'bank.unsupported')
})

test('registers that nothing was measured into keep their initial value: ones in 17 to 22', () => {
  const policy = policyOf('  pcrs: sha256:0-23\n  secureBoot: { enabled: { is: true } }')
  const selection = parsePcrSelection('sha256:0-23')
  assert.equal(appraise({ ...evidenceOf(honest, { selection }), policy }).status, 'affirming')
})

test('a register that was extended without any log of it fails the digest, and is named', () => {
  const pcrs = withPcr(15, 'ab'.repeat(32))
  const appraisal = appraise({ ...evidenceOf(honest, { pcrs }), pcrs })
  const check = checkNamed(appraisal, 'quote.digest')
  assert.deepEqual(member(check.expected, 'pcrs'), { sha256: { '15': 'ab'.repeat(32) } })
  assert.deepEqual(member(check.actual, 'pcrs'), { sha256: { '15': '00'.repeat(32) } })
})

test('PCR 10 without an IMA log to explain it fails the digest, and is named', () => {
  const input = { ...without(evidenceOf(honest), 'imaLog'), pcrs: honest.pcrs }
  const check = checkNamed(appraise(input), 'quote.digest')
  assert.deepEqual(memberNames(check.expected, 'pcrs', 'sha256'), ['10'])
})

test('an IMA log that ran ahead of the quote is covered as far as the quote goes', () => {
  const more = Buffer.concat([honest.imaLog, honest.imaLog.subarray(0, imaEntrySize(honest.imaLog))])
  const appraisal = appraise({ ...evidenceOf(honest), imaLog: more })
  assert.equal(appraisal.status, 'affirming')
  assert.deepEqual(appraisal.ima, { covered: 37, entries: 38 })
  assert.deepEqual(checkNamed(appraisal, 'ima.replay').actual, { covered: 37 })
  assert.deepEqual(appraisal.ima, { covered: 37, entries: 38 })
})

test('an IMA log whose beginning was cut fails the digest', () => {
  const cut = honest.imaLog.subarray(imaEntrySize(honest.imaLog))
  const appraisal = appraise({ ...evidenceOf(honest), imaLog: cut })
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'fail')
  assert.equal(checkNamed(appraisal, 'ima.replay').outcome, 'indeterminate')
})

/** The honest machine, which says that the first IMA entries were the firmware's. */
function hidden(entries: number): Boot {
  const log = parseImaLog(honest.imaLog)
  const digests = (data: Buffer) => ({
    sha1: digestOf('sha1', data),
    sha256: digestOf('sha256', data),
    sha384: digestOf('sha384', data),
  })
  const moved = log.entries.slice(0, entries).map(({ templateData }) => {
    return event({ pcr: 10, type: TYPE.eventTag, data: 'x', digests: digests(templateData) }, [
      'sha1',
      'sha256',
      'sha384',
    ])
  })
  const imaLog = honest.imaLog.subarray(log.entries[entries]?.offset ?? honest.imaLog.byteLength)
  return { ...honest, eventLog: Buffer.concat([honest.eventLog, ...moved]), imaLog }
}

test('IMA entries cannot be hidden in the firmware log', () => {
  for (const entries of [1, 36, 37]) {
    for (const structure of ['strict', 'tolerant'] as const) {
      const policy = { ...learned, log: { ...learned.log, structure } }
      const input = { ...evidenceOf(hidden(entries)), policy, pcrs: honest.pcrs }
      for (const given of entries === 37 ? [without(input, 'imaLog'), input] : [input]) {
        const appraisal = appraise(given)
        assert.equal(appraisal.status, 'contraindicated')
        assert.equal(checkNamed(appraisal, 'log.structure').outcome, 'fail')
        assert.deepEqual(memberNames(checkNamed(appraisal, 'quote.digest').expected, 'pcrs', 'sha256'), ['10'])
        assert.equal(appraisal.facts, undefined)
      }
    }
  }
})

test('an IMA log that does not begin with a boot aggregate is not the whole one', () => {
  const cut = honest.imaLog.subarray(imaEntrySize(honest.imaLog))
  const { value } = replayImaLog(cut, 'sha256')
  // The machine was made to extend PCR 10 so from its start.
  const appraisal = appraise({ ...evidenceOf(honest, { pcrs: withPcr(10, value.toString('hex')) }), imaLog: cut })
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
  assert.equal(checkNamed(appraisal, 'ima.boot-aggregate').outcome, 'indeterminate')
  assert.equal(checkNamed(appraisal, 'ima.boot-aggregate').code, 'ima.boot_aggregate_unknown')
  assert.equal(appraisal.vector.executables, 96)
})

test('a boot aggregate over registers that are not quoted proves nothing', () => {
  const selection = parsePcrSelection('sha256:0-8,10')
  const policy = policyOf('  pcrs: sha256:0-8,10\n  secureBoot: { enabled: { is: true } }')
  const appraisal = appraise({ ...evidenceOf(honest, { selection }), policy })
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
  assert.equal(checkNamed(appraisal, 'ima.boot-aggregate').code, 'ima.boot_aggregate_unknown')
  assert.equal(appraisal.status, 'contraindicated')
})

test('an IMA log of more entries than are replayed fails without being replayed', () => {
  // Of another register, so that only counting them takes time.
  const entry = Buffer.concat([u32(11), Buffer.alloc(20, 1), u32(6), Buffer.from('ima-ng'), u32(0)])
  const imaLog = Buffer.alloc(entry.byteLength * (MAX_IMA_ENTRIES + 1), entry)
  const appraisal = appraise({ ...evidenceOf(honest), imaLog, pcrs: honest.pcrs })
  assert.equal(checkNamed(appraisal, 'quote.digest').code, 'ima.too_long')
  assert.equal(checkNamed(appraisal, 'ima.replay').code, 'ima.too_long')
  assert.equal(appraisal.status, 'contraindicated')
})

test('where no other bank was asked for, the check of banks says which ones nobody looked at', () => {
  const check = checkNamed(appraise(evidenceOf(honest)), 'bank.unmeasured')
  assert.equal(check.outcome, 'pass')
  assert.deepEqual(check.actual, { notLookedAt: ['sha384', 'sha512', 'sha1'] })
})

test('an IMA log of which the quote covers nothing proves nothing', () => {
  const pcrs = withPcr(10, '00'.repeat(32))
  const appraisal = appraise(evidenceOf(honest, { pcrs }))
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
  assert.equal(checkNamed(appraisal, 'ima.replay').code, 'ima.empty')
  assert.equal(appraisal.vector.executables, 96)
})

test('a template name changed in the IMA log, which no digest covers, fails its structure', () => {
  const imaLog = Buffer.from(honest.imaLog)
  const at = imaLog.indexOf('ima-sig')
  imaLog.write('ima-sag', at, 'latin1')
  const appraisal = appraise({ ...evidenceOf(honest), imaLog })
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
  assert.equal(checkNamed(appraisal, 'ima.structure').code, 'ima.structure')
  assert.equal(appraisal.status, 'contraindicated')
})

test('an IMA log of another boot, though quoted, warns by its boot aggregate', () => {
  const policy = policyOf('  pcrs: sha256:0-15\n  secureBoot: { enabled: { is: true } }')
  // PCR 5 is in the aggregate and in no rule: the machine measured something more after its kernel had looked.
  const { eventLog, pcrs } = extended(honest, 5)
  const appraisal = appraise({ ...evidenceOf({ ...honest, eventLog, pcrs }), policy })
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
  assert.equal(checkNamed(appraisal, 'ima.boot-aggregate').code, 'ima.boot_aggregate')
  assert.equal(appraisal.status, 'warning')
})

test('an IMA log that policy requires and that did not come fails', () => {
  const policy = { ...learned, log: { ...learned.log, ima: 'required' } } as const
  const input = { ...without(evidenceOf(honest, { pcrs: withPcr(10, '00'.repeat(32)) }), 'imaLog'), policy }
  const appraisal = appraise(input)
  assert.equal(checkNamed(appraisal, 'ima.replay').code, 'ima.missing')
  assert.equal(appraisal.status, 'contraindicated')
})

test('an IMA log that policy requires is indeterminate where PCR 10 is not quoted', () => {
  const policy = { ...learned, log: { ...learned.log, ima: 'required' } } as const
  const selection: PcrSelection = parsePcrSelection('sha256:0-9,11-15')
  const appraisal = appraise({ ...evidenceOf(honest, { selection }), policy, selection })
  assert.equal(checkNamed(appraisal, 'ima.replay').code, 'pcr.unquoted')
})

test('firmware registers without any measurement fail, and warn where policy is tolerant', () => {
  // A log of one event, of PCR 0: its machine's PCR 1 to 7 are as they were at power-on.
  const { eventLog, pcrs } = onlyPcr0()
  const rules = '  firmware: { version: { anyOf: ["0000"] } }'
  const blank = { eventLog, imaLog: Buffer.alloc(0), pcrs }
  const strict = appraise({ ...evidenceOf(blank), policy: policyOf(`  pcrs: sha256:0-15\n${rules}`) })
  assert.equal(checkNamed(strict, 'quote.digest').outcome, 'pass')
  assert.deepEqual(checkNamed(strict, 'pcr.zero').actual, { empty: [1, 2, 3, 4, 5, 6, 7] })
  assert.equal(checkNamed(strict, 'pcr.zero').outcome, 'fail')
  assert.equal(strict.status, 'contraindicated')
  const tolerant = policyOf(`  pcrs: sha256:0-15\n  log: { structure: tolerant }\n${rules}`)
  const warned = appraise({ ...without(evidenceOf(blank), 'imaLog'), policy: tolerant })
  assert.equal(checkNamed(warned, 'pcr.zero').outcome, 'warn')
})

test('a register that a rule reads and nothing was measured into is unverified, whatever it holds', () => {
  const policy = policyOf(`  pcrs: sha256:0-15\n  pcr: { "15": { anyOf: ["${'00'.repeat(32)}"] } }`)
  const appraisal = appraise({ ...evidenceOf(honest), policy })
  assert.equal(checkNamed(appraisal, 'pcr.measured').code, 'pcr.unmeasured')
  assert.equal(appraisal.status, 'contraindicated')
})

test('a rule that only warns only warns over a register without measurements', () => {
  const spec = `  pcrs: sha256:0-15\n  pcr: { "15": { anyOf: ["${'00'.repeat(32)}"], onFailure: warn } }`
  const appraisal = appraise({ ...evidenceOf(honest), policy: policyOf(spec) })
  assert.equal(checkNamed(appraisal, 'pcr.measured').outcome, 'warn')
  assert.equal(appraisal.status, 'warning')
})

test('a payload that is not what its digest covers was edited: it fails, and policy cannot tolerate it', () => {
  const eventLog = Buffer.from(honest.eventLog)
  const at = eventLog.indexOf('kernel_cmdline: ')
  eventLog.write('kernel_cmdline: x', at, 'latin1')
  const tolerant = { ...learned, log: { ...learned.log, structure: 'tolerant' } } as const
  for (const policy of [learned, tolerant]) {
    const appraisal = appraise({ ...evidenceOf(honest), eventLog, policy })
    assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
    assert.equal(checkNamed(appraisal, 'log.structure').outcome, 'fail')
    assert.equal(checkNamed(appraisal, 'log.structure').event?.pcr, 8)
  }
})

test('a disguised type fails where policy is tolerant too, and an error of the firmware only warns there', () => {
  const tolerant = policyOf(
    '  pcrs: sha256:0-15\n  log: { structure: tolerant }\n  boot: { exitBootServices: { is: true } }',
  )
  const structureOf = (...extra: readonly EventSpec[]) => {
    const eventLog = agileLog(regularBoot(extra))
    const boot = { eventLog, imaLog: Buffer.alloc(0), pcrs: pcrsOf(eventLog) }
    return checkNamed(appraise({ ...without(evidenceOf(boot), 'imaLog'), policy: tolerant }), 'log.structure')
  }
  assert.equal(structureOf().outcome, 'pass')
  assert.equal(structureOf({ pcr: 5, type: TYPE.ipl, data: 'Exit Boot Services Invocation' }).outcome, 'fail')
  assert.equal(structureOf({ pcr: 3, type: TYPE.separator, data: Buffer.from([1, 0, 0, 0]) }).outcome, 'warn')
})

test('a log without the judged bank has no facts', () => {
  const policy = policyOf(`  pcrs: sha512:0-7\n  secureBoot: { enabled: { is: true } }`)
  const selection = parsePcrSelection('sha512:0-7')
  const appraisal = appraise({ ...evidenceOf(honest, { selection, pcrs: { sha512: ZEROS } }), policy })
  assert.equal(checkNamed(appraisal, 'log.structure').code, 'eventlog.bank_missing')
  assert.equal(appraisal.facts, undefined)
  assert.equal(appraisal.status, 'contraindicated')
})

test('a log of RTMRs is not one of PCRs', () => {
  const data = Buffer.alloc(4)
  const eventLog = agileLog([{ pcr: 1, type: TYPE.separator, data }], { banks: ['sha384'], register: 1 })
  const policy = policyOf('  pcrs: sha384:0-15\n  secureBoot: { enabled: { is: true } }')
  const pcrs = pcrsOf(eventLog, ['sha384'])
  const input = without(evidenceOf({ eventLog, imaLog: data, pcrs }, { selection: policy.pcrs }), 'imaLog')
  const appraisal = appraise({ ...input, policy })
  assert.equal(checkNamed(appraisal, 'log.structure').code, 'log.registers')
  assert.equal(appraisal.status, 'contraindicated')
  assert.throws(() => learnPolicy({ name: 'x', eventLog }), { code: 'log.registers' })
})

test('a SHA-1 bank may be judged, and warns', () => {
  // The kernel computes its boot aggregate in the SHA-256 bank, which must be quoted too.
  const policy = policyOf('  pcrs: sha1:0-15+sha256:0-9\n  secureBoot: { enabled: { is: true } }')
  const appraisal = appraise({ ...evidenceOf(honest, { selection: policy.pcrs }), policy })
  assert.equal(checkNamed(appraisal, 'ima.boot-aggregate').outcome, 'pass')
  assert.equal(checkNamed(appraisal, 'bank.strength').code, 'bank.weak')
  assert.equal(appraisal.status, 'warning')
})

test('a verifier asks for the policy’s registers, and for PCR 0 to 7 of every other bank', () => {
  const asked = selectionToAsk(parsePcrSelection('sha256:0-15'))
  const firmware = [0, 1, 2, 3, 4, 5, 6, 7]
  assert.deepEqual(asked.slice(1), [
    { hash: 'sha1', pcrs: firmware },
    { hash: 'sha384', pcrs: firmware },
    { hash: 'sha512', pcrs: firmware },
  ])
  assert.deepEqual(selectionToAsk(parsePcrSelection('sha256:0-15'), ['sha256', 'sha1']).length, 2)
})

test('a rule behind a signature that is not genuine is blocked by that, and does not miss registers', () => {
  const input = evidenceOf(honest)
  const signature = Buffer.from(input.signature)
  signature.writeUInt8(signature.readUInt8(10) ^ 1, 10)
  const { checks } = appraise({ ...input, signature })
  const rules = checks.filter(({ check }) => check === 'policy.rule')
  assert.deepEqual([...new Set(rules.map(({ code }) => code))], ['policy.unauthenticated'])
})
