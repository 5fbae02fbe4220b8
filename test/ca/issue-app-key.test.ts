import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { appKeyDoor, type AppKeyAsk } from '../../src/ca/issue-app-key.ts'
import { issue, requestDigest, type IssuanceNode } from '../../src/ca/issue.ts'
import { generateKey } from '../../src/ca/key-file.ts'
import { OID, policiesOf, urisOf, type Certificate } from '../../src/ca/path/index.ts'
import { signerOf } from '../../src/ca/signer.ts'
import { isTouchstoneError, parseNodeId } from '../../src/core/index.ts'
import type { TpmsAttest } from '../../src/tpm/index.ts'
import { DAY, NOW } from './certificates.ts'
import { bytesFor, makeFleet } from './fleet.ts'
import { guestEk, publicBytes } from './guest-keys.ts'
import { makeRequest } from './requests.ts'
import { AK_ATTRIBUTES, attested, creationOf, DEVICE_ATTRIBUTES, quoteOf, softwareKey } from './software-tpm.ts'

const fleet = await makeFleet()
const now = NOW + DAY
const nodeId = parseNodeId('01920000-0000-7000-8000-000000000001')
assert.ok(nodeId !== undefined)
const ek = guestEk()
const ak = softwareKey(AK_ATTRIBUTES)
const otherAk = softwareKey(AK_ATTRIBUTES)
const appKey = softwareKey(DEVICE_ATTRIBUTES)
const otherKey = softwareKey(DEVICE_ATTRIBUTES)
const loose = softwareKey(['sensitiveDataOrigin', 'userWithAuth', 'sign'])
const spki = signerOf(generateKey('P-256')).spki
const node: IssuanceNode = {
  nodeId,
  state: 'active',
  nodeSerial: 'SN-1',
  hardware: { serial: Buffer.alloc(32, 1), permanentIdentifier: 'AB' },
  tpm: undefined,
  akName: Buffer.alloc(34, 2),
  akSpki: spki,
  deviceSpki: spki,
  resetCount: 7,
}
const bare: AppKeyAsk = { tenant: 'edge', key: 'orders', request: makeRequest({ signer: appKey.privateKey }) }

function certification(attest: TpmsAttest, { pub = appKey.pub, signer = ak } = {}): AppKeyAsk {
  const { bytes, signature } = attested(attest, signer)
  return { ...bare, certified: { publicArea: publicBytes(pub), attest: bytes, signature } }
}

const about = { ek, ak, extraData: Buffer.from('anything') }

function through(ask: AppKeyAsk) {
  const request = Buffer.from('the request')
  const recorded: Certificate[] = []
  const door = appKeyDoor({
    issuer: fleet.issuing,
    random: bytesFor('serial', 16),
    lifetime: 30 * DAY,
    backdate: 60_000,
    read: () => ask,
    keysOf: () => ({ ek, ak: ak.pub }),
    record: (_node, _ask, certificate) => {
      recorded.push(certificate)
      return Promise.resolve()
    },
  })
  const verdict = {
    status: 'affirming',
    freshFrom: now,
    akName: node.akName,
    resetCount: 7,
    requestDigest: requestDigest('appKey', request),
  } as const
  const transaction = { subject: () => Promise.resolve({ node, verdict }) }
  const rules = { accept: ['affirming'], maxVerdictAge: 60_000 } as const
  return { given: issue(transaction, { nodeId: node.nodeId, request, now }, rules, door), recorded }
}

const code = (expected: string) => (error: unknown) => isTouchstoneError(error) && error.code === expected

describe("the door of apps' keys", () => {
  test('certifies a key that signed its request, and says nothing of where it is', async () => {
    const { given, recorded } = through(bare)
    const certificate = await given
    assert.deepEqual(urisOf(certificate), [`urn:touchstone:node/${nodeId}/tenant/edge/key/orders`])
    assert.deepEqual(policiesOf(certificate), [])
    assert.deepEqual(recorded, [certificate])
  })

  test('says that a key is fixed to its TPM when the AK has certified it', async () => {
    const certificate = await through(certification(creationOf(appKey.pub, about))).given
    assert.deepEqual(policiesOf(certificate), [OID.verifiedTpmFixed])
  })

  const refusals: readonly (readonly [string, AppKeyAsk, string])[] = [
    [
      'a request that another key signed',
      { ...bare, request: makeRequest({ signer: otherKey.privateKey, key: appKey.privateKey }) },
      'issue.request_signature',
    ],
    ['a certification of another key', certification(creationOf(otherKey.pub, about)), 'issue.app_key'],
    [
      "another key's public area",
      certification(creationOf(otherKey.pub, about), { pub: otherKey.pub }),
      'issue.app_key',
    ],
    ['a signature by another AK', certification(creationOf(appKey.pub, about), { signer: otherAk }), 'issue.app_key'],
    [
      'a certification that names another AK',
      certification(creationOf(appKey.pub, { ...about, ak: otherAk })),
      'issue.app_key',
    ],
    ['a quote in place of a certification', certification(quoteOf(about)), 'issue.app_key'],
    ['what no TPM made', certification({ ...creationOf(appKey.pub, about), magic: 0x12345678 }), 'issue.app_key'],
    [
      'a key that may leave its TPM',
      {
        ...certification(creationOf(loose.pub, about), { pub: loose.pub }),
        request: makeRequest({ signer: loose.privateKey }),
      },
      'issue.app_key',
    ],
  ]
  for (const [what, ask, expected] of refusals) {
    test(`refuses ${what}, and records nothing`, async () => {
      const { given, recorded } = through(ask)
      await assert.rejects(given, code(expected))
      assert.deepEqual(recorded, [])
    })
  }
})
