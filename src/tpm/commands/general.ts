import { enumeration, list, nothing, sizedBytes, struct, tagged, u16, u32 } from '../../codec/index.ts'
import { TPMS_TIME_INFO } from '../attest.ts'
import { TPML_DIGEST, TPML_DIGEST_VALUES } from '../digests.ts'
import { TPM2B_MAX_BUFFER, TPMT_TK } from '../objects.ts'
import { TPM2B_DIGEST, TPMI_ALG_HASH, TPMI_YES_NO } from '../primitives.ts'
import { TPML_PCR_SELECTION } from '../selection.ts'
import { command } from './command.ts'

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

/** The TPM as a whole: start and stop, capabilities, PCRs, randomness, hashing, time. */
export const GENERAL_COMMANDS = {
  Startup: command({
    code: 0x0144,
    handles: [],
    authorisations: 0,
    parameters: struct({ startupType: TPM_SU }),
    response: nothing,
  }),
  Shutdown: command({
    code: 0x0145,
    handles: [],
    authorisations: 0,
    parameters: struct({ shutdownType: TPM_SU }),
    response: nothing,
  }),
  GetCapability: command({
    code: 0x017a,
    handles: [],
    authorisations: 0,
    parameters: struct({ capability: TPM_CAP, property: u32, propertyCount: u32 }),
    response: struct({ moreData: TPMI_YES_NO, capabilityData: TPMS_CAPABILITY_DATA }),
  }),
  PCR_Extend: command({
    code: 0x0182,
    handles: ['pcrHandle'],
    authorisations: 1,
    parameters: struct({ digests: TPML_DIGEST_VALUES }),
    response: nothing,
  }),
  /** Answers at most eight values, of the registers in `pcrSelectionOut`; ask again for the rest. */
  PCR_Read: command({
    code: 0x017e,
    handles: [],
    authorisations: 0,
    parameters: struct({ pcrSelectionIn: TPML_PCR_SELECTION }),
    response: struct({ pcrUpdateCounter: u32, pcrSelectionOut: TPML_PCR_SELECTION, pcrValues: TPML_DIGEST }),
  }),
  GetRandom: command({
    code: 0x017b,
    handles: [],
    authorisations: 0,
    parameters: struct({ bytesRequested: u16 }),
    response: struct({ randomBytes: sizedBytes(u16, { max: 1024 }) }),
  }),
  Hash: command({
    code: 0x017d,
    handles: [],
    authorisations: 0,
    parameters: struct({ data: TPM2B_MAX_BUFFER, hashAlg: TPMI_ALG_HASH, hierarchy: u32 }),
    response: struct({ outHash: TPM2B_DIGEST, validation: TPMT_TK }),
  }),
  ReadClock: command({
    code: 0x0181,
    handles: [],
    authorisations: 0,
    parameters: nothing,
    response: struct({ currentTime: TPMS_TIME_INFO }),
  }),
} as const
