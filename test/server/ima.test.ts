import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import test, { after } from 'node:test'
import { parse, stringify } from 'yaml'
import { toHex } from '../../src/core/index.ts'
import { openTransport, quote } from '../../src/device/index.ts'
import { imaMeasurement } from '../../src/eventlog/index.ts'
import { parseImaLog } from '../../src/eventlog/ima/parse-ima-log.ts'
import { applyDocuments } from '../../src/server/services/apply.ts'
import { whatIf } from '../../src/server/services/what-if.ts'
import { parsePcrSelection } from '../../src/tpm/index.ts'
import { attestationList, evidenceQualifyingData, type ImaPart, recomputed, sha256 } from '../../src/wire/index.ts'
import { tpmOver } from '../../swtpm/tpm-commands.ts'
import { digestOf, fileEntry } from '../eventlog/build-ima-log.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { testNode } from './test-node.ts'
import { refusedWith, testVerifier, type TestVerifier } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0009' }
const { vendor, ekRoots } = await testVendor({ after })

/** The learned policy of the honest boot, which also judges files by the set `os`. */
const policy = stringify(
  (({ spec, ...rest }) => ({ ...rest, spec: { ...spec, ima: { allow: { references: ['os'] } } } }))(
    parse(await honestPolicy()) as { spec: object },
  ),
)

function referencesOf(values: readonly string[]): string {
  return stringify({
    apiVersion: 'touchstone/v1',
    kind: 'ReferenceSet',
    metadata: { name: 'os' },
    spec: { entries: values.map((value) => ({ value })) },
  })
}

/** A node on a real TPM that goes on measuring, and sends what a test tells it to. */
async function runningNode(t: test.TestContext, settings: Partial<TestVerifier['deps']['settings']> = {}) {
  const box = await testBox(t, vendor, claim)
  let node = await testNode(box.powered, claim)
  t.after(() => node.close())
  const recorded = node.imaLog ?? Buffer.alloc(0)
  const { entries, endian } = parseImaLog(recorded)
  const known = entries.flatMap((entry) => {
    const measured = imaMeasurement(entry, endian)
    return measured === undefined ? [] : [`${measured.algorithm}:${toHex(measured.digest)}`]
  })
  const references = referencesOf([...new Set([...known.slice(1), sha256Of('tool')])])
  const verifier = await testVerifier(t, {
    policies: [policy, references],
    ekRoots,
    settings: { admission: 'vendor-ek', ...settings },
  })
  const stored = await node.makeStoredKeys()
  let keys = await node.loadKeys(stored)
  const { nodeId } = await node.onboard(verifier.app, keys)
  let log = recorded

  /** The same boot once more: the same firmware, the same first entries, by the same keys. */
  const reboot = async (): Promise<void> => {
    await node.close()
    node = await testNode(await box.reboot('honest'), claim)
    keys = await node.loadKeys(stored)
    log = recorded
  }

  /** What the kernel does: extends the TPM, and writes the entry into its log. */
  const measure = async (path: string, content: string): Promise<void> => {
    const entry = fileEntry(path, content)
    const data = entry.subarray(28 + 6 + 4)
    const transport = await openTransport(box.powered.tcti)
    try {
      const tpm = tpmOver(transport)
      const banks = await tpm.banks()
      const padded = (size: number) => Buffer.concat([digestOf('sha1', data)], size)
      const digests = new Map(
        banks.map((bank) => [bank, bank === 'sha256' ? digestOf('sha256', data) : padded(digestOf(bank).byteLength)]),
      )
      await tpm.extend({ pcr: 10, digests, what: path }, banks)
    } finally {
      await transport.close()
    }
    log = Buffer.concat([log, entry])
  }

  const attest = async (
    from: { known?: string; bytes: number },
    change: { part?: Partial<ImaPart>; sent?: (part: Buffer) => Buffer; quoted?: Buffer } = {},
  ) => {
    const asked = await node.ask(verifier.app, nodeId, keys)
    const bytes = log.subarray(from.bytes)
    const part: ImaPart = {
      ...(from.known === undefined ? {} : { known: from.known }),
      quoted: bytes.byteLength,
      more: false,
      ...change.part,
    }
    const qualifying = evidenceQualifyingData(asked.nonce, {}, { part, log: bytes })
    const quoted = await quote(node.tools, keys.ak, parsePcrSelection(asked.pcrs), qualifying)
    const imaLog = change.sent?.(bytes) ?? bytes
    return node.submit(verifier.app, {
      nodeId,
      nonce: asked.nonce,
      quote: quoted.attest,
      signature: quoted.signature,
      eventLogDigest: toHex(sha256(node.eventLog)),
      eventLog: node.eventLog,
      imaLog: imaLog.byteLength === 0 ? undefined : imaLog,
      ima: part,
      request: {},
    })
  }
  const whole = () => attest({ bytes: 0 })
  const ask = (of = nodeId) => node.ask(verifier.app, of, keys)
  return { ...verifier, log: () => log, nodeId, measure, attest, whole, ask, reboot, references, known }
}

