/**
 * Tags under which the kernel's EFI stub (drivers/firmware/efi/libstub), systemd-boot and sd-stub
 * (TPM2_PCR_MEASUREMENTS.md) log what they read: the event has a label, and its digest is of the thing itself.
 */
const TAGS: ReadonlyMap<number, string> = new Map([
  [0x8f3b22ec, 'initrd'],
  [0x8f3b22ed, 'load options'],
  [0xf5bc582a, 'loader.conf'],
  [0x6c46f751, 'device tree add-on'],
  [0x49dffe0f, 'initrd add-on'],
  [0xdac08e1a, 'microcode add-on'],
  [0x13aed6db, 'profile of the unified kernel image'],
  [0xd5cb7cbc, 'SMBIOS system information'],
  [0xe0d47bc8, 'SMBIOS baseboard'],
  [0xc0b3bd23, 'SMBIOS OEM strings'],
])

export function linuxTagName(tag: number): string | undefined {
  return TAGS.get(tag)
}

/**
 * Sections of a unified kernel image in the order in which sd-stub measures them into PCR 11: for each, the name and then
 * the content (UAPI.5). `.pcrsig` signs the outcome and is not measured.
 */
export const UKI_SECTIONS = [
  '.linux',
  '.osrel',
  '.cmdline',
  '.initrd',
  '.ucode',
  '.splash',
  '.dtb',
  '.uname',
  '.sbat',
  '.pcrpkey',
  '.profile',
  '.dtbauto',
  '.hwids',
  '.efifw',
] as const
