import { createPublicKey } from 'node:crypto'
import { flattenedVerify } from 'jose'
import { z } from 'zod'
import { parseCertificate } from '../ca/path/index.ts'
import { fromBase64Url, toBase64Url, TouchstoneError } from '../core/index.ts'
import type { Trust } from './trust.ts'

const MAX_HEADER = 16_384

/** Leaf first (RFC 7515 section 4.1.6); DER in plain base64. */
const protectedHeader = z.object({
  alg: z.literal('ES256'),
  x5c: z.array(z.string().max(8192)).min(1).max(4),
  b64: z.boolean().optional(),
})

/**
 * Checks the header `touchstone-signature`: a detached JWS (RFC 7515 appendix F) over exactly `body`, by a key whose
 * certificate chains to the pinned root and was issued for answers. Throws `agent.answer_unsigned` or
 * `agent.verifier_untrusted`.
 */
export async function verifyAnswer(trust: Trust, jws: string | undefined, body: Uint8Array): Promise<void> {
  const [header, detached, signature] = (jws ?? '').split('.')
  if (jws === undefined || header === undefined || detached !== '' || signature === undefined) {
    throw new TouchstoneError('agent.answer_unsigned')
  }
  if (jws.length > MAX_HEADER) throw new TouchstoneError('agent.answer_unsigned', 'the signature is too long')
  const { x5c, b64 } = readHeader(header)
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
