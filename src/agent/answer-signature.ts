import { createPublicKey } from 'node:crypto'
import { flattenedVerify } from 'jose'
import { z } from 'zod'
import { parseCertificate } from '../ca/path/index.ts'
import { fromBase64Url, toBase64Url, TouchstoneError } from '../core/index.ts'
import { sha256 } from '../wire/index.ts'
import type { Trust } from './trust.ts'

const MAX_HEADER = 16_384

/** Leaf first (RFC 7515 section 4.1.6); DER in plain base64. */
const protectedHeader = z.object({
  alg: z.literal('ES256'),
  x5c: z.array(z.string().max(8192)).min(1).max(4),
  b64: z.boolean().optional(),
  /** SHA-256 of the request's body, base64url; absent where the request was refused before its body was read. */
  rqd: z.string().max(64).optional(),
})

export interface SignedAnswer {
  /** The bodies, to the byte. */
  readonly request: Uint8Array
  readonly body: Uint8Array
  readonly isRefusal: boolean
}

/**
 * Checks the header `touchstone-signature`: a detached JWS (RFC 7515 appendix F) over exactly `body`, by a key whose
 * certificate chains to the pinned root and was issued for answers; and that it answers this very request, so that none
 * that was kept from another one can take its place. Throws `agent.answer_unsigned` or
 * `agent.verifier_untrusted`.
 */
export async function verifyAnswer(
  trust: Trust,
  jws: string | undefined,
  { request, body, isRefusal }: SignedAnswer,
): Promise<void> {
  const [header, detached, signature] = (jws ?? '').split('.')
  if (jws === undefined || header === undefined || detached !== '' || signature === undefined) {
    throw new TouchstoneError('agent.answer_unsigned')
  }
  if (jws.length > MAX_HEADER) throw new TouchstoneError('agent.answer_unsigned', 'the signature is too long')
  const { x5c, b64, rqd } = readHeader(header)
  const [leaf, ...intermediates] = x5c.map((der) => parseCertificate(Buffer.from(der, 'base64')))
  if (leaf === undefined) throw new TouchstoneError('agent.answer_unsigned')
  const judged = trust.judge('answer', leaf, intermediates)
  if (!judged.ok) {
    throw new TouchstoneError('agent.verifier_untrusted', `the signer of an answer: ${judged.failure.code}`, {
      details: { path: judged.failure.code, certificate: judged.failure.certificate },
    })
  }
  const key = createPublicKey({ key: leaf.spki, format: 'der', type: 'spki' })
  const payload = b64 === false ? body : toBase64Url(body)
  try {
    await flattenedVerify({ protected: header, payload, signature }, key, {
      algorithms: ['ES256'],
      crit: { b64: true },
    })
  } catch (cause) {
    throw new TouchstoneError('agent.answer_unsigned', 'the signature does not fit the answer', { cause })
  }
  if (rqd !== toBase64Url(sha256(request)) && !(isRefusal && rqd === undefined)) {
    throw new TouchstoneError('agent.answer_unsigned', 'the answer was signed for another request')
  }
}

function readHeader(encoded: string): z.output<typeof protectedHeader> {
  const parsed = protectedHeader.safeParse(parseJson(fromBase64Url(encoded)?.toString('utf8')))
  if (!parsed.success) throw new TouchstoneError('agent.answer_unsigned', 'the header of the signature is malformed')
  return parsed.data
}

function parseJson(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}
