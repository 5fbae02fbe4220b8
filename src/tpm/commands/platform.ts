import { nothing, struct, u32 } from '../../codec/index.ts'
import { TPM2B_AUTH } from '../objects.ts'
import { TPMI_YES_NO } from '../primitives.ts'
import { TPML_PCR_SELECTION } from '../selection.ts'
import { command } from './command.ts'

/** What a platform's firmware does with its TPM before anybody else may: Part 3 sections 22.5 and 24. */
export const PLATFORM_COMMANDS = {
  /** Takes effect at the next reset of the TPM. */
  PCR_Allocate: command({
    code: 0x012b,
    handles: ['authHandle'],
    authorisations: 1,
    parameters: struct({ pcrAllocation: TPML_PCR_SELECTION }),
    response: struct({ allocationSuccess: TPMI_YES_NO, maxPCR: u32, sizeNeeded: u32, sizeAvailable: u32 }),
  }),
  Clear: command({
    code: 0x0126,
    handles: ['authHandle'],
    authorisations: 1,
    parameters: nothing,
    response: nothing,
  }),
  ClearControl: command({
    code: 0x0127,
    handles: ['auth'],
    authorisations: 1,
    parameters: struct({ disable: TPMI_YES_NO }),
    response: nothing,
  }),
  HierarchyChangeAuth: command({
    code: 0x0129,
    handles: ['authHandle'],
    authorisations: 1,
    parameters: struct({ newAuth: TPM2B_AUTH }),
    response: nothing,
  }),
} as const
