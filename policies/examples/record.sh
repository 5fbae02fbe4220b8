#!/bin/sh
# Records the example evidence: one stand-in TPM measures each recorded boot, and an attestation key that is a child of its
# endorsement key quotes it. Needs swtpm and tpm2-tools; writes beside itself. Keys and quotes are new ones each time.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
box="$work/box"
stand_in() { "$root/scripts/node" "$root/swtpm/main.ts" "$@"; }
trap 'stand_in stop "$box" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

nonce=00112233445566778899aabbccddeeff
pcrs=sha256:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
export TPM2TOOLS_TCTI="swtpm:path=$box/tpm/sock"
cd "$work"
stand_in manufacture "$box" --vendor-ca "$work/vendor" --model "Edge One" --serial E1-0001 >/dev/null

for boot in honest cmdline secureboot-off; do
  stand_in start "$box" --boot "$boot" >/dev/null
  tpm2_createek -Q -G rsa -c ek.ctx -u ek.pub
  if [ "$boot" = honest ]; then
    tpm2_createak -Q -C ek.ctx -G ecc -g sha256 -s ecdsa -c ak.ctx -u ak.pub -r ak.priv -n ak.name
  else
    tpm2_startauthsession -Q --policy-session -S session.ctx
    tpm2_policysecret -Q -S session.ctx -c e
    tpm2_load -Q -C ek.ctx -P session:session.ctx -u ak.pub -r ak.priv -c ak.ctx
    tpm2_flushcontext session.ctx
  fi
  tpm2_flushcontext -t
  mkdir -p "$here/$boot"
  tpm2_quote -Q -c ak.ctx -l "$pcrs" -q "$nonce" -g sha256 -m "$here/$boot/quote.msg" -s "$here/$boot/quote.sig" >/dev/null
  tpm2_flushcontext -t
  stand_in stop "$box" >/dev/null
done
cp ak.pub ek.pub "$here"
