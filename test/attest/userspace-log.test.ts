import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { appraise } from '../../src/attest/appraise.ts'
import type { Appraisal, AppraisalInput } from '../../src/attest/appraise.ts'
import { readJudgedLog } from '../../src/attest/judged-log.ts'
import type { JudgedLog } from '../../src/attest/judged-log.ts'
import { learnPolicy } from '../../src/attest/learn.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import { joinUserspace } from '../../src/attest/userspace-log.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import {
  bootClaims,
  boundClaims,
  joinUserspaceLog,
  parseEventLog,
  parseUserspaceLog,
} from '../../src/eventlog/index.ts'
import type { BoundClaims } from '../../src/eventlog/index.ts'
import { parsePcrSelection } from '../../src/tpm/index.ts'
import { agileLog, digestOf, regularBoot } from '../eventlog/build-log.ts'
import { BOOT_ID, machineId, phases, userspaceLog } from '../eventlog/userspace-records.ts'
import type { Entry } from '../eventlog/userspace-records.ts'
import { checkNamed, evidenceOf, failuresOf, honest, member, policyOf } from './case.ts'
import { fakeTpm, NONCE, pcrsOf, quoteOf, signAttest } from './evidence.ts'
import type { PcrValues } from './evidence.ts'

// Truth is computed here, register by register; the boot is a recorded one of a unified kernel.
const KERNELS = join(import.meta.dirname, '..', 'fixtures', 'unified-kernel')
const eventLog = readFileSync(join(KERNELS, 'secure-boot.bin'))
const learned = parsePolicy(learnPolicy({ name: 'learned', eventLog }))
const tpm = fakeTpm()

const boot: readonly Entry[] = [
  ...phases.slice(0, 2),
  machineId,
  { pcr: 15, eventType: 'filesystem', string: 'file-system:/:ext4:1e023a55' },
  ...phases.slice(2),
]

/** What the registers hold once systemd has measured these, too. */
function extendedBy(entries: readonly Entry[], log: Uint8Array = eventLog): PcrValues {
  const values = pcrsOf(log)
  return Object.fromEntries(
    Object.entries(values).map(([bank, registers]) => {
      const after = { ...registers }
      for (const { pcr = -1, measured, string, banks = ['sha1', 'sha256'] } of entries) {
        const before = after[String(pcr)]
        if (before === undefined || !banks.includes(bank)) continue
        const name = bank === 'sha1' ? 'sha1' : 'sha256'
        const extend = digestOf(name, measured ?? string)
        after[String(pcr)] = digestOf(name, Buffer.concat([Buffer.from(before, 'hex'), extend])).toString('hex')
      }
      return [bank, after]
    }),
  )
}

interface Case {
  readonly measured?: readonly Entry[]
  readonly logged?: readonly Entry[] | undefined
  readonly selection?: string
  readonly withValues?: boolean
  readonly log?: Buffer
}

function evidence({ measured = boot, logged = measured, withValues = false, ...rest }: Case = {}): AppraisalInput {
  const { selection = 'sha256:0-9,11-15', log = eventLog } = rest
  const pcrs = extendedBy(measured, log)
  const asked = parsePcrSelection(selection)
  return {
    policy: learned,
    selection: asked,
    ak: { public: tpm.akBytes },
    ek: tpm.ekBytes,
    enrolment: 'enrolled',
    nonce: NONCE,
    ...signAttest(tpm, quoteOf(tpm, { pcrs, selection: asked })),
    eventLog: log,
    userspaceLog: userspaceLog(...logged),
    ...(withValues ? { pcrs } : {}),
  }
}

function userspaceCheck(appraisal: Appraisal) {
  const { outcome, code, actual } = checkNamed(appraisal, 'log.userspace')
  return { outcome, code, actual }
}

test('a boot whose phases systemd measured replays with both logs, and not with one', () => {
  const input = evidence()
  const appraisal = appraise(input)
  assert.equal(appraisal.status, 'affirming', failuresOf(input).join())
  assert.deepEqual(userspaceCheck(appraisal).actual, { records: 6, covered: 6 })
  assert.deepEqual(appraisal.userspace, { records: 6, covered: 6 })
  Reflect.deleteProperty(input, 'userspaceLog')
  const alone = appraise(input)
  assert.equal(alone.status, 'contraindicated')
  assert.equal(checkNamed(alone, 'quote.digest').outcome, 'fail')
  assert.ok(!alone.checks.some(({ check }) => check === 'log.userspace'))
})

