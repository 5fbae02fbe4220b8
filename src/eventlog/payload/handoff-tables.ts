import { guidText } from './guid.ts'
import { guidName } from './guid-names.ts'
import { smallLength } from './variable.ts'

const ENTRY = 24
const MAX_SHOWN = 16

/** The GUIDs of UEFI_HANDOFF_TABLE_POINTERS: Platform Firmware Profile 1.06 section 10.2.2. Addresses are left out. */
export function decodeHandoffTables(data: Buffer, at = 0): string[] | undefined {
  const size = data.byteLength - at - 8
  if (size < 0 || smallLength(data, at) !== size / ENTRY) return undefined
  const guids: string[] = []
  for (let table = at + 8; table < data.byteLength; table += ENTRY) guids.push(guidText(data, table))
  return guids
}

export function handoffText(guids: readonly string[]): string {
  const shown = guids.slice(0, MAX_SHOWN).map(guidName)
  const more = guids.length > MAX_SHOWN ? [`${guids.length - MAX_SHOWN} more`] : []
  return `${guids.length === 1 ? 'table' : 'tables'} ${[...shown, ...more].join(', ')}`
}
