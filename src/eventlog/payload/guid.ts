/** The canonical text of an EFI_GUID at `at`: the first three fields are little endian. The caller has checked bounds. */
export function guidText(bytes: Buffer, at = 0): string {
  const hex = bytes.toString('hex', at, at + 16)
  const swapped = hex.slice(6, 8) + hex.slice(4, 6) + hex.slice(2, 4) + hex.slice(0, 2)
  return `${swapped}-${hex.slice(10, 12)}${hex.slice(8, 10)}-${hex.slice(14, 16)}${hex.slice(12, 14)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** GUIDs that logs of real machines carry: vendors of variables. */
export const EFI_GLOBAL_VARIABLE = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
export const EFI_IMAGE_SECURITY_DATABASE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
export const SHIM_LOCK = '605dab50-e046-4300-abb6-3dd810dd8b23'
