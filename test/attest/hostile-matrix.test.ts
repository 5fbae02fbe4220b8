import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { Appraisal, AppraisalInput } from '../../src/attest/appraise.ts'
import { learnPolicy } from '../../src/attest/learn.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import { failureOf } from '../../src/cli/failure.ts'
import { ERRORS } from '../../src/core/index.ts'
import { parseEventLog, parseImaLog } from '../../src/eventlog/index.ts'
import { parsePcrSelection } from '../../src/tpm/index.ts'
import type { TpmsAttest } from '../../src/tpm/index.ts'
import { realLog } from '../eventlog/logs.ts'
import { machine, u16, u32 } from '../eventlog/odd-machine.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { evidenceOf, honest, policyOf, recordedBoot, tpm } from './case.ts'
import { fakeTpm, NONCE, pcrsOf, quoteOf, signAttest, signBytes } from './evidence.ts'

// What somebody with the machine, the network or the files may send, and what a command line makes of it: never a good
// verdict, never a crash, and always something that says what to do. Each case is good evidence with one thing wrong.

interface Case {
  readonly input: () => AppraisalInput
  /** Of the contract: 1 for what decodes and is wrong, 2 for what cannot be decoded. */
  readonly exit: 1 | 2
  /** `check code` that must be among those that did not pass, or the code of the refusal. */
  readonly says: string
}

const good = evidenceOf(honest)
const quote = quoteOf(tpm, { pcrs: honest.pcrs })
const log = honest.eventLog
const ima = honest.imaLog
const cmdline = recordedBoot('cmdline')

const stating = (attest: TpmsAttest) => () => ({ ...good, ...signAttest(tpm, attest) })
const quoting = (options: Parameters<typeof evidenceOf>[1]) => () => evidenceOf(honest, options)
const withLog = (eventLog: Buffer) => () => ({ ...good, eventLog })
const withIma = (imaLog: Buffer) => () => ({ ...good, imaLog })
const withKey = (attributes: Parameters<typeof fakeTpm>[0]) => () => evidenceOf(honest, {}, fakeTpm(attributes))
const under = (text: () => string) => () => ({ ...good, policy: parsePolicy(text()) })
const spec = (lines: string) => under(() => `${HEAD}${lines}\n`)
const HEAD = 'apiVersion: touchstone/v1\nkind: AttestationPolicy\nmetadata: { name: p }\nspec:\n  pcrs: sha256:0-15\n'

function edited(bytes: Uint8Array, edit: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes)
  edit(copy)
  return copy
}

/** Evidence of a TPM into which somebody extended more after the boot, with a log to match. */
function afterBoot(...events: readonly { pcr: number; type: number; data: string | Buffer; measured?: string }[]) {
  return (): AppraisalInput => {
    const on = machine({ hasHeader: false, banks: ['sha1', 'sha256', 'sha384'] })
    for (const { pcr, type, ...what } of events) on.extend(pcr, type, what)
    const eventLog = Buffer.concat([log, on.log()])
    const { sha256 } = pcrsOf(eventLog, ['sha256'])
    const pcrs = { sha256: { ...sha256, 10: honest.pcrs['sha256']?.['10'] ?? '' } }
    return { ...evidenceOf({ ...honest, eventLog, pcrs }), policy: good.policy }
  }
}

/** Where the event that holds `text` begins, and what is needed to change it. */
function eventWith(text: string) {
  const event = parseEventLog(log).events.find(({ data }) => data.includes(text))
  assert.ok(event)
  const payloadAt = event.data.byteOffset - log.byteOffset
  const digest = event.digests.get('sha256')
  assert.ok(digest)
  return { at: event.offset, payloadAt, digestAt: digest.byteOffset - log.byteOffset }
}

const line = eventWith('kernel_cmdline: ')
const entries = parseImaLog(ima).entries.map(({ offset }) => offset)
const entry = (index: number) => ima.subarray(entries[index] ?? 0, entries[index + 1] ?? ima.byteLength)
const last = entries.length - 1

const zeros = { sha256: Object.fromEntries(Array.from({ length: 24 }, (_, pcr) => [pcr, '00'.repeat(32)])) }
const references = (entry: string) => `---
apiVersion: touchstone/v1
kind: ReferenceSet
metadata: { name: keys }
spec:
  entries:
    - ${entry}
`
const pk = parseEventLog(log).events.find(({ data }) => data.includes(Buffer.from('PK', 'utf16le')))
const pkDigest = pk?.digests.get('sha256')?.toString('hex') ?? ''

