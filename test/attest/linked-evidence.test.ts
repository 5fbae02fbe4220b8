import assert from 'node:assert/strict'
import test from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { GuestContext } from '../../src/attest/guest.ts'
import type { KnownHost } from '../../src/attest/known-host.ts'
import type { LinkedEvidence } from '../../src/wire/link.ts'
import { parsePcrSelection } from '../../src/tpm/index.ts'
import { batchLeaf, merkleTree } from '../../src/wire/index.ts'
import { digestOf } from '../eventlog/build-log.ts'
import { phases, userspaceLog } from '../eventlog/userspace-records.ts'
import { honest, recordedBoot } from './case.ts'
import { fakeTpm } from './evidence.ts'
import { contextOf, guestNamed, hostNamed, linksOf, NOW } from './hosted.ts'
import type { Guest } from './hosted.ts'

const here = hostNamed('node-a')
const there = hostNamed('node-b')
const one = guestNamed('11111111-0000-4000-8000-000000000001')
const two = guestNamed('22222222-0000-4000-8000-000000000002')
const LINK_CHECKS = [
  'link.host',
  'link.host-quote',
  'link.host-boot',
  'link.host-state',
  'link.ledger',
  'link.generation',
  'link.batch',
]

function linkOf(guest: Guest, links: ReadonlyMap<Guest, LinkedEvidence>): LinkedEvidence {
  const link = links.get(guest)
  assert.ok(link)
  return link
}

/** Checks of the link that did not pass: code by name. */
function faults(guest: Guest, context: GuestContext): Record<string, string> {
  const { checks } = appraise({ ...guest.evidence, guest: context })
  const linked = checks.filter(({ check }) => LINK_CHECKS.includes(check))
  assert.deepEqual(
    linked.map(({ check }) => check),
    LINK_CHECKS,
  )
  return Object.fromEntries(
    linked.flatMap(({ check, outcome, code = '' }) => (outcome === 'pass' ? [] : [[check, code]])),
  )
}

const blocked = (...names: readonly string[]) => Object.fromEntries(names.map((name) => [name, 'check.blocked']))
const behindQuote = blocked('link.host-boot', 'link.host-state', 'link.ledger', 'link.generation', 'link.batch')

test('a guest whose host quoted over its quote and its place in the ledger is affirming', () => {
  const links = linksOf(here, [one, two])
  for (const guest of [one, two]) {
    const context = contextOf(guest, here, linkOf(guest, links))
    assert.deepEqual(faults(guest, context), {})
    assert.equal(appraise({ ...guest.evidence, guest: context }).status, 'affirming')
  }
})

test('one quote of the host serves a whole batch', () => {
  const guests = Array.from({ length: 33 }, (_, index) =>
    guestNamed(`33333333-0000-4000-8000-${String(index).padStart(12, '0')}`),
  )
  const links = linksOf(here, guests)
  assert.equal(new Set([...links.values()].map(({ hostQuote }) => hostQuote)).size, 1)
  for (const guest of guests) assert.deepEqual(faults(guest, contextOf(guest, here, linkOf(guest, links))), {})
})

test('a host that the verifier does not know is nobody', () => {
  const context = { ...contextOf(one, here, linkOf(one, linksOf(here, [one]))), linkHost: undefined }
  assert.deepEqual(faults(one, context), {
    'link.host': 'link.host_unknown',
    'link.host-quote': 'check.blocked',
    ...behindQuote,
  })
})

test('a guest that runs on another node than it is placed on was relayed', () => {
  const context = contextOf(one, here, linkOf(one, linksOf(there, [one])), there)
  assert.deepEqual(faults(one, context), {
    'link.host': 'link.relayed',
    'link.host-quote': 'check.blocked',
    ...behindQuote,
  })
})

test('another host’s quote under the right name is not the host’s', () => {
  const link = { ...linkOf(one, linksOf(there, [one])), host: here.nodeId }
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.host-quote': 'link.host_quote', ...behindQuote })
})

test('a quote by another key of the same TPM is not the host’s', () => {
  const stranger = { ...fakeTpm(), ek: here.tpm.ek }
  const link = linkOf(one, linksOf(here, [one], [one], {}, stranger))
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.host-quote': 'link.host_quote', ...behindQuote })
})

