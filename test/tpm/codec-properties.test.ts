import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { isTouchstoneError } from '../../src/core/index.ts'
import {
  TPM2B_CREATION_DATA,
  TPM2B_ENCRYPTED_SECRET,
  TPM2B_ID_OBJECT,
  TPM2B_NV_PUBLIC,
  TPM2B_PUBLIC,
  TPML_PCR_SELECTION,
  TPMS_ATTEST,
  TPMS_ATTEST_HEADER,
  TPMT_PUBLIC,
  TPMT_SIGNATURE,
} from '../../src/tpm/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'
import { makeRealStructures, structure } from '../fixtures/tpm/real-structures.ts'
import type { RealStructure } from '../fixtures/tpm/real-structures.ts'

/** Decoding gives a code of the `decode.` family, or a value that encodes to exactly the input. */
function assertRefusedOrSame({ name, reencode }: RealStructure, input: Buffer): 'refused' | 'same' {
  let output: Buffer
  try {
    output = reencode(input)
  } catch (error) {
    assert.ok(isTouchstoneError(error) && error.code.startsWith('decode.'), `${name}: ${String(error)}`)
    return 'refused'
  }
  assert.deepEqual(output, input, `${name} encodes to other bytes than were decoded`)
  return 'same'
}

/** One byte changed, some cut off, some put in: what an attacker or a bad cable does to a structure. */
const edits = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('set' as const), at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) }),
    fc.record({ kind: fc.constant('cut' as const), at: fc.nat(), value: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ kind: fc.constant('insert' as const), at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) }),
  ),
  { minLength: 1, maxLength: 4 },
)

function mutate(bytes: Buffer, changes: readonly { kind: 'set' | 'cut' | 'insert'; at: number; value: number }[]) {
  let result = Buffer.from(bytes)
  for (const { kind, at, value } of changes) {
    const place = at % (result.byteLength + 1)
    if (kind === 'cut') result = Buffer.concat([result.subarray(0, place), result.subarray(place + value)])
    else if (kind === 'insert')
      result = Buffer.concat([result.subarray(0, place), Buffer.of(value), result.subarray(place)])
    else if (place < result.byteLength) result.writeUInt8(value, place)
  }
  return result
}

function checkMutations(real: RealStructure): void {
  assert.equal(assertRefusedOrSame(real, real.bytes), 'same', `${real.name} does not survive unchanged`)
  for (let size = 0; size < real.bytes.byteLength; size++) {
    assert.equal(assertRefusedOrSame(real, real.bytes.subarray(0, size)), 'refused', `${real.name} cut to ${size}`)
  }
  assert.equal(assertRefusedOrSame(real, Buffer.concat([real.bytes, Buffer.of(0)])), 'refused', 'a byte appended')
  for (let at = 0; at < real.bytes.byteLength; at++) {
    for (const bit of [0x01, 0x80, 0xff]) {
      const changed = Buffer.from(real.bytes)
      changed.writeUInt8(changed.readUInt8(at) ^ bit, at)
      assertRefusedOrSame(real, changed)
    }
  }
  fc.assert(
    fc.property(edits, (changes) => {
      assertRefusedOrSame(real, mutate(real.bytes, changes))
    }),
    { numRuns: 200 },
  )
}

describe('a changed structure is refused with a code, or encodes to the very bytes it was', () => {
  let tpm: TestTpm
  let structures: readonly RealStructure[]
  before(async () => {
    tpm = await freshTpm()
    structures = await makeRealStructures(tpm)
  })
  after(() => tpm.close())

  test('for every kind of structure that tpm2-tools write', () => {
    for (const real of structures) checkMutations(real)
  })

  test('for the structures of real enrolments and boots', { skip: SKIP_WITHOUT_SHARED_DATA }, async () => {
    const files = [
      ...['ak.pub', 'dev.pub', 'ek_0x81010001.pub', 'ek_0x81010016.pub'].map(
        (f) => [`enrol/${f}`, TPM2B_PUBLIC] as const,
      ),
      ...['cc', 'cert', 'ibm'].map((f) => [`enrol/${f}.attest`, TPMS_ATTEST] as const),
      ...['cc', 'cert', 'ibm'].map((f) => [`enrol/${f}.sig`, TPMT_SIGNATURE] as const),
      ...['secure-boot', 'direct-kernel'].flatMap(
        (boot) =>
          [
            [`qemu-ovmf/${boot}/quote.msg`, TPMS_ATTEST],
            [`qemu-ovmf/${boot}/quote.sig`, TPMT_SIGNATURE],
          ] as const,
      ),
    ] as const
    for (const [file, codec] of files) {
      const bytes = await readFile(sharedData(file))
      // Each row pairs a codec with its own file; the union of rows cannot say so.
      checkMutations(structure(file, codec as typeof TPM2B_PUBLIC, bytes))
    }
    checkMutations(structure('enrol/dev.cd', TPM2B_CREATION_DATA, await readFile(sharedData('enrol/dev.cd'))))
  })
})

test('arbitrary bytes are refused with a code, or encode to the very bytes they were', () => {
  const codecs = {
    TPMT_PUBLIC,
    TPM2B_PUBLIC,
    TPMS_ATTEST,
    TPMS_ATTEST_HEADER,
    TPMT_SIGNATURE,
    TPML_PCR_SELECTION,
    TPM2B_CREATION_DATA,
    TPM2B_ID_OBJECT,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_NV_PUBLIC,
  }
  for (const [name, codec] of Object.entries(codecs)) {
    const real = structure(name, codec as typeof TPMT_PUBLIC, Buffer.alloc(0))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        assertRefusedOrSame(real, Buffer.from(bytes))
      }),
    )
  }
})
