import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { readBootImage } from '../../../src/attest/learn/boot-image.ts'

const STUB = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub'
const LOADER = '/usr/lib/systemd/boot/efi/systemd-bootx64.efi'

/** A unified kernel image, put together by binutils; its "kernel" is a boot loader. */
function unified(t: TestContext, parts: Readonly<Record<string, string>>): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'touchstone-uki-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const options = Object.entries(parts).flatMap(([name, content], at) => {
    writeFileSync(join(directory, name), content, 'latin1')
    return [
      `--add-section=.${name}=${join(directory, name)}`,
      `--change-section-vma=.${name}=0x${(0x100000 * (at + 1)).toString(16)}`,
    ]
  })
  execFileSync('objcopy', [...options, STUB, join(directory, 'uki.efi')])
  return readFileSync(join(directory, 'uki.efi'))
}

const linux = readFileSync(LOADER, 'latin1')
const OSREL = 'ID=edge\nPRETTY_NAME="Edge 14.2"\n'

test('an image is called by its file and the version that its vendor gives it', () => {
  assert.match(readBootImage('systemd-bootx64.efi', readFileSync(LOADER), 'sha256').label, /^systemd-bootx64\.efi 252/)
})

test('a unified kernel is called by its system and kernel', (t) => {
  const {
    label,
    isKernel,
    unified: inside,
  } = readBootImage('edge.efi', unified(t, { osrel: OSREL, linux, uname: '6.1.0' }), 'sha256')
  assert.deepEqual([label, isKernel], ['edge.efi Edge 14.2, 6.1.0', true])
  const kernel = execFileSync('pesign', ['-h', '-i', LOADER]).toString().replace('hash: ', '').trim()
  assert.equal(inside?.kernel, kernel)
})

test('what the stub changes before it hands it over is not predicted', (t) => {
  const of = (parts: Readonly<Record<string, string>>) =>
    readBootImage('x', unified(t, { linux, ...parts }), 'sha256').unified
  assert.deepEqual(of({ cmdline: 'quiet', initrd: 'aaaa' })?.handedOver.length, 2)
  assert.deepEqual(of({ cmdline: 'quiet', initrd: 'aaaa' })?.unpredicted, [])
  assert.deepEqual(of({ cmdline: 'quiet', initrd: 'aaaaa' })?.handedOver.length, 3)
  assert.match(of({ cmdline: 'quiet\n' })?.unpredicted.join() ?? '', /line ends/)
  assert.match(of({ initrd: 'aaaa', pcrsig: '{}' })?.unpredicted.join() ?? '', /\.pcrsig/)
})

test('a kernel that is no EFI executable has no digest in PCR 4', (t) => {
  const { unified: inside } = readBootImage('x', unified(t, { linux: 'plain' }), 'sha256')
  assert.equal(inside?.kernel, undefined)
  assert.match(inside?.unpredicted.join() ?? '', /no EFI stub/)
})
