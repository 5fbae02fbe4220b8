import { FORMAT_ONE, FORMAT_ZERO, rowOf, TSS_LAYERS, WARNINGS } from './rc-table.ts'
import type { RcRow } from './rc-table.ts'

/** A response code in words. `name` is the specification's; `retry` says whether sending the command again can help. */
export type RcExplanation = RcRow

const BAD_TAG = 0x01e

/**
 * Explains a TPM_RC, or a TSS2_RC as tpm2-tools print it (bits 16 up name a layer of the stack). Never throws: a code
 * that nobody knows says so, and is not worth a retry.
 */
export function explainRc(rc: number): RcExplanation {
  const layer = (rc >>> 16) & 0xff
  const code = rc & 0xffff
  if (layer === 0) return explainTpm(code)
  const name = TSS_LAYERS[layer]
  // The resource manager's own TPM codes, and a kernel's resource manager, reuse the TPM's numbers.
  if (layer === 0x0b || layer === 0x0c) return explainTpm(code)
  return {
    name: `TSS2_RC 0x${rc.toString(16).padStart(8, '0')}`,
    meaning: `${name ?? 'an unknown layer'} of the TPM software stack failed`,
    hint: 'Check that the TPM is there and reachable (device file, socket, permissions); the TPM itself did not answer this.',
    retry: 'no',
  }
}

function explainTpm(code: number): RcExplanation {
  if (code === 0) return { name: 'TPM_RC_SUCCESS', meaning: 'the command succeeded', hint: '', retry: 'no' }
  if (code === BAD_TAG) {
    return {
      name: 'TPM_RC_BAD_TAG',
      meaning: 'the tag of the command is not one of TPM 2.0',
      hint: 'This may be a TPM 1.2, which Touchstone cannot use.',
      retry: 'no',
    }
  }
  return (code & 0x80 ? explainFormatOne(code) : explainFormatZero(code)) ?? unknown(code)
}

/** Part 2 section 6.6.2: bit 8 tells TPM 2.0, bit 10 a vendor's code, bit 11 a warning. */
function explainFormatZero(code: number): RcExplanation | undefined {
  const isTpm2 = (code & 0x100) !== 0
  const isVendor = (code & 0x400) !== 0
  const isWarning = (code & 0x800) !== 0
  if (!isTpm2 || isVendor || code > 0xfff || (code & 0x200) !== 0) return undefined
  return rowOf(isWarning ? WARNINGS : FORMAT_ZERO, code & 0x7f)
}

/** Bit 6 tells a parameter (its number in bits 8 to 11); else bit 11 tells a session from a handle (bits 8 to 10). */
function explainFormatOne(code: number): RcExplanation | undefined {
  const row = code > 0xfff ? undefined : rowOf(FORMAT_ONE, code & 0x3f)
  if (row === undefined) return undefined
  const number = (code >> 8) & (code & 0x40 ? 0xf : 0x7)
  const subject = code & 0x40 ? 'parameter' : code & 0x800 ? 'session' : 'handle'
  return number === 0 ? row : { ...row, meaning: `${subject} ${number}: ${row.meaning}` }
}

function unknown(code: number): RcExplanation {
  return {
    name: `TPM_RC 0x${code.toString(16).padStart(3, '0')}`,
    meaning:
      code & 0x400 ? "the TPM answered with a code of its vendor's own" : 'the TPM answered with an unknown code',
    hint: 'See the documentation of the TPM.',
    retry: 'no',
  }
}
