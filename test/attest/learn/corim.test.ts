import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import test from 'node:test'
import { readCorim } from '../../../src/attest/learn/corim.ts'
import { signManifest, Tagged, write } from './manifest-bytes.ts'

const NOW = Date.UTC(2026, 0, 1)
const signer = generateKeyPairSync('ec', { namedCurve: 'P-256' })

const sha256 = (byte: string) => Buffer.from(byte.repeat(32), 'hex')
const environment = new Map([
  [
    0,
    new Map<number, unknown>([
      [1, 'ACME Inc.'],
      [2, 'ACME RoadRunner'],
    ]),
  ],
])

/** As the example of the draft, with registers and with a digest that a key names. */
function comid(measurements: unknown) {
  return new Map<number, unknown>([
    [1, new Map([[0, Buffer.from('3f06af63a93c11e4979700505690773f', 'hex')]])],
    [4, new Map([[0, [[environment, measurements]]]])],
  ])
}

const registers = new Map<number, unknown>([
  [
    1,
    new Map([
      [
        14,
        new Map<unknown, unknown>([
          [
            0,
            [
              [1, sha256('44')],
              ['my-alg-id', Buffer.from('deadbeef', 'hex')],
            ],
          ],
          [5, [[1, sha256('50')]]],
          ['PCR7', [[7, Buffer.alloc(48, 7)]]],
        ]),
      ],
    ]),
  ],
])
const keyed = new Map<number, unknown>([
  [0, 'kernel'],
  [
    1,
    new Map<number, unknown>([
      [0, new Map([[0, '1.2.0']])],
      [2, [[1, sha256('aa')]]],
      [11, 'vmlinuz'],
    ]),
  ],
])

function corim(
  extra: readonly (readonly [number, unknown])[] = [],
  measurements: unknown = [registers, keyed],
): Buffer {
  const map = new Map<number, unknown>([
    [0, 'https://acme.example/rim/1'],
    [1, [new Tagged(506, write(comid(measurements)))]],
    ...extra,
  ])
  return write(new Tagged(501, map))
}

function signed(payload: Buffer, key: KeyObject = signer.privateKey): Buffer {
  return signManifest(payload, key)
}

test('reads registers by number and by name, and digests that a key names', () => {
  const { id, signed: isSigned, references, passedOver } = readCorim(corim(), [], NOW)
  assert.equal(id, 'https://acme.example/rim/1')
  assert.equal(isSigned, false)
  assert.equal(passedOver, 0)
  assert.deepEqual(references, [
    { hash: 'sha256', digest: '44'.repeat(32), register: 0, label: 'ACME Inc. ACME RoadRunner' },
    { hash: 'sha256', digest: '50'.repeat(32), register: 5, label: 'ACME Inc. ACME RoadRunner' },
    { hash: 'sha384', digest: '07'.repeat(48), register: 7, label: 'ACME Inc. ACME RoadRunner' },
    { hash: 'sha256', digest: 'aa'.repeat(32), key: 'kernel', label: 'ACME Inc. ACME RoadRunner vmlinuz 1.2.0' },
  ])
})

test('one measurement may stand for a list of one, as in the examples of the draft', () => {
  assert.equal(readCorim(corim([], registers), [], NOW).references.length, 3)
})

test('a signed manifest counts when a trusted key has signed it', () => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
  const read = readCorim(signed(corim()), [other, signer.publicKey], NOW)
  assert.equal(read.signed, true)
  assert.equal(read.references.length, 4)
})

test('refuses a manifest that another key has signed', () => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
  assert.throws(() => readCorim(signed(corim()), [other], NOW), { code: 'learn.corim' })
  assert.throws(() => readCorim(signed(corim()), [], NOW), { code: 'learn.corim' })
})

test('refuses a manifest that was changed behind its signature', () => {
  const bytes = signed(corim())
  const at = bytes.indexOf(sha256('44'))
  bytes.writeUInt8(0x45, at)
  assert.throws(() => readCorim(bytes, [signer.publicKey], NOW), { code: 'learn.corim' })
})

test('refuses a manifest outside of its validity', () => {
  const until = (seconds: number) => corim([[4, new Map([[1, new Tagged(1, seconds)]])]])
  assert.equal(readCorim(until(NOW / 1000 + 1), [], NOW).references.length, 4)
  assert.throws(() => readCorim(until(NOW / 1000 - 1), [], NOW), { code: 'learn.corim' })
})

test('refuses a digest that is shorter than its algorithm says', () => {
  const short = new Map([[1, new Map([[2, [[1, Buffer.alloc(31)]]]])]])
  assert.throws(() => readCorim(corim([], [short]), [], NOW), { code: 'learn.corim' })
})

test('refuses what is no manifest', () => {
  assert.throws(() => readCorim(write(new Map([[0, 'x']])), [], NOW), { code: 'learn.corim' })
})
