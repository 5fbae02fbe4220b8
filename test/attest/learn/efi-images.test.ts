import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import fc from 'fast-check'
import { authenticodeDigest, readPeImage } from '../../../src/attest/learn/pe-image.ts'
import { BOOT_PHASES, predictPcr11, readUnifiedKernel } from '../../../src/attest/learn/unified-kernel.ts'
import { isTouchstoneError } from '../../../src/core/index.ts'

const STUB = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub'
const LOADER = '/usr/lib/systemd/boot/efi/systemd-bootx64.efi'

function folder(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'touchstone-efi-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** As another implementation of Authenticode has it. */
function pesign(file: string): string {
  return execFileSync('pesign', ['-h', '-i', file])
    .toString()
    .replace(/^hash: /, '')
    .trim()
}

const digestOf = (bytes: Buffer, hash = 'sha256') => authenticodeDigest(bytes, readPeImage(bytes), hash).toString('hex')

test('the digest of an EFI executable is that of pesign', () => {
  for (const file of [STUB, LOADER]) assert.equal(digestOf(readFileSync(file)), pesign(file), file)
})

test('bytes behind the sections count, as firmware counts them', (t) => {
  const file = join(folder(t), 'appended.efi')
  writeFileSync(file, Buffer.concat([readFileSync(LOADER), Buffer.alloc(64, 0x5a)]))
  assert.equal(digestOf(readFileSync(file)), pesign(file))
})

/** A unified kernel image, put together by binutils. */
function unified(t: TestContext) {
  const directory = folder(t)
  const parts = {
    osrel: Buffer.from('NAME=edge\nVERSION_ID=1\n'),
    cmdline: Buffer.from('root=/dev/vda1 ro quiet'),
    initrd: Buffer.alloc(5003, 0x11),
    linux: readFileSync(LOADER),
    // Not measured by this version of the stub.
    uname: Buffer.from('6.1.0'),
  }
  const file = join(directory, 'uki.efi')
  const options = Object.entries(parts).flatMap(([name, content], at) => {
    writeFileSync(join(directory, name), content)
    const address = `0x${(0x100000 * (at + 1)).toString(16)}`
    return [`--add-section=.${name}=${join(directory, name)}`, `--change-section-vma=.${name}=${address}`]
  })
  execFileSync('objcopy', [...options, STUB, file])
  return { directory, bytes: readFileSync(file) }
}

test('PCR 11 of a unified kernel image is what systemd-measure computes, after each phase of the boot', (t) => {
  const { directory, bytes } = unified(t)
  const image = readUnifiedKernel(readPeImage(bytes))
  assert.ok(image !== undefined)
  assert.deepEqual(
    image.measured.map(({ name }) => name),
    ['.linux', '.osrel', '.cmdline', '.initrd'],
  )
  for (const bank of ['sha1', 'sha256', 'sha384']) {
    const phases = BOOT_PHASES.map((_, at) => `--phase=${BOOT_PHASES.slice(0, at + 1).join(':')}`)
    const sections = ['linux', 'osrel', 'cmdline', 'initrd'].map((name) => `--${name}=${join(directory, name)}`)
    const said = execFileSync('/usr/lib/systemd/systemd-measure', [
      'calculate',
      `--bank=${bank}`,
      '--phase=',
      ...phases,
      ...sections,
    ])
    const values = [...said.toString().matchAll(/=([0-9a-f]+)$/gm)].map(([, value]) => value)
    assert.deepEqual(
      predictPcr11(image, bank).map(({ value }) => value.toString('hex')),
      values,
      bank,
    )
  }
})

test('what is no unified kernel is none', () => {
  assert.equal(readUnifiedKernel(readPeImage(readFileSync(LOADER))), undefined)
})

test('a text is no EFI executable', () => {
  assert.throws(() => readPeImage(Buffer.from('#!/bin/sh\n')), { code: 'learn.not_pe' })
  assert.throws(() => readPeImage(Buffer.alloc(0)), { code: 'learn.not_pe' })
})

test('a cut or changed header gives an image or a coded error, and never more than the file to hash', () => {
  const good = readFileSync(LOADER)
  fc.assert(
    fc.property(fc.nat({ max: 1024 }), fc.nat({ max: 255 }), fc.nat({ max: good.byteLength }), (at, value, size) => {
      const bytes = Buffer.from(good.subarray(0, size))
      if (at < bytes.byteLength) bytes.writeUInt8(value, at)
      try {
        const { hashed } = readPeImage(bytes)
        assert.ok(hashed.reduce((sum, [from, to]) => sum + to - from, 0) <= bytes.byteLength)
        for (const [from, to] of hashed) assert.ok(from <= to && to <= bytes.byteLength)
      } catch (error) {
        assert.ok(isTouchstoneError(error, 'learn.not_pe'))
      }
    }),
    { numRuns: 500 },
  )
})
