import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { AppraisalInput } from '../../src/attest/appraise.ts'
import { readJudgedLog, viewOf } from '../../src/attest/judged-log.ts'
import { parseReferences } from '../../src/attest/policy.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { eventTypeName, parseEventLog } from '../../src/eventlog/index.ts'
import { parsePcrSelection } from '../../src/tpm/index.ts'
import { checkNamed, evidenceOf, honest, policyOf, recordedBoot, ruleCheck, without } from './case.ts'
import { fakeTpm } from './evidence.ts'

// What is remembered must never be seen in a verdict. A log is remembered from the second time on.
const TIMES = 4

/** Where an event that no digest vouches for has a byte that may be anything. */
function unmeasuredByte(log: Buffer): number {
  const image = parseEventLog(log).events.find(({ type }) => eventTypeName(type) === 'EV_EFI_BOOT_SERVICES_APPLICATION')
  assert.ok(image)
  return image.data.byteOffset - log.byteOffset
}

function repeated(input: AppraisalInput): ReturnType<typeof appraise> {
  for (let time = 1; time < TIMES; time += 1) appraise(input)
  return appraise(input)
}

/** Evidence without IMA, whose boot is the same each time. */
function evidenceUnder(spec: string): AppraisalInput {
  const selection = parsePcrSelection('sha256:0-9,11-15')
  const policy = policyOf(`  pcrs: sha256:0-9,11-15\n${spec}`)
  return { ...without(evidenceOf(honest, { selection }), 'imaLog'), policy }
}

const SECURE_BOOT = '  secureBoot: { enabled: { is: true } }'

test('the same evidence has the same verdict the first time and ever after', () => {
  for (const input of [evidenceOf(honest), evidenceUnder(SECURE_BOOT)]) {
    const first = appraise(input)
    assert.deepEqual(repeated(input), first)
    assert.equal(first.status, 'affirming')
  }
})

test('whoever writes over a log after it was judged changes the next verdict and not those that are remembered', () => {
  const eventLog = Buffer.from(honest.eventLog)
  const input = { ...evidenceUnder(SECURE_BOOT), eventLog }
  const good = repeated(input)
  assert.equal(good.status, 'affirming')
  const kernel = parseEventLog(eventLog).events.find(({ pcr }) => pcr === 8)
  assert.ok(kernel)
  kernel.data.fill(0x41)
  assert.equal(appraise(input).status, 'contraindicated')
  assert.deepEqual(appraise({ ...input, eventLog: honest.eventLog }), good)
})

test('a log that differs in what nobody measured is judged by its own bytes', () => {
  const other = Buffer.from(honest.eventLog)
  other.writeUInt8(other.readUInt8(unmeasuredByte(other)) ^ 0xff, unmeasuredByte(other))
  const signed = Buffer.from('one digest over the registers of both')
  for (let time = 0; time < 40; time += 1) {
    for (const bytes of [honest.eventLog, other]) {
      const { log } = readJudgedLog(bytes, signed)
      assert.deepEqual(log.events, parseEventLog(bytes).events)
    }
  }
})

test('a log that is remembered shares no memory with the one that came', () => {
  const bytes = Buffer.from(honest.eventLog)
  const signed = Buffer.from('another digest')
  for (let time = 1; time < TIMES; time += 1) readJudgedLog(bytes, signed)
  const { log } = readJudgedLog(bytes, signed)
  assert.equal(readJudgedLog(bytes, signed).log, log)
  const events = JSON.stringify(log.events)
  bytes.fill(0)
  assert.equal(JSON.stringify(log.events), events)
})

test('a log that cannot be read is refused each time', () => {
  const signed = Buffer.from('a digest over nothing')
  for (let time = 0; time < TIMES; time += 1) {
    assert.throws(
      () => readJudgedLog(honest.eventLog.subarray(0, 100), signed),
      (error) => isTouchstoneError(error, 'decode.truncated'),
    )
  }
})

test('another selection of registers sees other events of the same log', () => {
  const judged = { log: parseEventLog(honest.eventLog), views: new Map() }
  const few = viewOf(judged, parsePcrSelection('sha256:0-7'), 'sha256')
  const all = viewOf(judged, parsePcrSelection('sha256:0-15'), 'sha256')
  assert.ok(few.visible.events.length < all.visible.events.length)
  assert.equal(viewOf(judged, parsePcrSelection('sha256:0-7'), 'sha256'), few)
  for (let pcr = 0; pcr < 16; pcr += 1) viewOf(judged, parsePcrSelection(`sha256:${pcr}`), 'sha256')
  assert.ok(judged.views.size < 8)
  assert.deepEqual(viewOf(judged, parsePcrSelection('sha256:0-7'), 'sha256').quoted, few.quoted)
})

test('what rules said is not said again of another policy, of other references, or of another node', () => {
  const line = ruleCheck(appraise(evidenceOf(honest)), 'kernel.commandLine').actual
  assert.ok(typeof line === 'string')
  const reference = (state: string) =>
    parseReferences(
      `apiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: known }\nspec:\n  entries:\n    - { value: "${line}", state: ${state} }\n`,
    )
  const input = evidenceUnder('  kernel: { commandLine: { references: [known] } }')
  const [active, revoked] = [reference('active'), reference('revoked')]
  for (let time = 0; time < TIMES; time += 1) {
    assert.equal(ruleCheck(appraise({ ...input, references: active }), 'kernel.commandLine').outcome, 'pass')
    assert.equal(ruleCheck(appraise({ ...input, references: revoked }), 'kernel.commandLine').code, 'policy.revoked')
    assert.equal(ruleCheck(appraise(input), 'kernel.commandLine').code, 'policy.reference_missing')
    const { policy: strict } = evidenceUnder('  kernel: { commandLine: { anyOf: [another] } }')
    assert.equal(ruleCheck(appraise({ ...input, policy: strict }), 'kernel.commandLine').outcome, 'fail')
  }
})

test('a remembered boot lends nothing to a quote that is forged or stale', () => {
  const input = evidenceUnder(SECURE_BOOT)
  assert.equal(repeated(input).status, 'affirming')
  assert.equal(appraise({ ...input, ak: { public: fakeTpm().akBytes } }).status, 'contraindicated')
  assert.equal(appraise({ ...input, nonce: Buffer.alloc(16, 9) }).status, 'contraindicated')
  const other = recordedBoot('cmdline')
  assert.equal(checkNamed(appraise({ ...input, eventLog: other.eventLog }), 'quote.digest').outcome, 'fail')
  assert.equal(appraise({ ...evidenceOf(other), eventLog: honest.eventLog }).status, 'contraindicated')
})
