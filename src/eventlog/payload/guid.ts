/** GUIDs that logs of real machines carry: vendors of variables. */
export const EFI_GLOBAL_VARIABLE = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
export const EFI_IMAGE_SECURITY_DATABASE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
export const SHIM_LOCK = '605dab50-e046-4300-abb6-3dd810dd8b23'

/** Those that nearly every variable has, by their first four bytes: the text that is there already need not be made. */
const KNOWN: ReadonlyMap<number, { readonly bytes: Buffer; readonly text: string }> = new Map(
  [EFI_GLOBAL_VARIABLE, EFI_IMAGE_SECURITY_DATABASE, SHIM_LOCK].map((text) => {
    const bytes = guidBytes(text)
    return [bytes.readUInt32LE(0), { bytes, text }]
  }),
)

function guidBytes(text: string): Buffer {
  const [first = '', second = '', third = '', ...rest] = text.split('-')
  const swapped = [first, second, third].map((field) => Buffer.from(field, 'hex').reverse())
  return Buffer.concat([...swapped, Buffer.from(rest.join(''), 'hex')])
}

/** The canonical text of an EFI_GUID at `at`: the first three fields are little endian. The caller has checked bounds. */
export function guidText(bytes: Buffer, at = 0): string {
  const known = KNOWN.get(bytes.readUInt32LE(at))
  if (known !== undefined && bytes.compare(known.bytes, 0, 16, at, at + 16) === 0) return known.text
  const hex = bytes.toString('hex', at, at + 16)
  const swapped = hex.slice(6, 8) + hex.slice(4, 6) + hex.slice(2, 4) + hex.slice(0, 2)
  return `${swapped}-${hex.slice(10, 12)}${hex.slice(8, 10)}-${hex.slice(14, 16)}${hex.slice(12, 14)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
