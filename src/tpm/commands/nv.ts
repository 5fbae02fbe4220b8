import { nothing, struct, u16 } from '../../codec/index.ts'
import { TPM2B_NV_PUBLIC } from '../nv-public.ts'
import { TPM2B_ATTEST, TPM2B_AUTH, TPMT_SIG_SCHEME } from '../objects.ts'
import { TPM2B_DATA, TPM2B_MAX_NV_BUFFER, TPM2B_NAME } from '../primitives.ts'
import { TPMT_SIGNATURE } from '../signature.ts'
import { command } from './command.ts'

/** NV memory. The handle that authorises may be the index itself. */
export const NV_COMMANDS = {
  NV_DefineSpace: command({
    code: 0x012a,
    handles: ['authHandle'],
    authorisations: 1,
    parameters: struct({ auth: TPM2B_AUTH, publicInfo: TPM2B_NV_PUBLIC }),
    response: nothing,
  }),
  NV_UndefineSpace: command({
    code: 0x0122,
    handles: ['authHandle', 'nvIndex'],
    authorisations: 1,
    parameters: nothing,
    response: nothing,
  }),
  NV_ReadPublic: command({
    code: 0x0169,
    handles: ['nvIndex'],
    authorisations: 0,
    parameters: nothing,
    response: struct({ nvPublic: TPM2B_NV_PUBLIC, nvName: TPM2B_NAME }),
  }),
  NV_Read: command({
    code: 0x014e,
    handles: ['authHandle', 'nvIndex'],
    authorisations: 1,
    parameters: struct({ size: u16, offset: u16 }),
    response: struct({ data: TPM2B_MAX_NV_BUFFER }),
  }),
  NV_Write: command({
    code: 0x0137,
    handles: ['authHandle', 'nvIndex'],
    authorisations: 1,
    parameters: struct({ data: TPM2B_MAX_NV_BUFFER, offset: u16 }),
    response: nothing,
  }),
  NV_Increment: command({
    code: 0x0134,
    handles: ['authHandle', 'nvIndex'],
    authorisations: 1,
    parameters: nothing,
    response: nothing,
  }),
  /** The AK's word on what an index holds: a TPMS_ATTEST of type nv, or of nv_digest where `size` is 0. */
  NV_Certify: command({
    code: 0x0184,
    handles: ['signHandle', 'authHandle', 'nvIndex'],
    authorisations: 2,
    parameters: struct({ qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME, size: u16, offset: u16 }),
    response: struct({ certifyInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE }),
  }),
} as const
