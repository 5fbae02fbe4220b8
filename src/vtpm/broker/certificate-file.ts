import { parsePem } from '../../ca/path/index.ts'
import { TouchstoneError } from '../../core/index.ts'

/** The DER of the first certificate in a PEM text. */
export function derOf(pem: string): Buffer {
  const [certificate] = parsePem(pem)
  if (certificate === undefined) throw new TouchstoneError('broker.agent', 'the answer holds no certificate')
  return Buffer.from(certificate.der)
}
