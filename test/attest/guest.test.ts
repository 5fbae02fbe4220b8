import assert from 'node:assert/strict'
import test from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { GuestContext } from '../../src/attest/guest.ts'
import type { KnownHost } from '../../src/attest/known-host.ts'
import { policyOf } from './case.ts'
import { contextOf, guestNamed, hostNamed, linksOf, NOW } from './hosted.ts'

const host = hostNamed('node-a')
const guest = guestNamed('11111111-0000-4000-8000-000000000001')
const good = contextOf(guest, host)
const GUEST_CHECKS = [
  'guest.placement',
  'guest.host-active',
  'guest.host-boot',
  'guest.host-fresh',
  'guest.host-verdict',
  'link.present',
]

function judged(context: GuestContext, evidence = guest.evidence) {
  const verdict = appraise({ ...evidence, guest: context })
  const hosted = verdict.checks.filter(({ check }) => /^(?:guest|link)\./.test(check))
  assert.deepEqual(
    hosted.map(({ check }) => check),
    GUEST_CHECKS,
  )
  const faults = hosted.flatMap(({ check, outcome, code = '' }) => (outcome === 'pass' ? [] : [`${check} ${code}`]))
  return { status: verdict.status, faults, verdict }
}

const withHost = (change: Partial<KnownHost>): GuestContext => ({ ...good, host: { ...host.known, ...change } })
const { verdict } = host.known
assert.ok(verdict)

test('a guest that is placed on an active, fresh and good host is as good as its own evidence', () => {
  assert.deepEqual(judged(good).faults, [])
  assert.equal(judged(good).status, 'affirming')
})

test('a node is judged without any of this', () => {
  const { checks } = appraise(guest.evidence)
  assert.deepEqual(
    checks.filter(({ check }) => /^(?:guest|link)\./.test(check)),
    [],
  )
})

test('a guest that is placed nowhere is not trusted, and nothing is asked of a host', () => {
  const { status, faults } = judged({ ...good, placement: undefined, host: undefined })
  assert.equal(status, 'contraindicated')
  assert.deepEqual(faults, [
    'guest.placement guest.not_placed',
    ...GUEST_CHECKS.slice(1, 5).map((name) => `${name} check.blocked`),
  ])
})

const cases: readonly { readonly name: string; readonly context: GuestContext; readonly fault: string }[] = [
  {
    name: 'a guest that was placed elsewhere since it enrolled is not trusted',
    context: { ...good, boundTo: 'node-z' },
    fault: 'guest.placement guest.moved',
  },
  {
    name: 'another TPM than the one certified for the guest is not trusted',
    context: { ...good, ekSha256: '00'.repeat(32) },
    fault: 'guest.placement guest.other_ek',
  },
  {
    name: 'a guest of a suspended host is not trusted',
    context: withHost({ status: 'suspended' }),
    fault: 'guest.host-active guest.host_not_active',
  },
  {
    name: 'a verdict of an earlier boot of the host does not count',
    context: withHost({ resetCount: 4 }),
    fault: 'guest.host-boot guest.host_other_boot',
  },
  {
    name: 'a verdict of an earlier key of the host does not count',
    context: withHost({ akName: '000b00' }),
    fault: 'guest.host-boot guest.host_other_boot',
  },
  {
    name: 'an old verdict of the host does not count',
    context: { ...good, now: NOW + 15 * 60_000 },
    fault: 'guest.host-fresh guest.host_stale',
  },
  {
    name: 'a verdict of the host from the future does not count',
    context: { ...good, now: NOW - 61_000 },
    fault: 'guest.host-fresh guest.host_stale',
  },
  {
    name: 'a guest of a tampered host is not trusted',
    context: withHost({ verdict: { ...verdict, status: 'contraindicated' } }),
    fault: 'guest.host-verdict guest.host_untrusted',
  },
  {
    name: 'a guest of a host about which nothing is said is not trusted',
    context: withHost({ verdict: { ...verdict, status: 'none' } }),
    fault: 'guest.host-verdict guest.host_untrusted',
  },
]

for (const { name, context, fault } of cases) {
  test(name, () => {
    const { status, faults } = judged(context)
    assert.equal(status, 'contraindicated')
    assert.deepEqual(faults, [fault])
  })
}

test('a guest of a host with a warning is a warning at best', () => {
  const { status, faults } = judged(withHost({ verdict: { ...verdict, status: 'warning' } }))
  assert.equal(status, 'warning')
  assert.deepEqual(faults, ['guest.host-verdict guest.host_warning'])
})

test('a host that never attested gives its guests nothing', () => {
  const { status, faults } = judged(withHost({ verdict: undefined }))
  assert.equal(status, 'contraindicated')
  assert.deepEqual(
    faults,
    ['guest.host-boot', 'guest.host-fresh', 'guest.host-verdict'].map((check) => `${check} guest.host_no_verdict`),
  )
})

test('a policy may require linked evidence', () => {
  const spec = '  pcrs: sha256:0-15\n  secureBoot: { enabled: { is: true } }\n  guest: { link: required }'
  const policy = policyOf(spec)
  assert.deepEqual(policy.guest, { link: 'required' })
  const { status, faults } = judged(good, { ...guest.evidence, policy })
  assert.equal(status, 'contraindicated')
  assert.deepEqual(faults, ['link.present link.missing'])
  const link = linksOf(host, [guest]).get(guest)
  assert.equal(appraise({ ...guest.evidence, policy, guest: contextOf(guest, host, link) }).status, 'affirming')
})

test('a host’s state adds nothing to a guest whose own evidence is bad', () => {
  const { verdict: bad } = judged(good, { ...guest.evidence, nonce: Buffer.alloc(16, 1) })
  assert.equal(bad.status, 'contraindicated')
})
