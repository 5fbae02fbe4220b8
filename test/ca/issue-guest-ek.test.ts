import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ekDigestOf } from '../../src/ca/check-ek.ts'
import { guestEkDoor, type GuestEkAsk, type GuestEkDoor, type GuestEkGrant } from '../../src/ca/issue-guest-ek.ts'
import { issue, requestDigest, type IssuanceNode, type IssueKind } from '../../src/ca/issue.ts'
import { generateKey } from '../../src/ca/key-file.ts'
import type { Certificate } from '../../src/ca/path/index.ts'
import { guestIdentityOf } from '../../src/ca/profile/guests.ts'
import { signerOf } from '../../src/ca/signer.ts'
import { isTouchstoneError, parseNodeId } from '../../src/core/index.ts'
import { nameOf, spkiOf } from '../../src/tpm/index.ts'
import { DAY, NOW } from './certificates.ts'
import { bytesFor, makeFleet } from './fleet.ts'
import { guestEk, publicBytes } from './guest-keys.ts'

const fleet = await makeFleet()
const now = NOW + DAY
const nodeId = parseNodeId('01920000-0000-7000-8000-000000000001')
const other = parseNodeId('01920000-0000-7000-8000-000000000002')
assert.ok(nodeId !== undefined && other !== undefined)
const key = signerOf(generateKey('P-256')).spki
const node: IssuanceNode = {
  nodeId,
  state: 'active',
  nodeSerial: 'SN-1',
  hardware: { serial: Buffer.alloc(32, 1), permanentIdentifier: 'AB' },
  tpm: undefined,
  akName: Buffer.alloc(34, 2),
  akSpki: key,
  deviceSpki: key,
  resetCount: 7,
}
const guest = '6f1d0e5c-3f7e-4a55-9d0e-0c7b0f6f2a11'
const ek = guestEk()
const asked: GuestEkAsk = { guest, tenant: 'edge', generation: 3, ekPublic: publicBytes(ek) }
const placement = { nodeId, tenant: 'edge', generation: 3 }
const request = Buffer.from('the request')

interface Recorded {
  readonly grant: GuestEkGrant
  readonly fresh: Certificate | undefined
}

function through(
  change: Partial<GuestEkDoor> = {},
  { ask = asked, quotedAs = 'guestEk' }: { ask?: GuestEkAsk; quotedAs?: IssueKind } = {},
) {
  const recorded: Recorded[] = []
  const door = guestEkDoor({
    issuer: fleet.issuing,
    random: bytesFor('serial', 16),
    lifetime: 30 * DAY,
    backdate: 60_000,
    read: (bytes) => {
      assert.deepEqual(bytes, request)
      return ask
    },
    placement: () => Promise.resolve(placement),
    maxLeap: 1000,
    isTaken: () => Promise.resolve(false),
    held: () => Promise.resolve(undefined),
    record: (grant, fresh) => {
      recorded.push({ grant, fresh })
      return Promise.resolve()
    },
    ...change,
  })
  const verdict = {
    status: 'affirming',
    freshFrom: now - 1000,
    akName: node.akName,
    resetCount: 7,
    requestDigest: requestDigest(quotedAs, request),
  } as const
  const transaction = { subject: () => Promise.resolve({ node, verdict }) }
  const given = issue(
    transaction,
    { nodeId: node.nodeId, request, now },
    { accept: ['affirming'], maxVerdictAge: 60_000 },
    door,
  )
  return { given, recorded }
}

const code = (expected: string) => (error: unknown) => isTouchstoneError(error) && error.code === expected

describe('the door of guests', () => {
  test('certifies the EK of a guest that is placed on this node, and records it', async () => {
    const { given, recorded } = through()
    const certificate = await given
    assert.deepEqual(certificate.spki, spkiOf(ek))
    assert.deepEqual(guestIdentityOf(certificate), { guest, nodeId, tenant: 'edge', generation: 3 })
    const grant = {
      guest,
      tenant: 'edge',
      generation: 3,
      nodeId,
      ekSha256: ekDigestOf(ek),
      ekName: nameOf(ek).toString('hex'),
    }
    assert.deepEqual(recorded, [{ grant, fresh: certificate }])
  })

  test('gives again what the guest holds, and says that nothing is new', async () => {
    const held = await through().given
    const { given, recorded } = through({ held: () => Promise.resolve(held) })
    assert.equal(await given, held)
    assert.deepEqual(
      recorded.map(({ fresh }) => fresh),
      [undefined],
    )
  })

  test('takes a later generation, and the EK that is known already', async () => {
    const known = { ...placement, ekSha256: ekDigestOf(ek), generation: 1 }
    const certificate = await through({ placement: () => Promise.resolve(known) }).given
    assert.equal(guestIdentityOf(certificate)?.generation, 3)
  })

  test('takes a guest that arrives where its migration ends, at a generation that its source never ran', async () => {
    const moving = { ...placement, nodeId: other, destination: nodeId, generation: 2 }
    assert.equal((await through({ placement: () => Promise.resolve(moving) }).given).version, 3)
  })

  const placed = (change: object) => ({ placement: () => Promise.resolve({ ...placement, ...change }) })
  const refusals: readonly (readonly [string, Partial<GuestEkDoor>, string])[] = [
    ['a guest that was placed nowhere', { placement: () => Promise.resolve(undefined) }, 'issue.not_placed'],
    ['a guest that is placed on another node', placed({ nodeId: other }), 'issue.not_placed'],
    ['a guest on its way to a third node', placed({ nodeId: other, destination: other }), 'issue.not_placed'],
    ['a guest of another tenant', placed({ tenant: 'other' }), 'issue.other_tenant'],
    ['a generation that is over', placed({ generation: 4 }), 'issue.generation'],
    [
      'an arrival at the generation that its source runs',
      placed({ nodeId: other, destination: nodeId }),
      'issue.generation',
    ],
    ['an EK that somebody else has', { isTaken: () => Promise.resolve(true) }, 'issue.guest_ek_taken'],
    ['another EK than the known one', placed({ ekSha256: '00'.repeat(32) }), 'issue.guest_ek_changed'],
    ['everything where there is no guest CA', { issuer: undefined }, 'issue.no_guest_ca'],
  ]
  for (const [what, change, expected] of refusals) {
    test(`refuses ${what}, and records nothing`, async () => {
      const { given, recorded } = through(change)
      await assert.rejects(given, code(expected))
      assert.deepEqual(recorded, [])
    })
  }

  test('refuses a key that is none of a TCG template', async () => {
    const ekPublic = publicBytes({ ...ek, authPolicy: Buffer.alloc(32) })
    await assert.rejects(through({}, { ask: { ...asked, ekPublic } }).given, code('issue.guest_ek'))
  })

  for (const quotedAs of ['device', 'appKey', 'release'] as const) {
    test(`refuses the very same bytes when they were quoted as ${quotedAs}`, async () => {
      await assert.rejects(through({}, { quotedAs }).given, code('issue.request_not_quoted'))
    })
  }
})

test('no kind of request has the digest of another, and that of a device request is of its bytes alone', () => {
  const kinds = ['device', 'guestEk', 'appKey', 'release'] as const
  assert.equal(new Set(kinds.map((kind) => requestDigest(kind, request).toString('hex'))).size, kinds.length)
  assert.equal(
    requestDigest('device', request).toString('hex'),
    'e05da7415785d85884c1170fc1d7b1a0b87056a90a312c3c2957ed0eba9571be',
  )
})
