import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { issue } from '../../src/ca/issue.ts'
import type { IssuanceNode, IssuanceTransaction, IssuanceVerdict, IssuedCertificate } from '../../src/ca/issue.ts'
import { deviceDoor } from '../../src/ca/issue-device.ts'
import { generateKey } from '../../src/ca/key-file.ts'
import { validatePath } from '../../src/ca/path/index.ts'
import { signerOf } from '../../src/ca/signer.ts'
import { isTouchstoneError, type NodeId, parseNodeId } from '../../src/core/index.ts'
import { DAY, NOW } from './certificates.ts'
import { bytesFor, makeFleet } from './fleet.ts'
import { makeRequest } from './requests.ts'

const fleet = await makeFleet()
const deviceKey = generateKey('P-256')
const otherKey = generateKey('P-256')
const request = makeRequest({ signer: deviceKey })
const nodeId = parseNodeId('01920000-0000-7000-8000-000000000001')
assert.ok(nodeId !== undefined)
const now = NOW + DAY
const MINUTE = 60_000

const node: IssuanceNode = {
  nodeId,
  state: 'active',
  nodeSerial: 'SN-1',
  hardware: { serial: Buffer.alloc(32, 1), permanentIdentifier: 'AB' },
  tpm: undefined,
  akName: Buffer.alloc(34, 2),
  akSpki: signerOf(generateKey('P-256')).spki,
  deviceSpki: signerOf(deviceKey).spki,
  resetCount: 7,
}
const verdict: IssuanceVerdict = {
  status: 'affirming',
  freshFrom: now - MINUTE,
  akName: node.akName,
  resetCount: 7,
  requestDigest: digestOf(request),
}
const rules = {
  accept: ['affirming', 'warning'],
  maxVerdictAge: 5 * MINUTE,
} as const
const lifetimes = { lifetime: 30 * DAY, backdate: MINUTE }

function digestOf(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}

interface Stored {
  readonly node?: Partial<IssuanceNode>
  readonly verdict?: Partial<IssuanceVerdict> | 'none'
  readonly unknown?: boolean
}

interface Recording extends IssuanceTransaction {
  readonly recorded: IssuedCertificate[]
  record(id: NodeId, certificates: readonly IssuedCertificate[]): Promise<void>
}

/** A transaction over one node, and what it was told to record. */
function transactionOver(stored: Stored): Recording {
  const recorded: IssuedCertificate[] = []
  return {
    recorded,
    subject: () =>
      Promise.resolve(
        stored.unknown === true
          ? undefined
          : {
              node: { ...node, ...stored.node },
              verdict: stored.verdict === 'none' ? undefined : { ...verdict, ...stored.verdict },
            },
      ),
    record: (id, certificates) => {
      assert.equal(id, nodeId)
      recorded.push(...certificates)
      return Promise.resolve()
    },
  }
}

function ask(transaction: Recording, bytes = request) {
  const { lifetime, backdate } = lifetimes
  const record = transaction.record.bind(transaction)
  const door = deviceDoor({ issuer: fleet.issuing, random: bytesFor('random', 32), record, lifetime, backdate })
  return issue(transaction, { nodeId: node.nodeId, request: bytes, now }, rules, door)
}

describe('the gate', () => {
  test('issues device and AK certificate, and records what it issued', async () => {
    const transaction = transactionOver({})
    const { device, ak } = await ask(transaction)
    assert.deepEqual(transaction.recorded, [
      { kind: 'device', certificate: device },
      { kind: 'ak', certificate: ak },
    ])
    assert.deepEqual([device.spki, ak.spki], [node.deviceSpki, node.akSpki])
    assert.deepEqual([device.notBefore, device.notAfter], [now - MINUTE, now + 30 * DAY])
    assert.notDeepEqual(device.serial, ak.serial)
    for (const leaf of [device, ak]) {
      const intermediates = [fleet.issuing.certificate]
      assert.ok(validatePath({ leaf, intermediates, anchors: [fleet.root.certificate], now }).ok)
    }
  })

  test('takes a verdict of warning where the rules do', async () => {
    const transaction = transactionOver({ verdict: { status: 'warning' } })
    assert.equal((await ask(transaction)).device.version, 3)
  })

  const refusals: readonly (readonly [string, Stored, string])[] = [
    ['a node that does not exist', { unknown: true }, 'issue.unknown_node'],
    ['a suspended node', { node: { state: 'suspended' } }, 'issue.not_active'],
    ['a node that is in no known state', { node: { state: '' } }, 'issue.not_active'],
    ['a node without a verdict', { verdict: 'none' }, 'issue.no_verdict'],
    ['a contraindicated verdict', { verdict: { status: 'contraindicated' } }, 'issue.verdict'],
    ['a verdict of none', { verdict: { status: 'none' } }, 'issue.verdict'],
    ['a verdict of an earlier boot', { verdict: { resetCount: 6 } }, 'issue.other_boot'],
    ["a verdict by another AK than the node's", { verdict: { akName: Buffer.alloc(34, 9) } }, 'issue.other_ak'],
    ['a verdict that is too old', { verdict: { freshFrom: now - 5 * MINUTE - 1 } }, 'issue.verdict_stale'],
    ['a verdict from the future', { verdict: { freshFrom: now + 1 } }, 'issue.verdict_stale'],
    ['a request that no quote covers', { verdict: { requestDigest: undefined } }, 'issue.request_not_quoted'],
    [
      'a request other than the quoted one',
      { verdict: { requestDigest: Buffer.alloc(32) } },
      'issue.request_not_quoted',
    ],
    ['a request by another key than the enrolled one', { node: { deviceSpki: node.akSpki } }, 'issue.other_key'],
  ]
  for (const [what, stored, code] of refusals) {
    test(`refuses ${what}, and records nothing`, async () => {
      const transaction = transactionOver(stored)
      await assert.rejects(ask(transaction), (error) => isTouchstoneError(error) && error.code === code)
      assert.deepEqual(transaction.recorded, [])
    })
  }

  test('refuses a request for the enrolled key that another key signed', async () => {
    const forged = makeRequest({ signer: otherKey, key: deviceKey })
    const transaction = transactionOver({ verdict: { requestDigest: digestOf(forged) } })
    await assert.rejects(ask(transaction, forged), (error) => isTouchstoneError(error, 'issue.request_signature'))
  })

  test('takes a verdict of the very edge of its age', async () => {
    const transaction = transactionOver({ verdict: { freshFrom: now - 5 * MINUTE } })
    assert.equal((await ask(transaction)).ak.version, 3)
  })

  test('gives nothing away when recording fails', async () => {
    const transaction = { ...transactionOver({}), record: () => Promise.reject(new Error('disk full')) }
    await assert.rejects(ask(transaction), /disk full/)
  })
})
