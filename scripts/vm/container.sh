# Runs in a guest: a TPM of its own for a container, through /dev/vtpmx. The key of its state is sealed by the guest's TPM and
# goes from there into swtpm through a pipe.
set -e
export TPM2TOOLS_TCTI=device:/dev/tpmrm0 TSS2_LOG=all+none
store=/run/container-tpm
mkdir -p "$store/state"
cd "$store"

tpm2_createprimary -Q -C o -c root.ctx
tpm2_getrandom 32 | tpm2_create -Q -C root.ctx -i - -u key.pub -r key.priv
tpm2_load -Q -C root.ctx -u key.pub -r key.priv -c key.ctx
start() {
  swtpm chardev --tpm2 --vtpm-proxy --tpmstate "dir=$store/state" --key fd=0,mode=aes-256-cbc,format=binary --pid "file=$store/pid" "$@"
}
tpm2_unseal -c key.ctx | start --daemon
# The kernel starts the TPM before it shows it.
while [ ! -e /sys/class/tpmrm/tpmrm1/dev ]; do sleep 0.1; done
IFS=: read -r major minor </sys/class/tpmrm/tpmrm1/dev
export major minor

cat >inside <<'INSIDE'
cd /tmp
echo "devices $(ls /dev | tr '\n' ' ')"
echo "random $(tpm2_getrandom --hex 16)"
tpm2_createprimary -Q -C o -c root.ctx
tpm2_create -Q -C root.ctx -u key.pub -r key.priv
echo "created $(wc -c <key.priv)"
echo "root $(tpm2_readpublic -c root.ctx -n name -Q && od -An -tx1 -v name | tr -d ' \n')"
INSIDE

cat >around <<'AROUND'
set -e
here=/run/container
mkdir "$here"
mount -t tmpfs container "$here"
for directory in bin usr lib lib64; do
  mkdir "$here/$directory"
  mount -o bind "/$directory" "$here/$directory"
done
mkdir "$here/dev" "$here/tmp"
mknod -m 666 "$here/dev/null" c 1 3
mknod -m 600 "$here/dev/tpmrm0" c "$major" "$minor"
cp inside "$here/tmp/inside"
exec chroot "$here" sh -e /tmp/inside
AROUND
unshare -m -p -n -i -u -f sh ./around

tpm2_readpublic -c root.ctx -n name -Q
echo "guest $(od -An -tx1 -v name | tr -d ' \n')"

# The state is nothing without the key.
kill "$(cat pid)"
while [ -e /sys/class/tpmrm/tpmrm1 ]; do sleep 0.1; done
if head -c 32 /dev/zero | start --log "file=$store/log"; then exit 1; fi
echo "refused $(grep -ci 'hmac\|decrypt' log)"
