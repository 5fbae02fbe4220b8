import { objectAttributes } from '../../tpm/index.ts'
import type { TpmtPublic } from '../../tpm/index.ts'

/** Data that only a policy opens. It came from outside, so sensitiveDataOrigin is clear. */
export function sealedTemplate(authPolicy: Buffer): TpmtPublic {
  return {
    type: 'keyedhash',
    nameAlg: 'sha256',
    objectAttributes: objectAttributes('fixedTPM', 'fixedParent', 'adminWithPolicy', 'noDA'),
    authPolicy,
    parameters: { scheme: { scheme: 'null' } },
    unique: Buffer.alloc(0),
  }
}
