import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { z } from 'zod'
import { manifest, signManifest } from '../attest/learn/manifest-bytes.ts'
import { recordedConfiguration } from '../attest/learn/recorded-configuration.ts'
import { run } from './run-tool.ts'
import { touchstone } from './run-touchstone.ts'

const recorded = join(import.meta.dirname, '..', '..', 'swtpm', 'boots')
const log = (boot: string) => join(recorded, boot, 'eventlog.bin')
const LOADER = '/usr/lib/systemd/boot/efi/systemd-bootx64.efi'

async function scratch(t: { after(work: () => Promise<void>): void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ts-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Learns into a file and checks what was written. */
async function learned(folder: string, ...args: readonly string[]) {
  const file = join(folder, 'learned.yaml')
  const { code, stderr } = await touchstone('policy', 'learn', ...args, '-o', file)
  assert.equal(code, 0, stderr)
  const checked = await touchstone('policy', 'check', file)
  assert.equal(checked.code, 0, checked.stderr)
  return { text: await readFile(file, 'utf8'), stderr, warnings: checked.stderr }
}

async function refused(...args: readonly string[]) {
  const { code, stdout, stderr } = await touchstone('policy', 'learn', ...args, '--json')
  assert.match(stderr, /^error: .*\nhint: /)
  const { error } = z.object({ error: z.object({ code: z.string(), message: z.string() }) }).parse(JSON.parse(stdout))
  return { exit: code, code: error.code, message: error.message }
}

test('one log is learned without a word beside the policy', async () => {
  const { code, stdout, stderr } = await touchstone('policy', 'learn', '--from', log('honest'))
  assert.equal(code, 0)
  assert.equal(stderr, '')
  assert.match(stdout, /^# Accepts one boot exactly\./)
})

test('several logs give one policy, and stderr says what differs and what was left out', async () => {
  const { code, stdout, stderr } = await touchstone(
    'policy',
    'learn',
    '--from',
    log('honest'),
    log('cmdline'),
    '--name',
    'two',
  )
  assert.equal(code, 0)
  assert.equal(
    stderr,
    [
      'note: 28 rules from 2 boots, sha256',
      'note: variants: kernel.commandLine: 2 different ones in 2 boots',
      'note: variants: grub.commands: 2 lists in 2 boots, 8 of 12 values in all of them',
      'note: variants: boot.files: 2 lists in 2 boots, 2 of 4 values in all of them',
      'note: left out: pcr.8: 2 values in 2 boots: kernel.commandLine, grub.commands',
      'note: left out: pcr.9: 2 values in 2 boots: boot.files',
      '',
    ].join('\n'),
  )
  assert.match(stdout, /^# Learned from: .*honest\/eventlog\.bin$/m)
})

test('what was learned is there for programs', async () => {
  const { stdout } = await touchstone('policy', 'learn', '--from', log('honest'), log('cmdline'), '--json')
  const answer = z
    .object({
      kind: z.literal('log'),
      bank: z.literal('sha256'),
      documents: z.array(z.object({ kind: z.string(), name: z.string(), text: z.string() })),
      rules: z.array(z.string()),
      variants: z.array(z.object({ fact: z.string(), why: z.string() })),
      leftOut: z.array(z.object({ fact: z.string(), why: z.string() })),
      unjudged: z.array(z.number()),
    })
    .parse(JSON.parse(stdout))
  assert.deepEqual(
    answer.leftOut.map(({ fact }) => fact),
    ['pcr.8', 'pcr.9'],
  )
  assert.deepEqual(
    answer.documents.map(({ kind }) => kind),
    ['AttestationPolicy'],
  )
})

test('files of a boot give its references, and say what cannot be predicted', async (t) => {
  const folder = await scratch(t)
  const [initrd, config] = [join(folder, 'initrd.img'), join(folder, 'grub.cfg')]
  await writeFile(initrd, '070701 not much of an initrd')
  await writeFile(config, `${recordedConfiguration('honest')}if [ -f x ]; then true; fi\n`)
  const { text, stderr } = await learned(
    folder,
    '--from',
    LOADER,
    initrd,
    config,
    '--name',
    'release',
    '--state',
    'candidate',
  )
  const digest = (await run('pesign', '-h', '-i', LOADER)).replace('hash: ', '').trim()
  assert.ok(text.includes(`value: ${digest}\n      label: systemd-bootx64.efi 252`))
  assert.ok(text.includes(createHash('sha256').update('070701 not much of an initrd').digest('hex')))
  assert.match(text, /state: candidate/)
  assert.match(stderr, /^warning: not predicted: grub\.cfg, line 7: which branch of this if runs$/m)
  assert.match(stderr, /^warning: not predicted: grub\.cfg, line 3: search reads \/boot\/vmlinuz-.* was not given/m)
})

test('a root file system of EVE is hashed as far as it is used', async (t) => {
  const folder = await scratch(t)
  const image = Buffer.alloc(8192, 0x5a)
  image.write('hsqs', 'latin1')
  image.writeUInt16LE(4, 28)
  image.writeBigUInt64LE(5000n, 40)
  const file = join(folder, 'rootfs.img')
  await writeFile(file, image)
  const { text } = await learned(folder, '--from', file, '--name', 'eve')
  assert.ok(text.includes(createHash('sha256').update(image.subarray(0, 5000)).digest('hex')))
  assert.match(text, /label: rootfs\.img, 5000 bytes/)
})

test('a tree of files gives an allow-list of its programs, by digest and place', async (t) => {
  const folder = await scratch(t)
  const root = join(folder, 'root')
  await mkdir(join(root, 'usr', 'bin'), { recursive: true })
  await mkdir(join(root, 'etc'))
  await writeFile(join(root, 'usr', 'bin', 'a*b'), '#!/bin/sh\n', { mode: 0o755 })
  await writeFile(join(root, 'usr', 'bin', 'lib.so'), Buffer.from('7f454c4602', 'hex'))
  await writeFile(join(root, 'etc', 'motd'), 'hello')
  await writeFile(join(folder, 'outside'), 'secret', { mode: 0o755 })
  await symlink(folder, join(root, 'etc', 'up'))
  const { text } = await learned(folder, '--from', root, '--name', 'tree')
  assert.match(text, /path: \/usr\/bin\/a\\\*b\n/)
  assert.match(text, /path: \/usr\/bin\/lib\.so\n/)
  assert.doesNotMatch(text, /motd|outside/)
  const all = await learned(folder, '--from', `${root}/`, '--all')
  assert.match(
    all.text,
    new RegExp(`value: sha256:${createHash('sha256').update('hello').digest('hex')}\n +path: /etc/motd\n`),
  )
})

test('a package gives its files under both names of merged directories, with its version', async (t) => {
  const folder = await scratch(t)
  const root = join(folder, 'p')
  await mkdir(join(root, 'DEBIAN'), { recursive: true })
  await mkdir(join(root, 'bin'))
  await writeFile(join(root, 'bin', 'tool'), '#!/bin/sh\n', { mode: 0o755 })
  const control = 'Package: tool\nVersion: 1:2.3-4\nArchitecture: all\nMaintainer: a <a@b.example>\nDescription: a\n'
  await writeFile(join(root, 'DEBIAN', 'control'), control)
  await run('dpkg-deb', '--build', '--root-owner-group', root, join(folder, 'tool.deb'))
  const before = await readdir(tmpdir())
  const { text } = await learned(folder, '--from', join(folder, 'tool.deb'))
  for (const path of ['/bin/tool', '/usr/bin/tool'])
    assert.ok(text.includes(`label: tool 1:2.3-4\n      path: ${path}\n`))
  const left = (await readdir(tmpdir())).filter(
    (name) => name.startsWith('touchstone-learn-') && !before.includes(name),
  )
  assert.deepEqual(left, [])
})

test('more files than one text holds go into several', async (t) => {
  const folder = await scratch(t)
  const root = join(folder, 'root')
  // A kilobyte of a name each.
  const deep = join(root, ...Array.from({ length: 4 }, () => 'd'.repeat(250)))
  await mkdir(deep, { recursive: true })
  await Promise.all(Array.from({ length: 1000 }, (_, at) => writeFile(join(deep, `${at}`), '', { mode: 0o755 })))
  const { stderr } = await touchstone('policy', 'learn', '--from', root, '-o', join(folder, 'a.yaml'))
  assert.match(stderr, /wrote .*\/a\.yaml, .*\/a-2\.yaml\n$/)
  const { code } = await touchstone('policy', 'check', join(folder, 'a.yaml'), join(folder, 'a-2.yaml'))
  assert.equal(code, 0)
  const { code: error } = await refused('--from', join(folder, 'a.yaml'))
  assert.equal(error, 'learn.kind')
  assert.equal((await touchstone('policy', 'learn', '--from', root)).code, 2)
})

test('a manifest that a trusted key has signed becomes rules over registers', async (t) => {
  const folder = await scratch(t)
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const registers = new Map([[1, new Map([[14, new Map([[0, [[1, Buffer.alloc(32, 7)]]]])]])]])
  const [file, key] = [join(folder, 'acme.corim'), join(folder, 'key.pem')]
  await writeFile(file, signManifest(manifest('acme-1', [registers]), privateKey))
  await writeFile(key, publicKey.export({ type: 'spki', format: 'pem' }))
  const { text, stderr } = await learned(folder, '--from', file, '--trust', key, '--name', 'acme')
  assert.match(text, /pcr:\n {4}"0":\n {6}references:\n {8}- acme-pcr-0/)
  assert.match(stderr, /note: .*acme\.corim: 1 reference values of acme-1, signed by a trusted key/)
  assert.deepEqual(
    [(await refused('--from', file)).code, (await refused('--from', file, '--trust', file)).code],
    ['learn.corim', 'usage.file'],
  )
})

test('a good log gives a baseline of its events', async (t) => {
  const { text, stderr, warnings } = await learned(
    await scratch(t),
    '--from',
    log('honest'),
    '--kind',
    'baseline',
    '--name',
    'rim',
  )
  assert.match(text, /name: rim-pcr-7/)
  assert.match(text, /label: "EV_EFI_VARIABLE_AUTHORITY: db: /)
  assert.match(stderr, /^note: no rule reads single events of PCR 0, 2, 3, 6: judged as a whole$/m)
  assert.equal(warnings, '')
})

test('what cannot be learned is refused with a code and a hint, exit 2', async (t) => {
  const folder = await scratch(t)
  const file = (name: string) => join(folder, name)
  await writeFile(file('text'), 'hello\n')
  await writeFile(file('grub.cfg'), "menuentry 'a' {\n")
  await writeFile(file('short.bin'), (await readFile(log('honest'))).subarray(0, 1000))
  await copyFile(LOADER, file('cut.efi'))
  await writeFile(file('cut.efi'), (await readFile(LOADER)).subarray(0, 500))
  await writeFile(file('bad.deb'), '!<arch>\ndebian-binary   nothing')
  await mkdir(file('empty'))
  const cases = [
    [['--from', file('missing')], 'usage.file'],
    [['--from', file('text')], 'learn.kind'],
    [['--from', file('short.bin')], 'decode.truncated'],
    [['--from', file('cut.efi')], 'learn.not_pe'],
    [['--from', file('grub.cfg')], 'learn.grub'],
    [['--from', file('bad.deb')], 'learn.package'],
    [['--from', file('empty')], 'learn.nothing'],
    [['--from', file('empty'), '--kind', 'efi'], 'usage.file'],
    [['--from', log('honest'), LOADER], 'learn.mixed'],
    [['--from', file('grub.cfg'), file('grub.cfg')], 'learn.mixed'],
    [['--from', join(recorded, 'honest', 'ima.bin')], 'eventlog.format'],
    [['--from', log('honest'), '--bank', 'sha512'], 'eventlog.bank_missing'],
    [['--from', log('honest'), '--state', 'candidate'], 'usage.arguments'],
    [['--from', log('honest'), '--name', 'No Name'], 'usage.arguments'],
    [['--from', log('honest'), '-o', join(folder, 'none', 'x')], 'usage.file'],
  ] as const
  for (const [args, code] of cases) {
    const answer = await refused(...args)
    assert.deepEqual([answer.code, answer.exit], [code, 2], args.join(' '))
  }
  assert.equal((await touchstone('policy', 'learn')).code, 2)
  assert.equal((await touchstone('policy', 'learn', '--from', log('honest'), '--kind', 'nothing')).code, 2)
})
