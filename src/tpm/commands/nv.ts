import { nothing, struct, u16 } from '../../codec/index.ts'
import { TPM2B_NV_PUBLIC } from '../nv-public.ts'
import { TPM2B_AUTH } from '../objects.ts'
import { TPM2B_MAX_NV_BUFFER, TPM2B_NAME } from '../primitives.ts'
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
} as const
