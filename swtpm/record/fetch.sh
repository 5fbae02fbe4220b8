#!/bin/sh
# usage: fetch.sh WORKDIR
# Downloads the machine's software as Debian packages and unpacks each into WORKDIR/root.
# WORKDIR/packages.txt lists package, version and SHA-256 of what was used.
set -eu
work=$1

# The meta-package depends on the newest signed kernel by its full name. The cloud flavour is small and has the TPM drivers built in.
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p')
[ -n "$kernel" ] || {
  printf 'error: no kernel package found\nhint: apt-get update\n' >&2
  exit 1
}

rm -rf "$work/debs" "$work/root"
mkdir "$work/debs" "$work/root"
(cd "$work/debs" && apt-get -q download "$kernel" shim-signed shim-helpers-amd64-signed grub-efi-amd64-signed \
  busybox-static kmod libkmod2 liblzma5 libzstd1 libssl3 libc6) >"$work/fetch.log" 2>&1

: >"$work/packages.txt"
for deb in "$work"/debs/*.deb; do
  dpkg-deb -x "$deb" "$work/root"
  printf '%s %s\n' "$(dpkg-deb -W --showformat='${Package} ${Version}' "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)" >>"$work/packages.txt"
done