test('a structure that no TPM made, signed by the host’s key, is no quote', () => {
  const link = linkOf(one, linksOf(here, [one], [one], { magic: 0x12345678 }))
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.host-quote': 'link.host_quote', ...behindQuote })
})

test('a quote of the host over anything else, its own evidence for one, is not a link', () => {
  const link = linkOf(one, linksOf(here, [one], [one], { nonce: Buffer.alloc(32, 9) }))
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.host-quote': 'link.host_quote', ...behindQuote })
})

test('roots exchanged for others are not those that the host signed', () => {
  const good = linkOf(one, linksOf(here, [one, two]))
  const other = linkOf(one, linksOf(here, [one], [one]))
  const link = { ...good, batch: other.batch }
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.host-quote': 'link.host_quote', ...behindQuote })
})

test('a link whose quote cannot be read is a failed link, and the guest still gets a verdict', () => {
  const good = linkOf(one, linksOf(here, [one]))
  for (const link of [
    { ...good, hostQuote: Buffer.alloc(5) },
    { ...good, hostSignature: Buffer.alloc(3) },
    { ...good, hostQuote: Buffer.concat([good.hostQuote, Buffer.alloc(1)]) },
  ]) {
    assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.host-quote': 'link.host_quote', ...behindQuote })
  }
})

test('one flipped bit anywhere in the host’s quote or signature never passes', () => {
  const good = linkOf(one, linksOf(here, [one]))
  for (const field of ['hostQuote', 'hostSignature'] as const) {
    for (let at = 0; at < good[field].byteLength; at += 1) {
      const bytes = Buffer.from(good[field])
      bytes[at] = (bytes[at] ?? 0) ^ 1
      assert.notDeepEqual(faults(one, contextOf(one, here, { ...good, [field]: bytes })), {}, `${field} at ${at}`)
    }
  }
})

test('a host that rebooted since its verdict is not the host that was judged', () => {
  const link = linkOf(one, linksOf(here, [one], [one], { resetCount: 4 }))
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.host-boot': 'link.host_other_boot' })
})

test('a host whose registers changed since its verdict is in another state', () => {
  const link = linkOf(one, linksOf(here, [one], [one], { pcrs: recordedBoot('cmdline').pcrs }))
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.host-state': 'link.host_state_changed' })
})

test('a host that quotes fewer registers than it was judged by hides the others', () => {
  const link = linkOf(one, linksOf(here, [one], [one], { selection: parsePcrSelection('sha256:0-7') }))
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.host-state': 'link.host_state_changed' })
})

test('PCR 10 may be left out when the host’s own log says what the others hash to', () => {
  const measuring = hostNamed('node-a', parsePcrSelection('sha256:0-15'))
  const withLog = { ...measuring, known: { ...measuring.known, eventLog: honest.eventLog } }
  const link = linkOf(one, linksOf(withLog, [one]))
  assert.deepEqual(faults(one, contextOf(one, withLog, link)), {})
  const changed = linkOf(one, linksOf(withLog, [one], [one], { pcrs: recordedBoot('cmdline').pcrs }))
  assert.deepEqual(faults(one, contextOf(one, withLog, changed)), { 'link.host-state': 'link.host_state_changed' })
  assert.deepEqual(faults(one, contextOf(one, measuring, linkOf(one, linksOf(measuring, [one])))), {
    'link.host-state': 'link.host_state_changed',
  })
})

test('what systemd measured on the host counts as far as its verdict covers it', () => {
  const measuring = hostNamed('node-a', parsePcrSelection('sha256:0-15'))
  const extended = phases
    .slice(0, 2)
    .map(({ string }) => digestOf('sha256', string))
    .reduce((value, digest) => digestOf('sha256', Buffer.concat([value, digest])), Buffer.alloc(32))
  const pcrs = { ...honest.pcrs, sha256: { ...honest.pcrs['sha256'], 11: extended.toString('hex') } }
  const link = linkOf(one, linksOf(measuring, [one], [one], { pcrs }))
  const stateOf = (userspace: KnownHost['userspace']) => {
    const known = { ...measuring.known, eventLog: honest.eventLog, userspace }
    return faults(one, contextOf(one, { ...measuring, known }, link))
  }
  const log = userspaceLog(...phases)
  assert.deepEqual(stateOf({ log, records: 2 }), {})
  for (const userspace of [{ log, records: 3 }, undefined]) {
    assert.deepEqual(stateOf(userspace), { 'link.host-state': 'link.host_state_changed' })
  }
})

