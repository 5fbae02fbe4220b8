#!/bin/sh
# usage: initramfs.sh WORKDIR
# Builds WORKDIR/initrd.img from the unpacked packages: busybox, kmod with its libraries, a few signed modules, and `guest-init`
# as /init. The same packages give the same bytes (fixed times, owner and order), so its measurement can be reproduced.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$1
from=$work/root
to=$work/initramfs
version=$(ls "$from/lib/modules")

# Modules that an edge node has use for: overlaid and verified images, a VPN, and a firewall.
modules='overlay squashfs dm_verity wireguard nf_tables'

rm -rf "$to"
mkdir -p "$to/usr/bin" "$to/usr/sbin" "$to/usr/lib/x86_64-linux-gnu" "$to/usr/lib64" "$to/etc/modprobe.d" "$to/proc" "$to/sys" "$to/dev" "$to/run"
for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$to/$dir"; done

cp "$from/bin/busybox" "$to/usr/bin/busybox"
for applet in sh mount mkdir cat hostname uname base64 tar stty sleep poweroff; do ln -s busybox "$to/usr/bin/$applet"; done

cp "$from/bin/kmod" "$to/usr/bin/kmod"
ln -s ../bin/kmod "$to/usr/sbin/modprobe"
for library in libkmod.so.2 liblzma.so.5 libzstd.so.1 libcrypto.so.3 libc.so.6 ld-linux-x86-64.so.2; do
  file=$(find "$from/lib" "$from/usr/lib" -name "$library" | head -n 1)
  cp -L "$file" "$to/usr/lib/x86_64-linux-gnu/$library"
done
ln -s ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$to/usr/lib64/ld-linux-x86-64.so.2"

# Each module with those it needs, as modprobe would load them.
mkdir -p "$to/usr/lib/modules/$version"
cp "$from/lib/modules/$version/modules.order" "$from/lib/modules/$version/modules.builtin" "$from/lib/modules/$version/modules.builtin.modinfo" \
  "$to/usr/lib/modules/$version/"
depmod -b "$from" "$version"
for module in $modules; do
  modprobe -d "$from" -S "$version" --show-depends "$module" | sed -n "s|^insmod $from/\([^ ]*\).*|\1|p"
done | sort -u | while read -r path; do
  mkdir -p "$to/usr/$(dirname "$path")"
  cp "$from/$path" "$to/usr/$path"
done
depmod -b "$to" "$version"

cp "$here/guest-init" "$to/init"
chmod 755 "$to/init"
echo edge-node-01 >"$to/etc/hostname"
printf '%s\n' $modules >"$to/etc/modules"
echo 'blacklist pcspkr' >"$to/etc/modprobe.d/edge.conf"

find "$to" -exec touch -h -d @0 {} +
chmod -R u=rwX,go=rX "$to"
(cd "$to" && find . -print | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet) | gzip -9n >"$work/initrd.img"
