import { enumeration, joined, restBytes, struct, tagged, u16, u32, u64 } from '../codec/index.ts'
import type { Decoded } from '../codec/index.ts'
import {
  TPM2B_DATA,
  TPM2B_DIGEST,
  TPM2B_MAX_NV_BUFFER,
  TPM2B_NAME,
  TPMI_ALG_HASH,
  TPMI_YES_NO,
  TPMS_CLOCK_INFO,
} from './primitives.ts'
import { TPML_PCR_SELECTION } from './selection.ts'
import { keysOf } from './table.ts'

/**
 * What a TPM itself said, as opposed to data that a caller had it sign. The codec reads any magic, so that a wrong one
 * is a failed check of the caller and not a decode error: compare before believing anything else in the structure.
 */
export const TPM_GENERATED_VALUE = 0xff544347

/** TPMI_ST_ATTEST: TPM 2.0 Library Part 2 section 10.12.10. */
export const TPM_ST_ATTEST = {
  nv: 0x8014,
  command_audit: 0x8015,
  session_audit: 0x8016,
  certify: 0x8017,
  quote: 0x8018,
  time: 0x8019,
  creation: 0x801a,
  nv_digest: 0x801c,
} as const

export type AttestType = keyof typeof TPM_ST_ATTEST

/** Magic and type as bare numbers and the rest unread: tells an unknown type from a broken structure. */
export const TPMS_ATTEST_HEADER = struct({ magic: u32, type: u16, rest: restBytes })

/** The attestation type with this number, or `undefined`. */
export function attestTypeOf(type: number): AttestType | undefined {
  return keysOf(TPM_ST_ATTEST).find((name) => TPM_ST_ATTEST[name] === type)
}

const TPMS_QUOTE_INFO = struct({ pcrSelect: TPML_PCR_SELECTION, pcrDigest: TPM2B_DIGEST })

const TPMS_CERTIFY_INFO = struct({ name: TPM2B_NAME, qualifiedName: TPM2B_NAME })
const TPMS_CREATION_INFO = struct({ objectName: TPM2B_NAME, creationHash: TPM2B_DIGEST })
const TPMS_NV_CERTIFY_INFO = struct({ indexName: TPM2B_NAME, offset: u16, nvContents: TPM2B_MAX_NV_BUFFER })
const TPMS_NV_DIGEST_CERTIFY_INFO = struct({ indexName: TPM2B_NAME, nvDigest: TPM2B_DIGEST })
export const TPMS_TIME_INFO = struct({ time: u64, clockInfo: TPMS_CLOCK_INFO })
const TPMS_TIME_ATTEST_INFO = struct({ time: TPMS_TIME_INFO, firmwareVersion: u64 })
const TPMS_SESSION_AUDIT_INFO = struct({ exclusiveSession: TPMI_YES_NO, sessionDigest: TPM2B_DIGEST })
const TPMS_COMMAND_AUDIT_INFO = struct({
  auditCounter: u64,
  digestAlg: TPMI_ALG_HASH,
  auditDigest: TPM2B_DIGEST,
  commandDigest: TPM2B_DIGEST,
})

/** What all types of attestation share, between `type` and `attested`. */
const COMMON = {
  qualifiedSigner: TPM2B_NAME,
  extraData: TPM2B_DATA,
  clockInfo: TPMS_CLOCK_INFO,
  firmwareVersion: u64,
} as const

export const TPMS_ATTEST = joined(
  struct({ magic: u32 }),
  tagged('type', enumeration(u16, TPM_ST_ATTEST), {
    nv: struct({ ...COMMON, attested: TPMS_NV_CERTIFY_INFO }),
    command_audit: struct({ ...COMMON, attested: TPMS_COMMAND_AUDIT_INFO }),
    session_audit: struct({ ...COMMON, attested: TPMS_SESSION_AUDIT_INFO }),
    certify: struct({ ...COMMON, attested: TPMS_CERTIFY_INFO }),
    quote: struct({ ...COMMON, attested: TPMS_QUOTE_INFO }),
    time: struct({ ...COMMON, attested: TPMS_TIME_ATTEST_INFO }),
    creation: struct({ ...COMMON, attested: TPMS_CREATION_INFO }),
    nv_digest: struct({ ...COMMON, attested: TPMS_NV_DIGEST_CERTIFY_INFO }),
  }),
)
export type TpmsAttest = Decoded<typeof TPMS_ATTEST>