test('without a verdict of the host there is nothing to compare its state with', () => {
  const context = contextOf(one, here, linkOf(one, linksOf(here, [one])))
  const unknown = { ...here.known, verdict: undefined }
  assert.deepEqual(
    faults(one, { ...context, host: unknown, linkHost: unknown }),
    blocked('link.host-boot', 'link.host-state'),
  )
})

test('a guest that is not in the ledger of its host was not started by its broker', () => {
  const links = linksOf(here, [two], [one, two])
  const theirs = linkOf(two, links)
  const own = { ...theirs, ledger: { ...theirs.ledger, guest: one.id, ekName: one.ekName, generation: one.generation } }
  const batch = merkleTree([one, two].map(({ id, evidence }) => batchLeaf({ ...evidence, guest: id })))
  const link = { ...own, batch: { root: batch.root, proof: batch.proof(0) } }
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.ledger': 'link.ledger_leaf' })
})

test('links of two guests on one host, exchanged, fit neither', () => {
  const links = linksOf(here, [one, two])
  assert.deepEqual(faults(one, contextOf(one, here, linkOf(two, links))), {
    'link.ledger': 'link.ledger_leaf',
    'link.batch': 'link.not_in_batch',
  })
})

test('a copy of a guest cannot have its quote covered by another guest of the right host', () => {
  // `two` hands in the quote of a copy of `one` that runs elsewhere, while `one` itself runs here and is in the ledger.
  const smuggled = { ...two, evidence: one.evidence }
  const link = linkOf(one, linksOf(here, [one, two], [smuggled]))
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.batch': 'link.not_in_batch' })
})

test('another EK than the enrolled one, in the ledger under the guest’s name, is another TPM', () => {
  const swapped = { ...one, ekName: two.ekName }
  const link = linkOf(swapped, linksOf(here, [swapped]))
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.ledger': 'link.ledger_leaf' })
})

test('a generation below one that was seen is an older copy', () => {
  const link = linkOf(one, linksOf(here, [one]))
  const context = contextOf(one, here, link)
  const seen = { nodeId: here.nodeId, ekSha256: one.ekSha256, generation: one.generation + 1 }
  assert.deepEqual(faults(one, { ...context, placement: seen }), { 'link.generation': 'link.generation_old' })
  assert.deepEqual(faults(one, { ...context, placement: { ...seen, generation: one.generation - 1 } }), {})
})

test('a link made over another quote of the same guest is not of this evidence', () => {
  const earlier = { ...one, evidence: { ...one.evidence, quote: Buffer.from('an earlier quote') } }
  const link = linkOf(earlier, linksOf(here, [earlier]))
  assert.deepEqual(faults(one, contextOf(one, here, link)), { 'link.batch': 'link.not_in_batch' })
})

test('a link that shows the host unchanged makes its verdict last a day', () => {
  const verdict = here.known.verdict
  assert.ok(verdict)
  const aged = (ms: number) => ({ ...here, known: { ...here.known, verdict: { ...verdict, freshFrom: NOW - ms } } })
  const fresh = (ms: number, link: LinkedEvidence | undefined) =>
    appraise({ ...one.evidence, guest: contextOf(one, aged(ms), link) }).checks.find(
      ({ check }) => check === 'guest.host-fresh',
    )?.outcome
  const link = linkOf(one, linksOf(here, [one]))
  const hour = 3600_000
  assert.equal(fresh(hour, undefined), 'fail')
  assert.equal(fresh(hour, link), 'pass')
  assert.equal(fresh(25 * hour, link), 'fail')
  assert.equal(fresh(hour, linkOf(one, linksOf(here, [one], [one], { resetCount: 9 }))), 'fail')
})
