import { guidText } from './guid.ts'
import { labelText } from './text.ts'

const MAX_HEX = 32
/** Firmware versions that begin with a text and go on with a structure of the vendor's. */
const LEADING_TEXT = /^[\x20-\x7e]{3,64}(?=\0)/

/** Text where the payload is text, else the first bytes in hex. */
export function plainText(data: Buffer): string {
  if (data.byteLength === 0) return ''
  const text = labelText(data)
  if (text !== undefined) return text
  if (data.byteLength <= 2 && data.every((byte) => byte === 0)) return '(empty text)'
  if (data.byteLength === 4) return `0x${data.readUInt32LE(0).toString(16).padStart(8, '0')}`
  const leading = LEADING_TEXT.exec(data.toString('latin1', 0, 65))?.[0]
  if (leading !== undefined) return gceNonHostInfo(leading, data) ?? `${leading}… (${data.byteLength} bytes)`
  if (data.byteLength === 16) return guidText(data)
  const hex = data.toString('hex', 0, MAX_HEX)
  return data.byteLength > MAX_HEX ? `${hex}… (${data.byteLength} bytes)` : hex
}

const TECHNOLOGIES = ['none', 'AMD SEV', 'AMD SEV-ES', 'Intel TDX', 'AMD SEV-SNP']
const GCE_NON_HOST_INFO = 'GCE NonHostInfo'

/** What Google's virtual firmware says of the confidential computing around it, one byte behind its signature. */
function gceNonHostInfo(leading: string, data: Buffer): string | undefined {
  const technology = data[GCE_NON_HOST_INFO.length + 1]
  if (leading !== GCE_NON_HOST_INFO || technology === undefined) return undefined
  return `${leading}: confidential computing ${TECHNOLOGIES[technology] ?? `type ${technology}`}`
}
