#!/bin/sh
# usage: record.sh WORKDIR
#
# Boots one virtual machine three times under measurement and keeps what its firmware, its kernel and its TPM recorded:
#
#   WORKDIR/boots/honest/          Secure Boot on, the command line an operator wrote
#   WORKDIR/boots/cmdline/         the same, but somebody edited the kernel command line in grub.cfg
#   WORKDIR/boots/secureboot-off/  the disk of `honest`, with Secure Boot switched off in the firmware, its keys still enrolled
#
# each with eventlog.bin (UEFI event log), ima.bin (IMA log), pcrs.json (all PCRs of all banks) and cmdline (/proc/cmdline).
#
# Debian 12 (amd64) packages needed on the host, all of them unprivileged to run:
#   swtpm swtpm-tools qemu-system-x86 ovmf cpio mtools dosfstools fdisk kmod
# The machine's own software (kernel, shim, GRUB, busybox, kmod and its libraries) is downloaded by apt-get and unpacked,
# never installed. `apt-get update` must have been run. Emulation alone is enough (no KVM): about a minute in all.
set -eu
[ $# -eq 1 ] || {
  sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$1"
work=$(CDPATH='' cd -- "$1" && pwd)
PATH=$PATH:/usr/sbin:/sbin

missing=''
for row in swtpm:swtpm swtpm_setup:swtpm-tools qemu-system-x86_64:qemu-system-x86 cpio:cpio mcopy:mtools \
  mkfs.vfat:dosfstools sfdisk:fdisk depmod:kmod; do
  command -v "${row%%:*}" >/dev/null 2>&1 || missing="$missing ${row#*:}"
done
[ -f /usr/share/OVMF/OVMF_CODE_4M.ms.fd ] || missing="$missing ovmf"
[ -z "$missing" ] || {
  printf 'error: Debian packages are missing:%s\nhint: apt-get install%s\n' "$missing" "$missing" >&2
  exit 1
}

# What the operator boots: a read-only root in memory, measured (IMA), locked down, signed modules only.
operator='root=/dev/ram0 ro console=ttyS0 panic=10 ima_policy=tcb lockdown=integrity module.sig_enforce=1'
# What the intruder makes of it: no lockdown, unsigned modules, a shell for init and a root shell on a spare console.
intruder='root=/dev/ram0 ro console=ttyS0 panic=10 ima_policy=tcb lockdown=none module.sig_enforce=0 init=/bin/sh systemd.debug-shell=1'

"$here/fetch.sh" "$work"
"$here/initramfs.sh" "$work"
"$here/disk.sh" "$work" disk-operator.img "$operator"
"$here/disk.sh" "$work" disk-intruder.img "$intruder"
cp /usr/share/OVMF/OVMF_VARS_4M.ms.fd "$work/vars-on.fd"
"$here/secure-boot-off.sh" "$work/vars-on.fd" "$work/vars-off.fd"

# One TPM for all three boots: they are boots of one machine.
rm -rf "$work/tpm"
mkdir "$work/tpm"
swtpm_setup --tpm2 --tpmstate "$work/tpm" --pcr-banks sha1,sha256,sha384 --createek --overwrite --logfile "$work/tpm-setup.log" >/dev/null

"$here/boot.sh" "$work" honest disk-operator.img vars-on.fd
"$here/boot.sh" "$work" cmdline disk-intruder.img vars-on.fd
"$here/boot.sh" "$work" secureboot-off disk-operator.img vars-off.fd
