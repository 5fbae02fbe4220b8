#!/bin/sh
# usage: secure-boot-off.sh VARS-IN VARS-OUT
# Copies an OVMF variable store with SecureBootEnable = 0. That is what the firmware's setup screen does when somebody unticks
# "Attempt Secure Boot": the enrolled keys (PK, KEK, db, dbx) stay where they are.
#
# A variable is an AUTHENTICATED_VARIABLE_HEADER of 60 bytes (EDK II, MdeModulePkg/Include/Guid/VariableFormat.h), its name in
# UTF-16 with a NUL, and its data. Byte 2 of the header is the state (0x3f: in use); bytes 40-43 are the data's size.
set -eu
name='S\x00e\x00c\x00u\x00r\x00e\x00B\x00o\x00o\x00t\x00E\x00n\x00a\x00b\x00l\x00e\x00\x00\x00'
name_bytes=34

byte_at() { od -An -tx1 -j "$2" -N "$3" "$1" | tr -d ' \n'; }

cp "$1" "$2"
found=0
for offset in $(LC_ALL=C grep -obUaP "$name" "$1" | cut -d: -f1); do
  header=$((offset - 60))
  [ "$(byte_at "$1" $((header + 2)) 1)" = 3f ] || continue
  [ "$(byte_at "$1" $((header + 40)) 4)" = 01000000 ] || continue
  [ "$(byte_at "$1" $((offset + name_bytes)) 1)" = 01 ] || continue
  printf '\000' | dd of="$2" bs=1 seek=$((offset + name_bytes)) conv=notrunc status=none
  found=$((found + 1))
done
[ "$found" -eq 1 ] || {
  printf 'error: %s holds %d variables SecureBootEnable = 1, not one\nhint: use a store with enrolled keys, such as OVMF_VARS_4M.ms.fd\n' "$1" "$found" >&2
  exit 1
}
