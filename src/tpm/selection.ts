import { list, struct, sizedBytes, u32, u8 } from '../codec/index.ts'
import type { Codec } from '../codec/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { isHashName } from './algorithms.ts'
import type { HashName } from './algorithms.ts'
import { TPMI_ALG_HASH } from './primitives.ts'

/** Registers of one bank, in ascending order. */
export interface PcrBankSelection {
  readonly hash: HashName
  readonly pcrs: readonly number[]
  /** Bytes of the bitmap on the wire, where it is not the usual 3; kept so that what was signed encodes again as it was. */
  readonly sizeofSelect?: number
}

/** TPML_PCR_SELECTION (Part 2 section 10.9.7). The order of banks matters: a quote's digest runs through them in turn. */
export type PcrSelection = readonly PcrBankSelection[]

/** The library has room for as many banks as there are hash algorithms; no TPM comes near. */
export const MAX_BANKS = 16
/** Bytes of a bitmap: usually, and at most. */
export const USUAL_SELECT_SIZE = 3
export const MAX_SELECT_SIZE = 4
const MAX_PCR = MAX_SELECT_SIZE * 8 - 1

const TPMS_PCR_SELECTION = struct({ hash: TPMI_ALG_HASH, pcrSelect: sizedBytes(u8, { max: MAX_SELECT_SIZE }) })

const bank: Codec<PcrBankSelection> = {
  read(reader) {
    const { hash, pcrSelect } = TPMS_PCR_SELECTION.read(reader)
    const pcrs: number[] = []
    for (let pcr = 0; pcr < 8 * pcrSelect.byteLength; pcr++) {
      if (((pcrSelect[pcr >> 3] ?? 0) >> (pcr & 7)) & 1) pcrs.push(pcr)
    }
    return pcrSelect.byteLength === USUAL_SELECT_SIZE
      ? { hash, pcrs }
      : { hash, pcrs, sizeofSelect: pcrSelect.byteLength }
  },
  write(writer, { hash, pcrs, sizeofSelect }) {
    const pcrSelect = Buffer.alloc(sizeofSelect ?? Math.max(USUAL_SELECT_SIZE, ...pcrs.map((pcr) => (pcr >> 3) + 1)))
    for (const pcr of pcrs) pcrSelect.writeUInt8(pcrSelect.readUInt8(pcr >> 3) | (1 << (pcr & 7)), pcr >> 3)
    TPMS_PCR_SELECTION.write(writer, { hash, pcrSelect })
  },
}

export const TPML_PCR_SELECTION: Codec<PcrSelection> = list(u32, bank, { max: MAX_BANKS })

const ITEM = /^(\d{1,2})(?:-(\d{1,2}))?$/

/**
 * Reads `sha256:0-7,10+sha1:0,1`: banks joined by `+`, registers by `,`, with ranges. `sha1:` and `sha1:none` select no
 * register of a bank, `sha1:all` selects 0 to 23. Throws `tpm.selection_syntax`.
 */
export function parsePcrSelection(text: string): PcrSelection {
  const banks = text.split('+').map(parseBank)
  if (new Set(banks.map(({ hash }) => hash)).size !== banks.length) throw syntaxError(text, 'a bank occurs twice')
  return banks
}

function parseBank(text: string): PcrBankSelection {
  const colon = text.indexOf(':')
  const hash = text.slice(0, Math.max(colon, 0))
  if (!isHashName(hash)) throw syntaxError(text, 'a bank is written as hash:registers')
  const registers = text.slice(colon + 1)
  if (registers === '' || registers === 'none') return { hash, pcrs: [] }
  if (registers === 'all') return { hash, pcrs: range(0, 23) }
  const pcrs = registers.split(',').flatMap((item) => parseItem(text, item))
  if (new Set(pcrs).size !== pcrs.length) throw syntaxError(text, 'a register occurs twice')
  return { hash, pcrs: pcrs.sort((a, b) => a - b) }
}

function parseItem(text: string, item: string): readonly number[] {
  const match = ITEM.exec(item)
  if (match === null) throw syntaxError(text, `${JSON.stringify(item)} is neither a register nor a range`)
  const first = Number(match[1])
  const last = match[2] === undefined ? first : Number(match[2])
  if (last < first || last > MAX_PCR) throw syntaxError(text, `${item} is not a range within 0 to ${MAX_PCR}`)
  return range(first, last)
}

function range(first: number, last: number): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}

function syntaxError(text: string, problem: string): TouchstoneError {
  return new TouchstoneError('tpm.selection_syntax', `PCR selection ${JSON.stringify(text)}: ${problem}`)
}

/** The canonical spelling, which tpm2-tools read too: `sha256:0,1,2+sha1:0,1`, and `sha1:none` for an empty bank. */
export function formatPcrSelection(selection: PcrSelection): string {
  return selection.map(({ hash, pcrs }) => `${hash}:${pcrs.length === 0 ? 'none' : pcrs.join(',')}`).join('+')
}

/** Whether both select the same registers of the same banks, whatever the order of banks. A repeated bank is never equal. */
export function equalSelections(a: PcrSelection, b: PcrSelection): boolean {
  const one = canonical(a)
  return one !== undefined && one === canonical(b)
}

/** The same without that register, in every bank. */
export function withoutRegister(selection: PcrSelection, pcr: number): PcrSelection {
  return selection.map((bank) => ({ ...bank, pcrs: bank.pcrs.filter((one) => one !== pcr) }))
}

function canonical(selection: PcrSelection): string | undefined {
  if (new Set(selection.map(({ hash }) => hash)).size !== selection.length) return undefined
  return formatPcrSelection(
    selection
      .map(({ hash, pcrs }) => ({ hash, pcrs: [...new Set(pcrs)].sort((x, y) => x - y) }))
      .sort((x, y) => (x.hash < y.hash ? -1 : 1)),
  )
}
