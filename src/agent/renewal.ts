import { parsePem } from '../ca/path/index.ts'
import { TouchstoneError } from '../core/index.ts'

/**
 * Whether two thirds of a certificate's lifetime are over at `now` (milliseconds). A clock that is behind its first day
 * says nothing, so nothing is due.
 */
export function isRenewalDue(pem: string, now: number): boolean {
  const { notBefore, notAfter } = validityOf(pem)
  return now >= notBefore + ((notAfter - notBefore) * 2) / 3
}

/** Milliseconds since the Unix epoch. */
export function validityOf(pem: string): { readonly notBefore: number; readonly notAfter: number } {
  const [certificate] = parsePem(pem)
  if (certificate === undefined) throw new TouchstoneError('agent.state', 'no certificate in what was stored')
  return certificate
}
