import { verify } from 'node:crypto'
import { decode } from '../src/codec/index.ts'
import { checkQuote } from '../src/attest/quote-checks.ts'
import { readQuote, readSignature } from '../src/attest/quote.ts'
import { selectionDigest } from '../src/attest/registers.ts'
import { equalBytes } from '../src/core/index.ts'
import { parsePcrSelection, TPMT_SIGNATURE } from '../src/tpm/index.ts'
import { softwareTpm } from '../scripts/stage/software-quote.ts'
import { perSecond } from './batch.ts'
import { compare, type Bench, type Row } from './framework.ts'
import { derSignature } from './peers/der-signature.ts'

const ROUNDS = 31
/** A verifier runs for months, so its code is compiled as well as it will ever be. */
const WARM_UP = 3_000
const SELECTION = parsePcrSelection('sha256:0-15')
const REGISTER = Buffer.alloc(32, 0x5a)
const REGISTERS = SELECTION.flatMap(({ pcrs }) => pcrs.map(() => REGISTER))
const NONCE = Buffer.alloc(32, 0xa5)

/** What the signature stands for: structure, key, scheme, nonce, selection, counters, and the digest over the registers. */
async function againstVerify(name: string, kind: 'ecdsa' | 'rsassa', count: number): Promise<Row> {
  const tpm = softwareTpm(kind)
  const { quote, signature } = tpm.quote({ nonce: NONCE, selection: SELECTION, register: () => REGISTER })
  const key = { kind: 'tpm', pub: tpm.ak } as const
  const expected = { nonce: NONCE, selection: SELECTION }
  const ours = (): void => {
    const read = readQuote(quote)
    for (const { check, outcome } of checkQuote(read, readSignature(signature, key), key, expected)) {
      if (outcome !== 'pass') throw new Error(`${check} is good and was refused`)
    }
    const signed = read.quote?.attested.pcrDigest
    if (signed === undefined || !equalBytes(selectionDigest('sha256', REGISTERS), signed)) {
      throw new Error('the registers are those of the quote and were refused')
    }
  }
  // The cheapest way that there is to call it: the key as it is, the signature in DER.
  const der = derSignature(decode('TPMT_SIGNATURE', TPMT_SIGNATURE, signature))
  const bare = (): void => {
    if (!verify('sha256', quote, tpm.publicKey, der)) throw new Error('the signature is good and was refused')
  }
  for (let run = 0; run < WARM_UP; run += 1) {
    ours()
    bare()
  }
  return compare(name, ROUNDS, perSecond(count, ours), perSecond(count, bare))
}

export const quoteVerify: Bench = async () => {
  return [
    await againstVerify('quote-verify', 'ecdsa', 500),
    await againstVerify('quote-verify-rsa2048', 'rsassa', 1_500),
  ]
}
