import { isTouchstoneError, TouchstoneError } from '../core/index.ts'
import { explainRc } from '../tpm/index.ts'

/** What tpm2-tools 5 print of a failed TSS call: `ERROR: Esys_Load(0x1DF) - tpm:parameter(1):integrity check failed`. */
const CALL_FAILED = /\(0x([0-9A-Fa-f]{1,8})\) - /
/** What the TSS logs itself, also when a tool swallows the code: `… Esys Finish ErrorCode (0x000001df)`. */
const LOGGED = /ErrorCode \(0x([0-9A-Fa-f]{1,8})\)/

/** TSS2_ERROR_LAYER (TCG TSS 2.0 Overview and Common Structures, 3.2): codes of the TPM itself have layer 0. */
const layerOf = (code: number): number => (code >>> 16) & 0xff
const LAYER_TCTI = 10
const LAYER_RESMGR_TPM = 11
const LAYER_RESMGR = 12

/** The last lines say what failed; a tool's stderr can hold file names of the private directory and nothing secret. */
const TELL_LINES = 3

/** Turns a tool's standard error into a coded error: `device.unavailable`, `device.tpm` (with `details.rc`), `device.tool`. */
export function toolError(tool: string, stderr: string): TouchstoneError {
  const code = CALL_FAILED.exec(stderr)?.[1] ?? LOGGED.exec(stderr)?.[1]
  if (code === undefined) {
    if (stderr.includes('Could not load tcti') || stderr.includes('Failed to instantiate TCTI')) {
      return new TouchstoneError('device.unavailable', `${tool} cannot reach the TPM: ${lastLines(stderr)}`)
    }
    return new TouchstoneError('device.tool', `${tool}: ${lastLines(stderr)}`)
  }
  const value = Number.parseInt(code, 16)
  const layer = layerOf(value)
  if (layer === 0 || layer === LAYER_RESMGR_TPM || layer === LAYER_RESMGR) return tpmError(tool, value & 0xffff)
  if (layer === LAYER_TCTI) {
    return new TouchstoneError('device.unavailable', `${tool} lost the TPM (0x${code}): ${lastLines(stderr)}`)
  }
  return new TouchstoneError('device.tool', `${tool} failed with TSS code 0x${code}: ${lastLines(stderr)}`)
}

/** A refusal by the TPM; `details` carry `rc`, its name, and the command or tool. */
export function tpmError(tool: string, rc: number): TouchstoneError {
  const { name, meaning, hint } = explainRc(rc)
  return new TouchstoneError('device.tpm', `${tool}: ${name} (0x${rc.toString(16)}): ${meaning}`, {
    hint,
    details: { tool, rc, name },
  })
}

/** The response code of a `device.tpm` error, without the bits that say which handle or parameter it is about. */
export function responseCodeOf(error: unknown): number | undefined {
  if (!isTouchstoneError(error, 'device.tpm')) return undefined
  const rc = error.details['rc']
  if (typeof rc !== 'number') return undefined
  // Part 2, 6.6.2: format-one codes (bit 7) carry the position in bits 6 and 8 to 11.
  return (rc & 0x80) === 0 ? rc : rc & 0xbf
}

function lastLines(stderr: string): string {
  return stderr.trim().split('\n').slice(-TELL_LINES).join('; ').slice(0, 500)
}