test('the same evidence has the same verdict the first time and ever after, and is never another’s', () => {
  const input = evidence()
  const first = appraise(input)
  for (let time = 0; time < 4; time += 1) assert.deepEqual(appraise(input), first)
  const bytes = Buffer.from(input.userspaceLog ?? [])
  bytes.write('enter-initrX', bytes.indexOf('enter-initrd'), 'latin1')
  assert.equal(appraise({ ...input, userspaceLog: bytes }).status, 'contraindicated')
  assert.deepEqual(appraise(input), first)
})

test('logs are remembered together only where that of the firmware is, or all that came with it would stay in memory', () => {
  const input = evidence()
  const { attested } = quoteOf(tpm, { pcrs: extendedBy(boot), selection: parsePcrSelection('sha256:0-9,11-15') })
  const join = (firmware: JudgedLog) =>
    joinUserspace({
      firmware,
      bytes: input.userspaceLog ?? Buffer.alloc(0),
      signed: attested,
      judged: 'sha256',
      hash: 'sha256',
      hasIma: false,
      claimed: undefined,
    })
  const fresh: JudgedLog = { log: parseEventLog(eventLog), views: new Map() }
  assert.notEqual(join(fresh), join(fresh))
  const { pcrDigest } = attested
  readJudgedLog(eventLog, pcrDigest)
  const kept = readJudgedLog(eventLog, pcrDigest)
  assert.equal(join(kept), join(kept))
})

test('policies read what systemd measured as claims of the boot', () => {
  const rule = (expression: string) =>
    appraise({
      ...evidence(),
      policy: policyOf(`  pcrs: sha256:0-9,11-15\n  rules:\n    - { name: phases, expression: '${expression}' }`),
    }).status
  assert.equal(rule('"ready" in boot.userspace.phases'), 'affirming')
  assert.equal(rule(`boot.userspace.machineId == "${BOOT_ID}"`), 'affirming')
  assert.equal(rule('"shutdown" in boot.userspace.phases'), 'contraindicated')
})

test('records that were written after the quote are not believed, and no fault', () => {
  const policy = policyOf(
    '  pcrs: sha256:0-9,11-15\n  rules:\n    - { name: ready, expression: \'"ready" in boot.userspace.phases\' }',
  )
  for (const withValues of [false, true]) {
    const early = evidence({ measured: boot.slice(0, 5), logged: boot, withValues })
    assert.deepEqual(userspaceCheck(appraise(early)).actual, { records: 6, covered: 5 })
    assert.equal(appraise(early).status, 'affirming')
    assert.equal(appraise({ ...early, policy }).status, 'contraindicated')
  }
  const before = evidence({ measured: [], logged: boot })
  assert.deepEqual(userspaceCheck(appraise(before)).actual, { records: 6, covered: 0 })
})

test('a record that was dropped is named where it is a phase, and else the registers are', () => {
  for (const [dropped, missing, after] of [
    [0, 'enter-initrd', 0],
    [4, 'sysinit', 2],
    [5, 'ready', 3],
  ] as const) {
    const check = userspaceCheck(appraise(evidence({ logged: boot.toSpliced(dropped, 1), withValues: true })))
    assert.deepEqual([check.outcome, check.code], ['fail', 'userspace.phase_missing'])
    assert.deepEqual(check.actual, { records: 5, registers: [11], missing, after })
  }
  const other = userspaceCheck(appraise(evidence({ logged: boot.toSpliced(2, 1), withValues: true })))
  assert.deepEqual([other.outcome, other.code], ['fail', 'userspace.incomplete'])
  assert.deepEqual(other.actual, { records: 5, registers: [15] })
})

test('without register values a phase that was dropped is found by the signed digest, and nobody knows of other records', () => {
  const phase = appraise(evidence({ logged: boot.toSpliced(1, 1) }))
  assert.equal(phase.status, 'contraindicated')
  assert.deepEqual(userspaceCheck(phase).actual, { records: 5, missing: 'leave-initrd', after: 1 })
  assert.equal(phase.userspace, undefined)
  const other = appraise(evidence({ logged: boot.toSpliced(2, 1) }))
  assert.equal(other.status, 'contraindicated')
  assert.deepEqual(userspaceCheck(other).code, 'check.blocked')
})