const quotes: Readonly<Record<string, Case>> = {
  'an empty quote': { input: () => ({ ...good, quote: Buffer.alloc(0) }), exit: 2, says: 'decode.truncated' },
  'a quote without its last byte': {
    input: () => ({ ...good, quote: good.quote.slice(0, -1) }),
    exit: 2,
    says: 'decode.truncated',
  },
  'a quote with a byte more': {
    input: () => ({ ...good, ...signBytes(tpm, Buffer.concat([good.quote, Buffer.of(0)])) }),
    exit: 2,
    says: 'decode.trailing',
  },
  'random bytes for a quote': {
    input: () => ({ ...good, quote: createHash('sha512').update('x').digest() }),
    exit: 1,
    says: 'quote.magic quote.magic',
  },
  'another magic': { input: stating({ ...quote, magic: 0 }), exit: 1, says: 'quote.magic quote.magic' },
  'a time attestation': {
    input: stating({
      ...quote,
      type: 'time',
      attested: { time: { time: 1n, clockInfo: quote.clockInfo }, firmwareVersion: 1n },
    }),
    exit: 1,
    says: 'quote.type quote.type',
  },
  'a certification': {
    input: stating({
      ...quote,
      type: 'certify',
      attested: { name: Buffer.alloc(34), qualifiedName: Buffer.alloc(34) },
    }),
    exit: 1,
    says: 'quote.type quote.type',
  },
  'a nonce cut short': { input: quoting({ nonce: NONCE.subarray(1) }), exit: 1, says: 'quote.nonce quote.nonce' },
  'a nonce in text': {
    input: quoting({ nonce: Buffer.from(NONCE.toString('hex')) }),
    exit: 1,
    says: 'quote.nonce quote.nonce',
  },
  'a hash of the nonce': {
    input: quoting({ nonce: createHash('sha256').update(NONCE).digest() }),
    exit: 1,
    says: 'quote.nonce quote.nonce',
  },
  'no nonce, on either side': {
    input: () => ({ ...evidenceOf(honest, { nonce: Buffer.alloc(0) }), nonce: Buffer.alloc(0) }),
    exit: 1,
    says: 'quote.nonce quote.nonce',
  },
  'no banks': { input: quoting({ selection: [] }), exit: 1, says: 'quote.selection quote.selection' },
  'PCR 16 for PCR 10': {
    input: quoting({ selection: parsePcrSelection('sha256:0-9,11-16') }),
    exit: 1,
    says: 'quote.selection quote.selection',
  },
  'SHA-1 registers alone': {
    input: quoting({ selection: parsePcrSelection('sha1:0-15') }),
    exit: 1,
    says: 'quote.selection quote.selection',
  },
  'registers that nobody measured into, and a log that says so': {
    input: () => ({
      ...evidenceOf({ ...honest, pcrs: zeros, eventLog: machine().log() }),
      policy: good.policy,
    }),
    exit: 1,
    says: 'pcr.zero pcr.zero',
  },
  'a SHA-1 signature': {
    input: () => ({ ...good, ...signAttest(tpm, quote, 'sha1') }),
    exit: 1,
    says: 'quote.scheme tpm.signature_hash',
  },
  'a signature of no scheme': {
    input: () => ({ ...good, signature: Buffer.of(0, 0x10) }),
    exit: 1,
    says: 'quote.scheme tpm.signature_scheme',
  },
  'a signature of zeros': {
    input: () => ({ ...good, signature: edited(good.signature, (copy) => copy.fill(0, 6, 38).fill(0, 40)) }),
    exit: 1,
    says: 'quote.signature tpm.signature_invalid',
  },
  'a signature cut short': {
    input: () => ({ ...good, signature: good.signature.slice(0, -1) }),
    exit: 2,
    says: 'decode.truncated',
  },
  "another machine's quote": {
    input: () => ({ ...good, ...signAttest(fakeTpm(), quote) }),
    exit: 1,
    says: 'quote.signature tpm.signature_invalid',
  },
  'a key of another EK': {
    input: () => ({ ...good, ek: fakeTpm().ekBytes }),
    exit: 1,
    says: 'ak.qualified-name ak.qualified_name',
  },
  'a key that signs anything': { input: withKey({ restricted: false }), exit: 1, says: 'ak.attributes ak.attributes' },
  'a key that decrypts': { input: withKey({ decrypt: true }), exit: 1, says: 'ak.attributes ak.attributes' },
  'a key made elsewhere': {
    input: withKey({ sensitiveDataOrigin: false }),
    exit: 1,
    says: 'ak.attributes ak.attributes',
  },
  'a key cut short': {
    input: () => ({ ...good, ak: { public: tpm.akBytes.subarray(0, -1) } }),
    exit: 2,
    says: 'decode.truncated',
  },
  'a private key as PEM': {
    input: () => ({ ...good, ak: { pem: '-----BEGIN PRIVATE KEY-----\n' } }),
    exit: 2,
    says: 'ak.pem',
  },
  'register values that lie, over a log of another boot': {
    input: () => ({ ...good, eventLog: cmdline.eventLog, pcrs: cmdline.pcrs }),
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'register values that are true, over a log of another boot': {
    input: () => ({ ...good, eventLog: cmdline.eventLog, pcrs: honest.pcrs }),
    exit: 1,
    says: 'quote.digest quote.digest',
  },
}

const logs: Readonly<Record<string, Case>> = {
  'an empty log': { input: withLog(Buffer.alloc(0)), exit: 2, says: 'eventlog.empty' },
  'a log of padding': { input: withLog(Buffer.alloc(1 << 20)), exit: 2, says: 'eventlog.empty' },
  'a log cut within an event': { input: withLog(log.subarray(0, -1)), exit: 2, says: 'decode.truncated' },
  'a log with a byte more': {
    input: withLog(Buffer.concat([log, Buffer.of(1)])),
    exit: 2,
    says: 'decode.truncated',
  },
  'a log without its last event': {
    input: withLog(log.subarray(0, parseEventLog(log).events.at(-1)?.offset)),
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'a log twice': {
    input: withLog(Buffer.concat([log, log])),
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'the log of another boot': {
    input: withLog(cmdline.eventLog),
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'an IMA log': { input: withLog(ima), exit: 2, says: 'eventlog.format' },
  'sixteen megabytes of marks': {
    input: () =>
      withLog(
        Buffer.concat([
          log,
          Buffer.alloc(1 << 24, Buffer.concat([u32(0), u32(3), Buffer.alloc(8)])).subarray(log.byteLength),
        ]),
      )(),
    exit: 2,
    says: 'decode.too_large',
  },
  'an edited command line with its digest as it was': {
    input: withLog(edited(log, (copy) => copy.write('init=/x', line.payloadAt + 20))),
    exit: 1,
    says: 'log.structure log.structure',
  },
  'an edited command line with the digest that it has': {
    input: () => {
      const copy = Buffer.from(log)
      copy.write('init=/x', line.payloadAt + 20)
      const end = copy.indexOf(0, line.payloadAt)
      createHash('sha256')
        .update(copy.subarray(line.payloadAt + 'kernel_cmdline: '.length, end))
        .digest()
        .copy(copy, line.digestAt)
      return withLog(copy)()
    },
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'a measurement made a mark': {
    input: withLog(edited(log, (copy) => copy.writeUInt32LE(3, line.at + 4))),
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'a startup locality that the TPM did not have': {
    input: () => {
      const event = Buffer.concat([Buffer.from('StartupLocality\0'), Buffer.of(3)])
      const [, first] = parseEventLog(log).events
      const mark = Buffer.concat([u32(0), u32(3), u32(0), u32(event.byteLength), event])
      return withLog(Buffer.concat([log.subarray(0, first?.offset), mark, log.subarray(first?.offset)]))()
    },
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'a digest of an algorithm twice': {
    input: withLog(
      Buffer.concat([log, u32(8), u32(13), u32(2), ...[1, 2].flatMap(() => [u16(0xb), Buffer.alloc(32)]), u32(0)]),
    ),
    exit: 2,
    says: 'eventlog.digests',
  },
  'another boot loader, started by root after the boot': {
    input: afterBoot({ pcr: 4, type: 0x80000003, data: Buffer.alloc(32), measured: 'x' }),
    exit: 1,
    says: 'policy.rule policy.sequence',
  },
  'another authority, named by root after the boot': {
    input: afterBoot({ pcr: 7, type: 0x800000e0, data: 'opaque', measured: 'x' }),
    exit: 1,
    says: 'log.structure log.structure',
  },
  'another command, measured by root after the boot': {
    input: afterBoot({ pcr: 8, type: 13, data: 'grub_cmd: linux /x\0', measured: 'linux /x' }),
    exit: 1,
    says: 'policy.rule policy.sequence',
  },
  'another file, measured by root after the boot': {
    input: afterBoot({ pcr: 9, type: 13, data: '/vmlinuz\0', measured: 'x' }),
    exit: 1,
    says: 'policy.rule policy.sequence',
  },
  'a separator, measured by root after the boot': {
    input: afterBoot({ pcr: 7, type: 4, data: Buffer.alloc(4) }),
    exit: 1,
    says: 'policy.rule policy.no_match',
  },
  'a separator in disguise': {
    input: afterBoot({ pcr: 5, type: 6, data: 'x', measured: '\0\0\0\0' }),
    exit: 1,
    says: 'log.structure log.structure',
  },
  'the separator of an error': {
    input: afterBoot({ pcr: 5, type: 4, data: u32(1) }),
    exit: 1,
    says: 'log.structure log.structure',
  },
  "entries of the kernel's register in the firmware's log": {
    input: () => ({
      ...afterBoot({ pcr: 10, type: 13, data: 'x' })(),
      policy: policyOf('  pcrs: sha256:0-15\n  log: { structure: tolerant }\n  secureBoot: { enabled: { is: true } }'),
    }),
    exit: 1,
    says: 'log.structure log.structure',
  },
}

const imaLogs: Readonly<Record<string, Case>> = {
  'no IMA log': {
    input: () => {
      const { imaLog: _ima, ...rest } = good
      return rest
    },
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'an IMA log cut within an entry': { input: withIma(ima.subarray(0, -1)), exit: 2, says: 'decode.truncated' },
  'an IMA log without its last entry': {
    input: withIma(ima.subarray(0, entries[last])),
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'an IMA log without its first entry': {
    input: withIma(ima.subarray(entries[1])),
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'an IMA log in another order': {
    input: withIma(Buffer.concat([entry(last), ...entries.slice(0, last).map((_, index) => entry(index))])),
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'an IMA log with a violation in front': {
    input: withIma(Buffer.concat([edited(entry(1), (copy) => copy.fill(0, 4, 24)), ima])),
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'an IMA log with another register': {
    input: withIma(edited(ima, (copy) => copy.writeUInt32LE(11, 0))),
    exit: 1,
    says: 'quote.digest quote.digest_not_localised',
  },
  'a firmware log for an IMA log': { input: withIma(log), exit: 2, says: 'decode.too_large' },
}

const policies: Readonly<Record<string, Case>> = {
  'a misspelt section': {
    input: spec('  secureBoott: { enabled: { is: true } }'),
    exit: 2,
    says: 'policy.invalid',
  },
  'a misspelt fact': { input: spec('  secureBoot: { enabld: { is: true } }'), exit: 2, says: 'policy.invalid' },
  'a misspelt matcher': { input: spec('  secureBoot: { enabled: { iss: true } }'), exit: 2, says: 'policy.invalid' },
  'a misspelt claim in an expression': {
    input: spec('  rules: [{ name: r, expression: boot.secureBoot.enabeld }]'),
    exit: 2,
    says: 'policy.invalid',
  },
  'no rules': { input: spec('  log: { structure: strict }'), exit: 2, says: 'policy.invalid' },
  'a rule that everything passes': {
    input: spec('  rules: [{ name: r, expression: "1 == 1" }]'),
    exit: 2,
    says: 'policy.invalid',
  },
  'a list of nothing allowed': { input: spec('  secureBoot: { pk: { anyOf: [] } }'), exit: 2, says: 'policy.invalid' },
  'another version of the language': {
    input: under(() => HEAD.replace('v1', 'v2') + '  secureBoot: { enabled: { is: true } }\n'),
    exit: 2,
    says: 'policy.invalid',
  },
  'a megabyte of keys': {
    input: under(() => Array.from({ length: 100_000 }, (_, key) => `k${key}: 1`).join('\n')),
    exit: 2,
    says: 'policy.invalid',
  },
  'references that nobody has': {
    input: spec('  secureBoot: { pk: { references: [absent] } }'),
    exit: 1,
    says: 'policy.rule policy.reference_missing',
  },
  'references that nobody has, beside a value that matches': {
    input: spec(`  secureBoot: { pk: { anyOf: [${pkDigest}], references: [absent] } }`),
    exit: 1,
    says: 'policy.rule policy.reference_missing',
  },
  'a reference that is only a candidate': {
    input: under(
      () =>
        `${HEAD}  secureBoot: { pk: { references: [keys] } }\n${references(`{ value: ${pkDigest}, label: PK, state: candidate }`)}`,
    ),
    exit: 1,
    says: 'policy.rule policy.candidate',
  },
  'a reference that is revoked, under a rule that warns': {
    input: under(
      () =>
        `${HEAD}  secureBoot: { pk: { references: [keys], onFailure: warn } }\n${references(`{ value: ${pkDigest}, label: PK, state: revoked }`)}`,
    ),
    exit: 1,
    says: 'policy.rule policy.revoked',
  },
  'a fact that this machine does not have': {
    input: spec(`  eve: { rootfs: { anyOf: [${'00'.repeat(32)}] } }`),
    exit: 1,
    says: 'policy.rule pcr.unmeasured',
  },
  'a fact that is wanted and that nobody knows': {
    input: spec('  secureBoot: { enabled: { is: true } }\n  requiredFacts: [eve.rootfs]'),
    exit: 1,
    says: 'policy.required-fact pcr.unmeasured',
  },
  'an expression over nothing': {
    input: spec('  rules: [{ name: r, expression: "boot.secureBoot.dbx.certificates.all(c, c.subject == \'x\')" }]'),
    exit: 1,
    says: 'policy.rule fact.empty',
  },
  'an expression over what nobody knows': {
    input: spec('  rules: [{ name: r, expression: "boot.secureBoot.auditMode" }]'),
    exit: 1,
    says: 'policy.rule policy.expression_unknown',
  },
}

interface Judged {
  readonly exit: number
  readonly said: readonly string[]
  readonly appraisal?: Appraisal
}

/** The verdict, or the refusal, with the exit of the command line. */
function judge(input: () => AppraisalInput): Judged {
  try {
    const appraisal = appraise(input())
    const said = appraisal.checks
      .filter(({ outcome }) => outcome !== 'pass')
      .map(({ check, code }) => `${check} ${code}`)
    return { exit: ['affirming', 'warning'].includes(appraisal.status) ? 0 : 1, said, appraisal }
  } catch (error) {
    const { exit, body } = failureOf(error, false)
    assert.ok(body)
    assert.ok(body.error.message.length > 0 && body.error.hint.length > 0)
    return { exit, said: [body.error.code] }
  }
}

/** What a script and a person at night can rely on, whatever was sent. */
function keepsItsPromises({ status, checks, facts }: Appraisal): void {
  assert.equal(status, 'contraindicated')
  assert.deepEqual(JSON.parse(JSON.stringify(checks)), checks)
  for (const { outcome, code } of checks) {
    if (outcome === 'pass') continue
    const row = code === undefined ? undefined : ERRORS[code as keyof typeof ERRORS]
    assert.ok(row !== undefined && row.hint.length > 0, code)
  }
  const failed = new Set(checks.filter(({ outcome }) => outcome !== 'pass').map(({ check }) => check))
  if (['quote.magic', 'quote.type', 'quote.signature', 'quote.digest'].some((name) => failed.has(name))) {
    assert.equal(facts, undefined)
  }
}

for (const [room, cases] of Object.entries({ quote: quotes, log: logs, ima: imaLogs, policy: policies })) {
  for (const [name, { input, exit, says }] of Object.entries(cases)) {
    test(`${room}: ${name} exits with ${exit} and says ${says}`, () => {
      const judged = judge(input)
      assert.ok(judged.said.includes(says), judged.said.join('\n'))
      assert.equal(judged.exit, exit)
      if (judged.appraisal !== undefined) keepsItsPromises(judged.appraisal)
    })
  }
}

test('the evidence that all of these change is affirming', () => {
  assert.equal(appraise(good).status, 'affirming')
})

test('an IMA log that runs ahead of the quote is no reason to refuse it, and how far it was covered is said', () => {
  const appraisal = appraise(withIma(Buffer.concat([ima, entry(last)]))())
  assert.equal(appraisal.status, 'affirming')
  assert.deepEqual(appraisal.ima, { covered: entries.length, entries: entries.length + 1 })
})

test('each real log is accepted by the policy that was learned from it', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  for (const name of [
    'dell-laptop',
    'supermicro-server',
    'thinkpad-p51-windows',
    'gce-rhel8',
    'eve-x64-good',
    'debian-vm',
  ]) {
    const eventLog = realLog(name)
    const policy = parsePolicy(learnPolicy({ name, eventLog }))
    const pcrs = pcrsOf(eventLog, ['sha256'])
    const { imaLog: _ima, ...evidence } = evidenceOf({ ...honest, eventLog, pcrs })
    assert.ok(['affirming', 'warning'].includes(appraise({ ...evidence, policy }).status), name)
  }
})
