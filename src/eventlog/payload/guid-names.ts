/** GUIDs by which people know tables of the firmware, drivers and vendors: UEFI 2.10 section 4.6, EDK II. */
const NAMES: ReadonlyMap<string, string> = new Map([
  // configuration tables
  ['eb9d2d30-2d88-11d3-9a16-0090273fc14d', 'ACPI 1.0'],
  ['8868e871-e4f1-11d3-bc22-0080c73c8881', 'ACPI'],
  ['eb9d2d31-2d88-11d3-9a16-0090273fc14d', 'SMBIOS'],
  ['f2fd1544-9794-4a2c-992e-e5bbcf20e394', 'SMBIOS 3'],
  ['eb9d2d32-2d88-11d3-9a16-0090273fc14d', 'SAL'],
  ['eb9d2d2f-2d88-11d3-9a16-0090273fc14d', 'MPS'],
  ['b1b621d5-f19c-41a5-830b-d9152c69aae0', 'device tree'],
  ['dcfa911d-26eb-469f-a220-38b7dc461220', 'memory attributes'],
  ['b122a263-3661-4f68-9929-78f8b0d62180', 'firmware resources (ESRT)'],
  ['eb66918a-7eef-402a-842e-931d21c38ae9', 'runtime properties'],
  ['36122546-f7e7-4c8f-bd9b-eb8525b50c0b', 'conformance profiles'],
  ['7739f24c-93d7-11d4-9a3a-0090273fc14d', 'hand-off blocks'],
  ['05ad34ba-6f02-4214-952e-4da0398e2bb9', 'DXE services'],
  ['3fdda605-a76e-4f46-ad29-12f4531b3d08', 'processors'],
  ['93bb96af-b9f2-4eb8-9462-e0ba74564236', 'OVMF'],
  // vendors of variables
  ['8be4df61-93ca-11d2-aa0d-00e098032b8c', 'EFI global'],
  ['d719b2cb-3d3a-4596-a3bc-dad00e67656f', 'image security database'],
  ['605dab50-e046-4300-abb6-3dd810dd8b23', 'shim'],
  ['4a67b082-0a4c-41cf-b6c7-440b29bb8c4f', 'systemd boot loader'],
  ['77fa9abd-0359-4d32-bd60-28f4e78f784b', 'Microsoft'],
])

/** A name where there is one, else the GUID itself. */
export function guidName(guid: string): string {
  return NAMES.get(guid) ?? guid
}