test('a phase is named only where nothing else is missing', () => {
  const check = userspaceCheck(appraise(evidence({ logged: boot.slice(2).toSpliced(0, 1), withValues: true })))
  assert.deepEqual([check.code, check.actual], ['userspace.incomplete', { records: 3, registers: [11, 15] }])
})

test('records that were swapped, doubled or renamed fail', () => {
  const [first, second, ...rest] = boot
  assert.ok(first && second)
  for (const logged of [
    [second, first, ...rest],
    [first, first, second, ...rest],
    [{ ...first, string: 'ready', measured: 'enter-initrd' }, second, ...rest],
  ]) {
    const input = evidence({ logged, withValues: true })
    assert.equal(appraise(input).status, 'contraindicated', JSON.stringify(logged[0]))
  }
})

test('a last record that was cut is of something that the TPM has', () => {
  const input = evidence({ withValues: true })
  const bytes = Buffer.from(input.userspaceLog ?? [])
  const cut = userspaceCheck(appraise({ ...input, userspaceLog: bytes.subarray(0, bytes.byteLength - 40) }))
  assert.deepEqual([cut.outcome, cut.code, member(cut.actual, 'records')], ['fail', 'userspace.cut', 5])
  const early = evidence({ measured: boot.slice(0, 5), logged: boot })
  const whole = appraise({ ...early, userspaceLog: bytes.subarray(0, bytes.byteLength - 40) })
  assert.equal(whole.status, 'affirming')
})

test('says which registers of systemd no quote covers', () => {
  const input = evidence({ selection: 'sha256:0-9,11-14' })
  assert.deepEqual(userspaceCheck(appraise(input)).actual, { records: 6, covered: 6, notQuoted: [15] })
})

test('a rule over a whole register takes what the firmware left there, or what it holds now, and a revoked one never', () => {
  const [left = '', now = ''] = [pcrsOf(eventLog), extendedBy(boot)].map((values) => values['sha256']?.['11'])
  const status = (value: string, revoked = '') =>
    appraise({
      ...evidence(),
      policy: policyOf(
        `  pcrs: sha256:0-9,11-15\n  pcr: { 11: { references: [known] } }\n---\napiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: known }\nspec:\n  entries:\n    - { value: ${value} }${revoked === '' ? '' : `\n    - { value: ${revoked}, state: revoked }`}`,
      ),
    }).status
  assert.deepEqual([status(left), status(now), status('00'.repeat(32))], ['affirming', 'affirming', 'contraindicated'])
  assert.deepEqual([status(left, now), status(now, left)], ['contraindicated', 'contraindicated'])
})

test('what a boot loader measured behind a good value is not excused as systemd’s', () => {
  const status = (entry: Entry) => {
    const log = agileLog(regularBoot([{ pcr: entry.pcr ?? -1, type: 0x0d, data: Buffer.from('good') }]), {
      banks: ['sha1', 'sha256'],
    })
    const left = pcrsOf(log)['sha256']?.[String(entry.pcr)] ?? ''
    return appraise({
      ...evidence({ measured: [entry], log }),
      policy: policyOf(`  pcrs: sha256:0-9,11-15\n  pcr: { ${entry.pcr ?? -1}: { anyOf: [${left}] } }`),
    }).status
  }
  const separator = { eventType: 'os-separator', string: 'os-separator' }
  assert.deepEqual(
    [9, 11, 12, 13, 14].map((pcr) => status({ pcr, ...separator })),
    Array.from({ length: 5 }, () => 'affirming'),
  )
  assert.equal(status({ pcr: 9, eventType: 'nvpcr-init', string: 'nvpcr-init:hardware' }), 'affirming')
  assert.equal(status({ pcr: 11, eventType: 'phase', string: 'storage-target-mode' }), 'affirming')
  // GRUB's commands, the kernel's options as its EFI stub measures them, sections of an image and what they hold, MokSBState.
  for (const [pcr, string] of [
    [8, 'linux /vmlinuz init=/bin/sh'],
    [8, 'os-separator '],
    [9, 'init=/bin/sh'],
    [11, '.cmdline\0'],
    [11, 'init=/bin/sh'],
    [12, 'i\0n\0i\0t\0=\0x\0\0\0'],
    [14, '\u0001'],
    [14, 'ready'],
    [15, 'file-system:/:ext4:evil'],
  ] as const) {
    assert.equal(status({ pcr, eventType: 'phase', string }), 'contraindicated', `${pcr} ${string}`)
  }
})

