import { enumeration, list, nothing, sizedBytes, struct, tagged, u16, u32 } from '../codec/index.ts'
import type { Codec } from '../codec/index.ts'
import { TPML_DIGEST, TPML_DIGEST_VALUES } from './digests.ts'
import { TPM2B_NV_PUBLIC } from './nv-public.ts'
import { TPM2B_MAX_NV_BUFFER, TPM2B_NAME, TPMI_YES_NO } from './primitives.ts'
import { TPM2B_PUBLIC } from './public-area.ts'
import { TPML_PCR_SELECTION } from './selection.ts'

/** Everything that is known of one command: Part 3, and the command codes of Part 2 section 6.5.2. */
export interface Command<H extends string, P, R> {
  readonly code: number
  /** Names of the handles, in order. */
  readonly handles: readonly H[]
  /** Whether the first of them needs an authorisation session; no command here has two. */
  readonly authorised: boolean
  readonly parameters: Codec<P>
  readonly response: Codec<R>
}

const TPM_SU = enumeration(u16, { clear: 0, state: 1 })

const property = struct({ property: u32, value: u32 })
/** As many as a TPM's response buffer of 4096 bytes can hold of the smallest item. */
const MANY = { max: 2048 }
const CAPABILITIES = { handles: 1, commands: 2, pcrs: 5, tpm_properties: 6, ecc_curves: 8 } as const
const TPM_CAP = enumeration(u32, CAPABILITIES)

const TPMS_CAPABILITY_DATA = tagged('capability', TPM_CAP, {
  handles: struct({ handles: list(u32, u32, MANY) }),
  /** TPMA_CC: Part 2 section 8.9. */
  commands: struct({ commands: list(u32, u32, MANY) }),
  pcrs: struct({ pcrs: TPML_PCR_SELECTION }),
  tpm_properties: struct({ properties: list(u32, property, MANY) }),
  ecc_curves: struct({ curves: list(u32, u16, MANY) }),
})

function command<const H extends string, P, R>(row: Command<H, P, R>): Command<H, P, R> {
  return row
}

/** The raw commands that Touchstone sends itself; all others go through tpm2-tools. */
export const COMMANDS = {
  Startup: command({
    code: 0x0144,
    handles: [],
    authorised: false,
    parameters: struct({ startupType: TPM_SU }),
    response: nothing,
  }),
  Shutdown: command({
    code: 0x0145,
    handles: [],
    authorised: false,
    parameters: struct({ shutdownType: TPM_SU }),
    response: nothing,
  }),
  PCR_Extend: command({
    code: 0x0182,
    handles: ['pcrHandle'],
    authorised: true,
    parameters: struct({ digests: TPML_DIGEST_VALUES }),
    response: nothing,
  }),
  /** Answers at most eight values, of the registers in `pcrSelectionOut`; ask again for the rest. */
  PCR_Read: command({
    code: 0x017e,
    handles: [],
    authorised: false,
    parameters: struct({ pcrSelectionIn: TPML_PCR_SELECTION }),
    response: struct({ pcrUpdateCounter: u32, pcrSelectionOut: TPML_PCR_SELECTION, pcrValues: TPML_DIGEST }),
  }),
  GetCapability: command({
    code: 0x017a,
    handles: [],
    authorised: false,
    parameters: struct({ capability: TPM_CAP, property: u32, propertyCount: u32 }),
    response: struct({ moreData: TPMI_YES_NO, capabilityData: TPMS_CAPABILITY_DATA }),
  }),
  FlushContext: command({
    code: 0x0165,
    handles: [],
    authorised: false,
    parameters: struct({ flushHandle: u32 }),
    response: nothing,
  }),
  GetRandom: command({
    code: 0x017b,
    handles: [],
    authorised: false,
    parameters: struct({ bytesRequested: u16 }),
    response: struct({ randomBytes: sizedBytes(u16, { max: 1024 }) }),
  }),
  ReadPublic: command({
    code: 0x0173,
    handles: ['objectHandle'],
    authorised: false,
    parameters: nothing,
    response: struct({ outPublic: TPM2B_PUBLIC, name: TPM2B_NAME, qualifiedName: TPM2B_NAME }),
  }),
  NV_ReadPublic: command({
    code: 0x0169,
    handles: ['nvIndex'],
    authorised: false,
    parameters: nothing,
    response: struct({ nvPublic: TPM2B_NV_PUBLIC, nvName: TPM2B_NAME }),
  }),
  NV_Read: command({
    code: 0x014e,
    handles: ['authHandle', 'nvIndex'],
    authorised: true,
    parameters: struct({ size: u16, offset: u16 }),
    response: struct({ data: TPM2B_MAX_NV_BUFFER }),
  }),
} as const