const sha256Of = (content: string) => `sha256:${hash('sha256', content)}`

/** What the answer says of the log, which must be there. */
function left(answer: { ima?: { known: string; bytes: number } | undefined }) {
  assert.ok(answer.ima)
  return answer.ima
}

test('only what is new of the IMA log travels, and every entry counts once', async (t) => {
  const { whole, attest, measure, log, ask } = await runningNode(t)
  const first = await whole()
  assert.equal(first.status, 'affirming')
  assert.equal(left(first).bytes, log().byteLength)
  assert.equal((await ask()).knownIma, left(first).known)
  await measure('/usr/bin/tool', 'tool')
  const second = await attest(left(first))
  assert.equal(second.status, 'affirming')
  assert.equal(left(second).bytes, log().byteLength)
  const third = await attest(left(second))
  assert.equal(third.status, 'affirming')
  await measure('/usr/bin/evil', 'evil')
  const bad = await attest(left(third))
  assert.equal(bad.status, 'contraindicated')
  assert.match(bad.reason ?? '', /usr\/bin\/evil/)
  await measure('/usr/bin/tool', 'tool')
  const later = await attest(left(bad))
  assert.equal(later.status, 'contraindicated')
  assert.match(later.reason ?? '', /usr\/bin\/evil/)
})

test('a change of references judges all entries of the boot again, from what the verifier keeps', async (t) => {
  const { whole, attest, measure, known, deps } = await runningNode(t)
  await measure('/usr/bin/later', 'later')
  const bad = await whole()
  assert.equal(bad.status, 'contraindicated')
  const allowed = [...new Set([...known.slice(1), sha256Of('later')])]
  await applyDocuments(deps, [referencesOf(allowed)], 'test')
  const good = await attest(left(bad))
  assert.equal(good.status, 'affirming')
  await applyDocuments(deps, [referencesOf(allowed.slice(1))], 'test')
  const revoked = await attest(left(good))
  assert.equal(revoked.status, 'contraindicated')
})

test('what a draft would change is told over all entries of the boot, not over the newest part of them', async (t) => {
  const { whole, attest, measure, known, deps } = await runningNode(t)
  await measure('/usr/bin/later', 'later')
  const bad = await whole()
  await measure('/usr/bin/tool', 'tool')
  assert.equal((await attest(left(bad))).status, 'contraindicated')
  const allowed = [...new Set([...known.slice(1), sha256Of('tool')])]
  const same = await whatIf(deps, { documents: [referencesOf(allowed)], limit: 10 })
  assert.deepEqual(same.counts, { same: 1, changed: 0, impossible: 0, none: 0 })
  const better = await whatIf(deps, { documents: [referencesOf([...allowed, sha256Of('later')])], limit: 10 })
  assert.deepEqual(
    better.changes.map(({ from, to }) => [from, to]),
    [['contraindicated', 'affirming']],
  )
})

test('a verifier that kept nothing asks for the whole log after such a change', async (t) => {
  const limits = { ...(await limitsOf(t)), logBytesPerNode: 100 }
  const { whole, attest, deps, references, ask, advance } = await runningNode(t, { limits })
  const first = await whole()
  assert.equal((await ask()).knownIma, left(first).known)
  assert.equal((await attest(left(first))).status, 'affirming')
  await applyDocuments(deps, [`${references}    - { value: ${sha256Of('more')} }\n`], 'test')
  // A verifier takes up to two seconds to hear of it.
  advance(2001)
  const { knownIma } = await ask()
  assert.notEqual(knownIma, left(first).known)
  await assert.rejects(attest(left(first)), refusedWith('attestation.ima_unknown'))
  assert.equal((await whole()).status, 'affirming')
})

test('what a share of the fleet is judged by does not make its nodes send the whole log each time', async (t) => {
  const limits = { ...(await limitsOf(t)), logBytesPerNode: 100 }
  const { whole, attest, deps, references, ask, advance } = await runningNode(t, { limits })
  await applyDocuments(deps, [inCanary(references)], 'test')
  advance(2001)
  // Whether the node is of the one half or of the other.
  const first = await whole()
  assert.equal((await ask()).knownIma, left(first).known)
  assert.equal((await attest(left(first))).status, first.status)
})

/** The set for half of the fleet. */
function inCanary(references: string): string {
  const { spec, ...rest } = parse(references) as { spec: object }
  return stringify({ ...rest, spec: { ...spec, state: 'canary', canary: { percentage: 50 } } })
}

async function limitsOf(t: test.TestContext) {
  const { deps } = await testVerifier(t)
  return deps.settings.limits
}