test('records without a digest of the judged bank vouch for nothing, and a warning says so', () => {
  const measured = boot.map((entry) => ({ ...entry, banks: ['sha1'] }))
  const check = userspaceCheck(appraise(evidence({ measured })))
  assert.deepEqual([check.outcome, check.code], ['warn', 'userspace.bank'])
  const some = boot.map((entry) => (entry.pcr === 11 ? { ...entry, banks: ['sha1'] } : entry))
  const mixed = appraise(evidence({ measured: some }))
  assert.equal(mixed.status, 'affirming')
  assert.ok(!mixed.checks.some(({ code }) => code === 'eventlog.digest_missing'))
})

test('what systemd measures does not make a bank measured that the firmware left alone', () => {
  const log = agileLog(regularBoot(), { banks: ['sha256'] })
  const separators = [0, 1, 2, 3, 4, 5, 6, 7].map((pcr) => ({
    pcr,
    eventType: 'os-separator',
    string: 'os-separator',
  }))
  const input = evidence({ measured: [...separators, ...boot], log, selection: 'sha256:0-9,11-15+sha1:0-7' })
  const appraisal = appraise(input)
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
  assert.deepEqual(checkNamed(appraisal, 'bank.unmeasured').actual, { unmeasured: ['sha1'] })
  assert.equal(appraisal.status, 'contraindicated')
  const own = appraise({
    ...evidence({ measured: [...separators, ...boot], log }),
    policy: policyOf('  pcrs: sha256:0-9,11-15\n  boot: { exitBootServices: { is: true } }'),
  })
  assert.equal(
    own.status,
    'affirming',
    own.checks
      .filter(({ outcome }) => outcome !== 'pass')
      .map(({ check }) => check)
      .join(),
  )
})

test('a register of the firmware that holds systemd’s separator alone was never used for measuring', () => {
  const log = agileLog(
    regularBoot().filter(({ pcr }) => pcr !== 3),
    { banks: ['sha1', 'sha256'] },
  )
  const separator = { pcr: 3, eventType: 'os-separator', string: 'os-separator' }
  const appraisal = appraise(evidence({ measured: [separator], log }))
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
  assert.deepEqual(member(checkNamed(appraisal, 'pcr.zero').actual, 'empty'), [3])
})

test('an event of the boot cannot be moved into systemd’s log', () => {
  // The last image of PCR 4 is left out of the one log, and put into the other.
  const image = { pcr: 4, type: 0x80000003, data: Buffer.alloc(32), measured: 'another boot loader' }
  const whole = agileLog(regularBoot([image]), { banks: ['sha1', 'sha256'] })
  const short = agileLog(regularBoot(), { banks: ['sha1', 'sha256'] })
  const moved = { pcr: 4, eventType: 'volume-key', string: 'cryptsetup:root', measured: 'another boot loader' }
  const asked = parsePcrSelection('sha256:0-9,11-15')
  const signed = signAttest(tpm, quoteOf(tpm, { pcrs: pcrsOf(whole), selection: asked }))
  const input = { ...evidence({ measured: [moved], log: short }), ...signed }
  const appraisal = appraise({
    ...input,
    policy: policyOf(
      '  pcrs: sha256:0-9,11-15\n  log: { structure: tolerant }\n  boot: { exitBootServices: { is: true } }',
    ),
  })
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
  assert.equal(checkNamed(appraisal, 'log.structure').outcome, 'fail')
  assert.equal(appraisal.status, 'contraindicated')
})

