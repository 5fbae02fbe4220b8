import { enumeration, nothing, struct, u16, u32, u8 } from '../../codec/index.ts'
import { TPM2B_ENCRYPTED_SALT, TPM2B_OPERAND, TPM2B_TIMEOUT, TPMT_SYM_DEF, TPMT_TK } from '../objects.ts'
import { TPM2B_DIGEST, TPM2B_NAME, TPMI_ALG_HASH } from '../primitives.ts'
import { TPML_PCR_SELECTION } from '../selection.ts'
import { command } from './command.ts'

/** TPM_SE: Part 2 section 6.11. */
const TPM_SE = enumeration(u8, { hmac: 0, policy: 1, trial: 3 })

/** TPM_EO, how an operand is compared: Part 2 section 6.8. */
export const TPM_EO = {
  eq: 0x0000,
  neq: 0x0001,
  signed_gt: 0x0002,
  unsigned_gt: 0x0003,
  signed_lt: 0x0004,
  unsigned_lt: 0x0005,
  signed_ge: 0x0006,
  unsigned_ge: 0x0007,
  signed_le: 0x0008,
  unsigned_le: 0x0009,
  bitset: 0x000a,
  bitclear: 0x000b,
} as const

/** Sessions, and the statements of which a policy consists. */
export const SESSION_COMMANDS = {
  StartAuthSession: command({
    code: 0x0176,
    handles: ['tpmKey', 'bind'],
    authorisations: 0,
    parameters: struct({
      nonceCaller: TPM2B_DIGEST,
      encryptedSalt: TPM2B_ENCRYPTED_SALT,
      sessionType: TPM_SE,
      symmetric: TPMT_SYM_DEF,
      authHash: TPMI_ALG_HASH,
    }),
    makesHandle: true,
    response: struct({ sessionHandle: u32, nonceTPM: TPM2B_DIGEST }),
  }),
  PolicyPCR: command({
    code: 0x017f,
    handles: ['policySession'],
    authorisations: 0,
    /** An empty `pcrDigest` takes the registers as they are. */
    parameters: struct({ pcrDigest: TPM2B_DIGEST, pcrs: TPML_PCR_SELECTION }),
    response: nothing,
  }),
  PolicyNV: command({
    code: 0x0149,
    handles: ['authHandle', 'nvIndex', 'policySession'],
    authorisations: 1,
    parameters: struct({ operandB: TPM2B_OPERAND, offset: u16, operation: enumeration(u16, TPM_EO) }),
    response: nothing,
  }),
  PolicyAuthorize: command({
    code: 0x016a,
    handles: ['policySession'],
    authorisations: 0,
    parameters: struct({
      approvedPolicy: TPM2B_DIGEST,
      policyRef: TPM2B_DIGEST,
      keySign: TPM2B_NAME,
      checkTicket: TPMT_TK,
    }),
    response: nothing,
  }),
  PolicySecret: command({
    code: 0x0151,
    handles: ['authHandle', 'policySession'],
    authorisations: 1,
    /** `expiration` is an INT32: seconds, 0 for none. */
    parameters: struct({
      nonceTPM: TPM2B_DIGEST,
      cpHashA: TPM2B_DIGEST,
      policyRef: TPM2B_DIGEST,
      expiration: u32,
    }),
    response: struct({ timeout: TPM2B_TIMEOUT, policyTicket: TPMT_TK }),
  }),
  /** Back to a policy that states nothing; session key and nonces stay. */
  PolicyRestart: command({
    code: 0x0180,
    handles: ['sessionHandle'],
    authorisations: 0,
    parameters: nothing,
    response: nothing,
  }),
  PolicyCommandCode: command({
    code: 0x016c,
    handles: ['policySession'],
    authorisations: 0,
    parameters: struct({ code: u32 }),
    response: nothing,
  }),
  PolicyGetDigest: command({
    code: 0x0189,
    handles: ['policySession'],
    authorisations: 0,
    parameters: nothing,
    response: struct({ policyDigest: TPM2B_DIGEST }),
  }),
} as const
