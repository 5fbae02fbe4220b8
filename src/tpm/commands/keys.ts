import { nothing, struct, u32 } from '../../codec/index.ts'
import {
  TPM2B_ATTEST,
  TPM2B_AUTH,
  TPM2B_ECC_POINT,
  TPM2B_MAX_BUFFER,
  TPMT_RSA_DECRYPT,
  TPMT_SIG_SCHEME,
  TPMT_TK,
} from '../objects.ts'
import { TPM2B_DATA, TPM2B_DIGEST, TPM2B_PUBLIC_KEY_RSA, TPMI_ALG_HASH_OR_NULL } from '../primitives.ts'
import { TPML_PCR_SELECTION } from '../selection.ts'
import { TPMT_SIGNATURE } from '../signature.ts'
import { command } from './command.ts'

/** What keys do: sign, verify, decrypt, agree, attest. */
export const KEY_COMMANDS = {
  Sign: command({
    code: 0x015d,
    handles: ['keyHandle'],
    authorisations: 1,
    parameters: struct({ digest: TPM2B_DIGEST, inScheme: TPMT_SIG_SCHEME, validation: TPMT_TK }),
    response: struct({ signature: TPMT_SIGNATURE }),
  }),
  VerifySignature: command({
    code: 0x0177,
    handles: ['keyHandle'],
    authorisations: 0,
    parameters: struct({ digest: TPM2B_DIGEST, signature: TPMT_SIGNATURE }),
    response: struct({ validation: TPMT_TK }),
  }),
  HMAC: command({
    code: 0x0155,
    handles: ['handle'],
    authorisations: 1,
    parameters: struct({ buffer: TPM2B_MAX_BUFFER, hashAlg: TPMI_ALG_HASH_OR_NULL }),
    response: struct({ outHMAC: TPM2B_DIGEST }),
  }),
  /** For what does not fit one TPM2_HMAC: begins a sequence, which SequenceComplete ends. */
  HMAC_Start: command({
    code: 0x015b,
    handles: ['handle'],
    authorisations: 1,
    parameters: struct({ auth: TPM2B_AUTH, hashAlg: TPMI_ALG_HASH_OR_NULL }),
    makesHandle: true,
    response: struct({ sequenceHandle: u32 }),
  }),
  SequenceUpdate: command({
    code: 0x015c,
    handles: ['sequenceHandle'],
    authorisations: 1,
    parameters: struct({ buffer: TPM2B_MAX_BUFFER }),
    response: nothing,
  }),
  SequenceComplete: command({
    code: 0x013e,
    handles: ['sequenceHandle'],
    authorisations: 1,
    parameters: struct({ buffer: TPM2B_MAX_BUFFER, hierarchy: u32 }),
    response: struct({ result: TPM2B_DIGEST, validation: TPMT_TK }),
  }),
  RSA_Decrypt: command({
    code: 0x0159,
    handles: ['keyHandle'],
    authorisations: 1,
    parameters: struct({ cipherText: TPM2B_PUBLIC_KEY_RSA, inScheme: TPMT_RSA_DECRYPT, label: TPM2B_DATA }),
    response: struct({ message: TPM2B_PUBLIC_KEY_RSA }),
  }),
  ECDH_ZGen: command({
    code: 0x0154,
    handles: ['keyHandle'],
    authorisations: 1,
    parameters: struct({ inPoint: TPM2B_ECC_POINT }),
    response: struct({ outPoint: TPM2B_ECC_POINT }),
  }),
  Quote: command({
    code: 0x0158,
    handles: ['signHandle'],
    authorisations: 1,
    parameters: struct({ qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME, PCRselect: TPML_PCR_SELECTION }),
    response: struct({ quoted: TPM2B_ATTEST, signature: TPMT_SIGNATURE }),
  }),
  Certify: command({
    code: 0x0148,
    handles: ['objectHandle', 'signHandle'],
    authorisations: 2,
    parameters: struct({ qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME }),
    response: struct({ certifyInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE }),
  }),
  /** By the ticket of its creation: the object's own authorisation is not asked for. */
  CertifyCreation: command({
    code: 0x014a,
    handles: ['signHandle', 'objectHandle'],
    authorisations: 1,
    parameters: struct({
      qualifyingData: TPM2B_DATA,
      creationHash: TPM2B_DIGEST,
      inScheme: TPMT_SIG_SCHEME,
      creationTicket: TPMT_TK,
    }),
    response: struct({ certifyInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE }),
  }),
} as const
