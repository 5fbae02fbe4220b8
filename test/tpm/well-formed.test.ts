import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { decode } from '../../src/codec/index.ts'
import type { Codec } from '../../src/codec/index.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import {
  parsePcrSelection,
  readWellFormedQuote,
  readWellFormedSignature,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
} from '../../src/tpm/index.ts'
import { softwareTpm } from '../../scripts/stage/software-quote.ts'

const register = (_: string, pcr: number) => Buffer.alloc(32, pcr)
const nonce = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
const selections = ['sha256:0-15', 'sha256:0-7+sha1:none', 'sha384:23+sha256:0+sha1:1,2', 'sha256:0-31']
const ecdsa = softwareTpm('ecdsa')
const rsassa = softwareTpm('rsassa')
const quotes = selections.map((text) => ecdsa.quote({ nonce, selection: parsePcrSelection(text), register }).quote)
const signatures = [ecdsa, rsassa].map((tpm) => tpm.quote({ nonce, register }).signature)

function decoded<T>(codec: Codec<T>, bytes: Buffer): T | undefined {
  try {
    return decode('input', codec, bytes)
  } catch (error) {
    assert.ok(isTouchstoneError(error))
    return undefined
  }
}

/** What the codec reads where the short way is one; it may leave anything to the codec but what is usual. */
function assertSame(bytes: Buffer): void {
  const attest = decoded(TPMS_ATTEST, bytes)
  assert.deepEqual(readWellFormedQuote(bytes), attest?.type === 'quote' ? attest : undefined)
  const signature = decoded(TPMT_SIGNATURE, bytes)
  const usual = ['rsassa', 'rsapss', 'ecdsa'].includes(signature?.sigAlg ?? '')
  assert.deepEqual(readWellFormedSignature(bytes), usual ? signature : undefined)
}

test('the short way reads what the codec reads, of quotes and signatures as they are made', () => {
  for (const quote of quotes) assert.ok(readWellFormedQuote(quote) !== undefined)
  for (const signature of signatures) assert.ok(readWellFormedSignature(signature) !== undefined)
  for (const bytes of [...quotes, ...signatures]) assertSame(bytes)
})

test('and of what is cut short, too long, or has any byte changed', () => {
  for (const bytes of [...quotes, ...signatures]) {
    for (let size = 0; size < bytes.byteLength; size += 1) assertSame(bytes.subarray(0, size))
    assertSame(Buffer.concat([bytes, Buffer.of(0)]))
    for (let at = 0; at < bytes.byteLength; at += 1) {
      for (const value of [0, 1, 2, 4, 5, 0x40, 0x42, 0x80, 0x81, 0xff]) {
        const changed = Buffer.from(bytes)
        changed.writeUInt8(value, at)
        assertSame(changed)
      }
    }
  }
})

test('and of any bytes that begin as one of them', () => {
  const head = fc.constantFrom(...[...quotes, ...signatures].map((bytes) => [...bytes]))
  const input = fc.tuple(head, fc.nat(160), fc.uint8Array({ maxLength: 80 }))
  fc.assert(
    fc.property(input, ([bytes, kept, rest]) => assertSame(Buffer.from([...bytes.slice(0, kept), ...rest]))),
    { numRuns: 2000 },
  )
})
