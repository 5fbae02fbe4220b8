import { isSameName, parsePem } from './path/index.ts'
import type { Certificate } from './path/index.ts'

/** What EK certificates may chain to, and through. */
export interface TrustStore {
  readonly anchors: readonly Certificate[]
  readonly intermediates: readonly Certificate[]
}

/**
 * Sorts the certificates of PEM texts: what was issued under its own name is an anchor, the rest is material for paths and
 * trusted only below an anchor. Throws `decode.*` or `ca.pem_empty`.
 */
export function parseTrustStore(pems: readonly string[]): TrustStore {
  const all = pems.flatMap((pem) => parsePem(pem))
  const isRoot = (certificate: Certificate) => isSameName(certificate.subject, certificate.issuer)
  return { anchors: all.filter(isRoot), intermediates: all.filter((certificate) => !isRoot(certificate)) }
}
