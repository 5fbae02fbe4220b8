import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { errorResponse, splitCommand, TPM_RC } from '../../src/tpm/frame.ts'

/** 0x173 ReadPublic with one handle, 0x148 Certify with two, 0x17b GetRandom with none. */
const HANDLES: ReadonlyMap<number, number> = new Map([
  [0x173, 1],
  [0x148, 2],
  [0x17b, 0],
])
const split = (hex: string, largest = 4096) =>
  splitCommand(Buffer.from(hex, 'hex'), (code) => HANDLES.get(code), largest)

test('splits a command without sessions', () => {
  assert.deepEqual(split('80010000000e0000017381000001'), {
    code: 0x173,
    handles: [0x81000001],
    sessions: [],
    parametersAt: 14,
  })
})

test('splits two handles, a password and a session with nonce and HMAC, and parameters', () => {
  const password = '40000009' + '0000' + '01' + '0001' + '61'
  const session = '02000003' + '0002aabb' + '21' + '0003ccddee'
  const body = '80000000' + '80000001' + '00000018' + password + session + '0000'
  const frame = split('8002' + (10 + body.length / 2).toString(16).padStart(8, '0') + '00000148' + body)
  assert.deepEqual(frame, {
    code: 0x148,
    handles: [0x80000000, 0x80000001],
    sessions: [
      { handle: 0x40000009, attributes: 0x01 },
      { handle: 0x02000003, attributes: 0x21 },
    ],
    parametersAt: 46,
  })
})

const REFUSED: readonly (readonly [why: string, command: string, rc: number])[] = [
  ['is empty', '', 0x142],
  ['is shorter than a header', '80010000000900000', 0x142],
  ['has the tag of a TPM 1.2', '00c10000000a0000017b', 0x01e],
  ['says that it is longer than it is', '80010000000d0000017b0008', 0x142],
  ['says that it is shorter than it is', '80010000000b0000017b0008', 0x142],
  ['has a code that the TPM does not have', '80010000000a00000fff', 0x143],
  ['ends before its first handle', '80010000000c000001730000', 0x19a],
  ['ends before its second handle', '80010000001000000148800000008000', 0x29a],
  ['has no authorisation area', '80020000000a0000017b', 0x144],
  ['has an authorisation area of no size', '80020000000e0000017b00000000', 0x144],
  ['has an authorisation area beyond its end', '8002000000170000017b0000000a400000090000010000', 0x144],
  ['authorises by something that is no session', '8002000000170000017b00000009800000000000010000', 0x984],
  ['has a nonce that is too long', '8002000000170000017b00000009020000000041010000', 0x995],
  ['has a nonce beyond the area', '8002000000170000017b00000009020000000020010000', 0x99a],
  ['has an HMAC that is too long', '8002000000170000017b00000009020000000000010041', 0x995],
  ['has an HMAC beyond the area', '8002000000170000017b00000009020000000000010001', 0x99a],
  ['sets reserved attributes of a session', '8002000000170000017b00000009020000000000080000', 0x9a1],
  ['has half a second session', '8002000000180000017b0000000a40000009000001000002', 0xa9a],
]

for (const [why, command, rc] of REFUSED) {
  test(`refuses a command that ${why}`, () => assert.equal(split(command), rc))
}

test('refuses a command with four sessions', () => {
  const area = '400000090000010000'.repeat(4)
  assert.equal(split('8002000000320000017b00000024' + area), TPM_RC.AUTHSIZE)
})

test("refuses a command that is larger than the TPM's buffer", () => {
  assert.equal(split('80010000000c0000017b0008', 11), TPM_RC.COMMAND_SIZE)
})

test('any bytes are split within their bounds, or refused', () => {
  const command = fc.tuple(
    fc.constantFrom(0x8001, 0x8002, 0x00c1),
    fc.constantFrom(...HANDLES.keys(), 0x999),
    fc.uint8Array({ maxLength: 64 }),
  )
  fc.assert(
    fc.property(command, ([tag, code, body]) => {
      const bytes = Buffer.concat([Buffer.alloc(10), body])
      bytes.writeUInt16BE(tag, 0)
      bytes.writeUInt32BE(bytes.byteLength, 2)
      bytes.writeUInt32BE(code, 6)
      const before = bytes.toString('hex')
      const frame = splitCommand(bytes, (of) => HANDLES.get(of), 4096)
      assert.equal(bytes.toString('hex'), before)
      if (typeof frame === 'number') {
        assert.notEqual(frame, 0)
        return
      }
      assert.equal(frame.handles.length, HANDLES.get(code))
      assert.ok(frame.parametersAt >= 10 && frame.parametersAt <= bytes.byteLength)
      assert.ok(frame.sessions.length <= 3 && frame.sessions.length > 0 === (tag === 0x8002))
    }),
  )
})

test('an error is ten bytes, with the tag of a TPM 1.2 where the tag was at fault', () => {
  assert.equal(errorResponse(0x101).toString('hex'), '80010000000a00000101')
  assert.equal(errorResponse(0x01e).toString('hex'), '00c40000000a0000001e')
})