test('a part that goes on from something that there is not is refused, leaves no trace, and the whole log is taken', async (t) => {
  const { whole, attest, measure } = await runningNode(t)
  const first = await whole()
  await measure('/usr/bin/tool', 'tool')
  await assert.rejects(
    attest({ known: 'ab'.repeat(32), bytes: left(first).bytes }),
    refusedWith('attestation.ima_unknown'),
  )
  assert.equal((await attest(left(first))).status, 'affirming')
  await assert.rejects(attest(left(first)), refusedWith('attestation.ima_unknown'))
  assert.equal((await whole()).status, 'affirming')
})

test('a part that was changed or moved on its way is refused, because the quote covers which it is', async (t) => {
  const { whole, attest, measure, log } = await runningNode(t)
  const first = left(await whole())
  await measure('/usr/bin/evil', 'evil')
  const good = fileEntry('/usr/bin/tool', 'tool')
  for (const change of [
    { sent: () => good },
    { sent: () => Buffer.alloc(0) },
    { sent: (part: Buffer) => part.subarray(0, -1) },
  ]) {
    await assert.rejects(attest(first, change), refusedWith('quote.nonce'))
  }
  const asMore = attest(first, { part: { quoted: log().byteLength - first.bytes } })
  assert.equal((await asMore).status, 'contraindicated')
})

test('a part that begins before or behind where it says is a verdict, and the next whole log is judged on its own', async (t) => {
  const { whole, attest, measure } = await runningNode(t)
  for (const moved of [-100, -1, 1]) {
    const first = left(await whole())
    await measure('/usr/bin/tool', 'tool')
    const wrong = await attest({ known: first.known, bytes: first.bytes + moved })
    assert.equal(wrong.status, 'contraindicated')
    assert.equal(wrong.ima, undefined)
  }
  const again = left(await whole())
  // Nothing was measured since, so what comes is behind the quote, and not judged.
  assert.equal((await attest({ known: again.known, bytes: 0 })).status, 'affirming')
  await measure('/usr/bin/tool', 'tool')
  assert.equal((await attest({ known: again.known, bytes: 0 })).status, 'contraindicated')
  assert.equal((await whole()).status, 'affirming')
})

test('a list that a quote does not lead to is a verdict, and the next whole log is judged on its own', async (t) => {
  const { whole, attest, measure, log } = await runningNode(t)
  const first = left(await whole())
  await measure('/usr/bin/tool', 'tool')
  const hidden = await attest({ known: first.known, bytes: log().byteLength })
  assert.equal(hidden.status, 'contraindicated')
  assert.equal(hidden.ima, undefined)
  await assert.rejects(attest(first), refusedWith('attestation.ima_unknown'))
  assert.equal((await whole()).status, 'affirming')
})

test('after a reboot the log begins anew: nothing goes on from the boot before, and no failure stays', async (t) => {
  const { whole, attest, measure, reboot, log } = await runningNode(t)
  const good = left(await whole())
  await reboot()
  // Where the log was left, this boot has measured the same; but nobody has looked.
  assert.equal(good.bytes, log().byteLength)
  await assert.rejects(attest(good), refusedWith('attestation.ima_unknown'))
  assert.equal((await whole()).status, 'affirming')
  await measure('/usr/bin/evil', 'evil')
  assert.equal((await whole()).status, 'contraindicated')
  await reboot()
  assert.equal((await whole()).status, 'affirming')
})

test('a node that nobody knows is told a name of its own, always the same', async (t) => {
  const { ask } = await runningNode(t)
  const unknown = '018f0000-0000-7000-8000-000000000000'
  const first = await ask(unknown)
  assert.match(first.knownIma ?? '', /^[0-9a-f]{64}$/)
  assert.equal((await ask(unknown)).knownIma, first.knownIma)
  assert.notEqual((await ask()).knownIma, first.knownIma)
})

test('a long log comes in parts, and is good when the last one is there', async (t) => {
  const { attest, log } = await runningNode(t)
  const half = Math.floor(log().byteLength / 2)
  const sent = (part: Buffer) => part.subarray(0, half)
  const first = await attest({ bytes: 0 }, { part: { quoted: half, more: true }, sent })
  assert.equal(first.status, 'contraindicated')
  assert.match(first.reason ?? '', /still to come|not be localised|come along/)
  assert.ok(left(first).bytes > 0 && left(first).bytes <= half)
  const last = await attest(left(first))
  assert.equal(last.status, 'affirming')
})

test('a verdict over a part is recomputed to the same', async (t) => {
  const { whole, attest, measure, operator, nodeId } = await runningNode(t)
  const first = left(await whole())
  for (let at = 0; at < 60; at++) await measure(`/usr/lib/x86_64-linux-gnu/lib-with-a-long-name-${at}.so`, 'tool')
  const second = left(await attest(first))
  await measure('/usr/bin/evil', 'evil')
  await attest(second)
  const viewer = await operator('viewer')
  const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${nodeId}`)
  assert.equal(items.length, 4)
  for (const { id } of items) {
    const answer = await viewer(recomputed, 'POST', `/v1/attestations/${id}/recompute`)
    assert.deepEqual([answer.outcome, answer.missing, answer.differences], ['same', [], []])
  }
})
