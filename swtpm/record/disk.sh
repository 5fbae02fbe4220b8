#!/bin/sh
# usage: disk.sh WORKDIR NAME CMDLINE
# Builds the disk WORKDIR/NAME: one EFI system partition with shim, GRUB, the kernel, the initramfs, and a grub.cfg that boots
# the kernel with CMDLINE. The partition table is measured (PCR 5), so its identifiers are fixed.
set -eu
work=$1
disk=$work/$2
version=$(ls "$work/root/lib/modules")
rm -f "$disk" "$disk.esp"

# 64 MiB: the partition begins at 1 MiB, and the last MiB is left to the second partition table.
truncate -s 64M "$disk"
sfdisk -q "$disk" <<TABLE
label: gpt
label-id: 3b9f8a52-7d10-4c6e-9b1f-5e0c2a7d4410
start=2048, size=126976, type=U, name=esp, uuid=c1d7a0e4-52f3-4a8b-8f66-0d9be3f17a21
TABLE
truncate -s 62M "$disk.esp"
mkfs.vfat --invariant -F 32 -n ESP "$disk.esp" >/dev/null

# `linux` of Debian's GRUB enters the kernel's EFI stub only when Secure Boot is on, and without the stub the kernel has no
# event log to show. `linuxefi` enters it always.
cat >"$disk.cfg" <<CFG
set timeout=0
menuentry 'edge node' {
  search --no-floppy --set=root --file /boot/vmlinuz-$version
  linuxefi /boot/vmlinuz-$version $3
  initrdefi /boot/initrd.img-$version
}
CFG

put() { mcopy -i "$disk.esp" "$1" "::$2"; }
mmd -i "$disk.esp" ::/EFI ::/EFI/BOOT ::/EFI/debian ::/boot
put "$work/root/usr/lib/shim/shimx64.efi.signed" /EFI/BOOT/BOOTX64.EFI
put "$work/root/usr/lib/shim/mmx64.efi.signed" /EFI/BOOT/mmx64.efi
put "$work/root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" /EFI/BOOT/grubx64.efi
put "$disk.cfg" /EFI/debian/grub.cfg
put "$work/root/boot/vmlinuz-$version" "/boot/vmlinuz-$version"
put "$work/initrd.img" "/boot/initrd.img-$version"
dd if="$disk.esp" of="$disk" bs=1M seek=1 conv=notrunc status=none
rm "$disk.esp"
