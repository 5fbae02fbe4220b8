import { createHash } from 'node:crypto'
import { isTouchstoneError, toHex, TouchstoneError } from '../../core/index.ts'
import { responseCodeOf } from '../../device/index.ts'
import { COMMANDS } from '../../tpm/index.ts'
import type { TenantKeys } from './deps.ts'

/** What is written down, with the TPM command that does the work. */
const OPERATIONS = {
  create: COMMANDS.Create,
  rotate: COMMANDS.Create,
  seal: COMMANDS.Create,
  delete: COMMANDS.FlushContext,
  sign: COMMANDS.Sign,
  token: COMMANDS.Sign,
  certificate: COMMANDS.Sign,
  decrypt: COMMANDS.RSA_Decrypt,
  agree: COMMANDS.ECDH_ZGen,
  unseal: COMMANDS.Unseal,
  attest: COMMANDS.Certify,
} as const

const EMPTY = Buffer.alloc(0)

/**
 * Runs `work` and writes down that it was done, or why not. `input` is what it is about (what is signed, a nonce), never
 * a secret: the entry has its digest. Where entries cannot be written, nothing that would need one is done.
 */
export async function audited<T>(
  { audit, tenant }: Pick<TenantKeys, 'audit' | 'tenant'>,
  operation: keyof typeof OPERATIONS,
  name: string,
  work: () => Promise<T>,
  input: Uint8Array = EMPTY,
): Promise<T> {
  if (!audit.accepting) throw new TouchstoneError('vtpm.audit_full')
  const entry = {
    tenant,
    code: OPERATIONS[operation].code,
    command: `key.${operation} ${name}`,
    digest: toHex(createHash('sha256').update(`${operation}\0${name}\0`).update(input).digest()),
  }
  try {
    const result = await work()
    audit.append({ ...entry, outcome: 'done', rc: 0 })
    return result
  } catch (error) {
    const reason = isTouchstoneError(error) ? error.code : 'key.internal'
    const isRefusal = isTouchstoneError(error) && error.status < 500
    audit.append({ ...entry, outcome: isRefusal ? 'refused' : 'failed', rc: responseCodeOf(error) ?? 0, reason })
    throw error
  }
}
