#!/bin/sh
# usage: boot.sh WORKDIR NAME DISK VARS
# Boots the disk WORKDIR/DISK with a copy of the variable store WORKDIR/VARS and the TPM in WORKDIR/tpm, and stores the records
# in WORKDIR/boots/NAME. Everything else that the machine left (console, kernel facts) stays in WORKDIR/runs/NAME.
set -eu
work=$1
name=$2
run=$work/runs/$name
out=$work/boots/$name
rm -rf "$run" "$out"
mkdir -p "$run/records" "$out"
cp "$work/$4" "$run/vars.fd"

# Relative names: the path of a Unix socket has room for 107 bytes only.
cd "$run"
swtpm socket --tpm2 --tpmstate "dir=$work/tpm" --ctrl type=unixio,path=tpm.sock --log file=swtpm.log --terminate &
swtpm=$!
trap 'kill $swtpm 2>/dev/null || :' EXIT
until [ -S tpm.sock ]; do
  kill -0 $swtpm
  sleep 0.1
done

# The machine type is pinned because its version decides on measured tables (ACPI, SMBIOS).
timeout 600 qemu-system-x86_64 \
  -machine pc-q35-7.2,smm=on -accel tcg -cpu max -smp 1 -m 1024 -nodefaults -display none -monitor none -no-reboot \
  -global driver=cfi.pflash01,property=secure,value=on \
  -drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.ms.fd \
  -drive if=pflash,unit=1,format=raw,file=vars.fd \
  -chardev socket,id=tpm,path=tpm.sock -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0 \
  -drive "if=none,id=disk,format=raw,readonly=on,file=$work/$3" -device virtio-blk-pci,drive=disk,bootindex=1 \
  -serial file:console.log -serial file:serial.log
wait $swtpm || :

sed -n '/^-----BEGIN RECORDS-----$/,/^-----END RECORDS-----$/{/^-----/!p}' serial.log | base64 -d | tar xf - -C records
cmp records/ima.bin records/ima-after.bin || {
  printf 'error: IMA measured something while %s was being recorded\nhint: compare ima.bin and ima-after.bin in %s\n' "$name" "$run/records" >&2
  exit 1
}
cp records/eventlog.bin records/ima.bin records/cmdline "$out/"
awk '
  { if ($1 != bank) { printf "%s\n  \"%s\": {\n", bank == "" ? "{" : "\n  },", $1; bank = $1; comma = "" }
    printf "%s    \"%d\": \"%s\"", comma, $2, tolower($3); comma = ",\n" }
  END { print "\n  }\n}" }
' records/pcrs.txt >"$out/pcrs.json"
wc -c "$out"/* | sed '$d'