test('entries of IMA are found behind both logs, with register values and without', () => {
  const pcrs = extendedBy(boot, honest.eventLog)
  const values = { ...pcrs, sha256: { ...pcrs['sha256'], 10: honest.pcrs['sha256']?.['10'] ?? '' } }
  const { imaLog } = honest
  const asked = parsePcrSelection('sha256:0-15')
  const signed = evidenceOf(honest, { pcrs: values, selection: asked })
  const input = { ...signed, imaLog, userspaceLog: userspaceLog(...boot) }
  for (const each of [input, { ...input, pcrs: values }]) {
    const appraisal = appraise(each)
    assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
    assert.equal(checkNamed(appraisal, 'ima.boot-aggregate').outcome, 'pass')
    assert.equal(checkNamed(appraisal, 'log.userspace').outcome, 'pass')
    assert.ok((appraisal.ima?.covered ?? 0) > 0)
  }
})

test('logs make up no value of PCR 10, whatever both have of it', () => {
  const { imaLog } = honest
  const asked = parsePcrSelection('sha256:0-15')
  const forged = agileLog([...regularBoot(), { pcr: 10, type: 0x0d, data: Buffer.from('good') }], {
    banks: ['sha1', 'sha256'],
  })
  const left = pcrsOf(forged)['sha256']?.['10'] ?? ''
  const pcrs = pcrsOf(forged)
  const values = { ...pcrs, sha256: { ...pcrs['sha256'], 10: honest.pcrs['sha256']?.['10'] ?? '' } }
  const appraisal = appraise({
    ...evidence({ log: forged }),
    ...signAttest(tpm, quoteOf(tpm, { pcrs: values, selection: asked })),
    selection: asked,
    imaLog,
    userspaceLog: userspaceLog({ pcr: 10, eventType: 'os-separator', string: 'os-separator' }),
    policy: policyOf(`  pcrs: sha256:0-15\n  pcr: { 10: { anyOf: [${left}] } }`),
  })
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
  assert.deepEqual(
    appraisal.checks.filter(({ claim }) => claim === 'pcr.10').map(({ outcome }) => outcome),
    ['fail'],
  )
})

test('a userspace log of another kind is refused, and the message says which file', () => {
  assert.throws(
    () => appraise({ ...evidence(), userspaceLog: eventLog }),
    (error) => isTouchstoneError(error, 'eventlog.format') && error.message.startsWith('the userspace log'),
  )
})

test('without a genuine signature the log is not read, and its check is there', () => {
  const input = evidence()
  const signature = Buffer.from(input.signature)
  signature.writeUInt8(signature.readUInt8(20) ^ 1, 20)
  const appraisal = appraise({ ...input, signature, userspaceLog: Buffer.from('garbage') })
  assert.deepEqual(userspaceCheck(appraisal).code, 'check.blocked')
  assert.equal(appraisal.status, 'contraindicated')
})

test('a log with any few bytes changed is refused, fails, or says nothing that the good one does not', () => {
  const input = evidence()
  const good = Buffer.from(input.userspaceLog ?? [])
  const firmware = parseEventLog(eventLog)
  const said = (bytes: Buffer) => {
    const userspace = parseUserspaceLog(bytes)
    const log = joinUserspaceLog(firmware, userspace, { records: userspace.events.length, bank: 'sha256' })
    return boundClaims(bootClaims(log, 'sha256'))
  }
  const truth = said(good)
  // Of a record whose kind is one that nobody knows the text may be anything: then it is unread, and less is known.
  const saysNoMore = (claims: BoundClaims) => {
    for (const [group, members] of Object.entries(claims)) {
      for (const [name, value] of Object.entries(members)) assert.deepEqual(value, truth[group]?.[name], name)
    }
  }
  const renamed = Buffer.from(good)
  for (const text of ['"machine-id"', 'machine-id:']) renamed.write('X', renamed.indexOf(text) + 3, 'latin1')
  assert.equal(appraise({ ...input, userspaceLog: renamed }).status, 'affirming')
  assert.equal(said(renamed)['userspace']?.['machineId'], undefined)
  saysNoMore(said(renamed))
  const change = fc.tuple(fc.nat({ max: good.byteLength - 1 }), fc.integer({ min: 0, max: 255 }))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      const bytes = Buffer.from(good)
      for (const [at, value] of changes) bytes[at] = value
      try {
        const { status } = appraise({ ...input, userspaceLog: bytes })
        if (status !== 'contraindicated') saysNoMore(said(bytes))
      } catch (error) {
        if (!isTouchstoneError(error)) throw error
      }
    }),
    { numRuns: 300 },
  )
})
