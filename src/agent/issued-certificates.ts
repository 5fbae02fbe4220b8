import { parsePem, type Certificate } from '../ca/path/index.ts'
import { decode } from '../codec/index.ts'
import { isTouchstoneError, TouchstoneError } from '../core/index.ts'
import { spkiOf, TPM2B_PUBLIC } from '../tpm/index.ts'
import type { Identity } from './identity.ts'
import type { Trust } from './trust.ts'

/** PEM, as answers carry it. */
export interface IssuedCertificates {
  readonly deviceCertificate?: string | undefined
  readonly akCertificate?: string | undefined
  /** Issuing CA, then root. */
  readonly chain?: readonly string[] | undefined
}

/**
 * Before anything is kept: each certificate is for this node's own key, and was issued under the pinned root for what it
 * is to be used for. Throws `agent.answer` or `agent.verifier_untrusted`.
 */
export function checkIssued(
  trust: Trust,
  { ak, device }: Pick<Identity, 'ak' | 'device'>,
  { deviceCertificate, akCertificate, chain = [] }: IssuedCertificates,
): void {
  const intermediates = chain.map((pem) => readOne('chain', pem))
  const issued = [
    ['deviceCertificate', 'device', deviceCertificate, device],
    ['akCertificate', 'ak', akCertificate, ak],
  ] as const
  for (const [field, purpose, pem, { publicArea }] of issued) {
    if (pem === undefined) continue
    const certificate = readOne(field, pem)
    if (!certificate.spki.equals(spkiOf(decode('TPM2B_PUBLIC', TPM2B_PUBLIC, publicArea)))) {
      throw new TouchstoneError('agent.answer', `${field} is for another key than this node's`)
    }
    const judged = trust.judge(purpose, certificate, intermediates)
    if (!judged.ok) {
      throw new TouchstoneError('agent.verifier_untrusted', `${field}: ${judged.failure.code}`, {
        details: { path: judged.failure.code, certificate: judged.failure.certificate },
      })
    }
  }
}

function readOne(field: string, pem: string): Certificate {
  try {
    const [certificate, ...more] = parsePem(pem)
    if (certificate !== undefined && more.length === 0) return certificate
  } catch (cause) {
    if (!isTouchstoneError(cause)) throw cause
    throw new TouchstoneError('agent.answer', `${field} cannot be read: ${cause.message}`, { cause })
  }
  throw new TouchstoneError('agent.answer', `${field} is not one certificate`)
}
