import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import test from 'node:test'
import { kindOf } from '../../../src/attest/learn/kinds.ts'
import { recordedBoot } from '../case.ts'
import { manifest, write } from './manifest-bytes.ts'
import { recordedConfiguration } from './recorded-configuration.ts'

const KINDS: readonly (readonly [string, Uint8Array, string])[] = [
  ['an event log', recordedBoot('honest').eventLog, 'log'],
  ['an EFI executable', readFileSync('/usr/lib/systemd/boot/efi/systemd-bootx64.efi'), 'efi'],
  ['an initrd, packed', gzipSync('x'), 'initrd'],
  ['an initrd, plain', Buffer.from('070701000000'), 'initrd'],
  ['a GRUB configuration', Buffer.from(recordedConfiguration('honest')), 'grub'],
  ['a squashfs image', Buffer.from('hsqs0000'), 'rootfs'],
  ['a package', Buffer.from('!<arch>\ndebian-binary   '), 'packages'],
  ['a manifest', manifest('a', []), 'corim'],
  ['a text', Buffer.from('hello\n'), 'log'],
  ['some CBOR', write(new Map([[0, 'x']])), 'log'],
  ['nothing', Buffer.alloc(0), 'log'],
]
for (const [what, bytes, kind] of KINDS) {
  test(`${what} is taken for: ${kind}`, () => {
    assert.equal(kindOf(bytes), kind)
  })
}
