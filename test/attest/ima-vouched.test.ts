import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readAppendedSignature } from '../../src/attest/appended-signature.ts'
import { binaryImaChunks } from '../../src/eventlog/ima/ascii-ima-log.ts'
import { parseImaLog } from '../../src/eventlog/ima/parse-ima-log.ts'
import { digestOf, imaEntry, labelled, u32 } from '../eventlog/build-ima-log.ts'
import { appraiseIma, checksNamed, imaPolicy, said } from './ima-case.ts'

// Signatures that are not in security.ima alone: appended to the file (template ima-modsig), and portable ones of EVM
// (template evm-sig). OpenSSL and evmctl make them.

const SKIP = existsSync('/usr/bin/evmctl') ? false : 'evmctl is not installed: scripts/setup installs ima-evm-utils'

const KINDS = {
  rsa: ['-newkey', 'rsa:2048'],
  p256: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  p384: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
} as const
type Kind = keyof typeof KINDS

interface Owner {
  readonly at: (name: string) => string
  readonly run: (program: string, ...args: string[]) => Buffer
  readonly certificate: string
  readonly publicKey: string
}

/** A key and its certificate by OpenSSL, in a directory that is removed. */
function owner(t: { after(done: () => void): void }, kind: Kind = 'p256'): Owner {
  const directory = mkdtempSync(join(tmpdir(), 'ima-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] })
  run('openssl', 'req', '-x509', ...KINDS[kind], '-nodes', '-keyout', 'key.pem', '-out', 'cert.pem', '-subj', '/CN=ima')
  const publicKey = run('openssl', 'x509', '-in', 'cert.pem', '-pubkey', '-noout').toString()
  const at = (name: string) => join(directory, name)
  return { at, run, publicKey, certificate: readFileSync(at('cert.pem'), 'utf8') }
}

function policyOf(...pems: readonly string[]) {
  const keys = pems.map((pem, at) => `{ name: k${at}, publicKey: ${JSON.stringify(pem)} }`)
  return imaPolicy(`keys: [${keys.join(', ')}]`)
}

/** As `sign-file` of Linux signs a module; `options` are of `openssl cms`. */
function cms({ at, run }: Owner, content: string, ...options: readonly string[]): Buffer {
  writeFileSync(at('content'), content)
  const how = ['-sign', '-binary', '-in', 'content', '-signer', 'cert.pem', '-inkey', 'key.pem', '-outform', 'DER']
  return run('openssl', 'cms', ...how, ...options)
}

const PLAIN = ['-noattr', '-nocerts', '-md', 'sha256']

/** What a kernel measures of a file that ends with a signature; `measured`: the digest that was computed for that. */
function modsigEntry(
  content: string,
  signature: Buffer,
  measured = digestOf('sha256', content),
  label = 'sha256:',
): Buffer {
  // struct module_signature: id_type 2 is PKCS#7, then the size of the signature, big endian; the mark follows.
  const size = Buffer.alloc(4)
  size.writeUInt32BE(signature.byteLength)
  const end = Buffer.concat([Buffer.from([0, 0, 2, 0, 0, 0, 0, 0]), size, Buffer.from('~Module signature appended~\n')])
  const whole = labelled(digestOf('sha256', content, signature, end))
  const fields = [whole, '/lib/modules/m.ko\0', '', labelled(measured, label), signature]
  return imaEntry({ template: 'ima-modsig', fields })
}

const FAILED = ['fail ima.signature /lib/modules/m.ko']

for (const kind of ['rsa', 'p256', 'p384'] as const) {
  test(`a module with an appended signature of ${kind} is a signed one, and a changed one is not`, (t) => {
    const vendor = owner(t, kind)
    const signature = cms(vendor, 'module', ...PLAIN)
    for (const pem of [vendor.certificate, vendor.publicKey]) {
      const good = appraiseIma(policyOf(pem), [modsigEntry('module', signature)])
      assert.deepEqual(said(good, 'ima.files'), ['pass'])
      assert.deepEqual(checksNamed(good, 'ima.files')[0]?.actual, { files: 1, known: 0, signed: 1, excluded: 0 })
      assert.deepEqual(said(appraiseIma(policyOf(pem), [modsigEntry('trojan', signature)]), 'ima.files'), FAILED)
    }
  })
}

for (const [what, options] of [
  ['by subject key identifier', ['-noattr', '-nocerts', '-md', 'sha256', '-keyid']],
  ['with its certificate', ['-noattr', '-md', 'sha256']],
  ['with SHA-512', ['-noattr', '-nocerts', '-md', 'sha512']],
] as const) {
  test(`an appended signature ${what} is verified`, (t) => {
    const vendor = owner(t)
    const [algorithm] = ['sha512', 'sha256'].filter((name) => options.some((option) => option === name))
    const measured = digestOf(algorithm ?? '', 'module')
    const entry = modsigEntry('module', cms(vendor, 'module', ...options), measured, `${algorithm}:`)
    assert.deepEqual(said(appraiseIma(policyOf(vendor.certificate), [entry]), 'ima.files'), ['pass'])
  })
}

test('of a signature over attributes the kernel measures the digest of these', (t) => {
  const vendor = owner(t, 'rsa')
  const signature = cms(vendor, 'module', '-nocerts', '-md', 'sha256')
  const read = readAppendedSignature(signature)
  assert.ok(typeof read === 'object' && read.attributes !== undefined)
  const by = policyOf(vendor.certificate)
  for (const measured of [read.attributes.digest, digestOf('sha256', 'module')]) {
    assert.deepEqual(said(appraiseIma(by, [modsigEntry('module', signature, measured)]), 'ima.files'), ['pass'])
  }
  assert.deepEqual(said(appraiseIma(by, [modsigEntry('trojan', signature)]), 'ima.files'), FAILED)
})

test('a signature in security.ima and an appended one: either is good enough', (t) => {
  const vendor = owner(t)
  const signature = cms(vendor, 'module', ...PLAIN)
  const broken = Buffer.from('0302049999999900019a', 'hex')
  const fields = (sig: Buffer, modsig: Buffer) =>
    imaEntry({
      template: 'ima-modsig',
      fields: [labelled(digestOf('sha256', 'x')), '/m\0', sig, labelled(digestOf('sha256', 'module')), modsig],
    })
  const by = policyOf(vendor.certificate)
  assert.deepEqual(said(appraiseIma(by, [fields(broken, signature)]), 'ima.files'), ['pass'])
  assert.deepEqual(said(appraiseIma(by, [fields(broken, Buffer.alloc(0))]), 'ima.files'), ['fail ima.signature_key /m'])
})

test('a file without an appended signature has empty fields, and is unsigned', (t) => {
  const vendor = owner(t)
  const entry = imaEntry({ template: 'ima-modsig', fields: [labelled(digestOf('sha256', 'x')), '/m\0', '', '', ''] })
  assert.deepEqual(said(appraiseIma(policyOf(vendor.certificate), [entry]), 'ima.files'), ['fail ima.unsigned /m'])
})

for (const [what, make, expected] of [
  [
    'by somebody else',
    (vendor: Owner, stranger: Owner) => [policyOf(vendor.certificate), cms(stranger, 'module', ...PLAIN)] as const,
    'ima.signature_key',
  ],
  [
    'by somebody else, where the policy has no certificate',
    (vendor: Owner, stranger: Owner) => [policyOf(vendor.publicKey), cms(stranger, 'module', ...PLAIN)] as const,
    'ima.signature',
  ],
  [
    'over a content of its own',
    (vendor: Owner) => [policyOf(vendor.certificate), cms(vendor, 'module', ...PLAIN, '-nodetach')] as const,
    'ima.signature_form',
  ],
  [
    'with SHA-1',
    (vendor: Owner) =>
      [policyOf(vendor.certificate), cms(vendor, 'module', '-noattr', '-nocerts', '-md', 'sha1')] as const,
    'ima.signature_form',
  ],
  [
    'that is cut',
    (vendor: Owner) => [policyOf(vendor.certificate), cms(vendor, 'module', ...PLAIN).subarray(0, -1)] as const,
    'ima.signature_form',
  ],
  [
    'of garbage',
    (vendor: Owner) => [policyOf(vendor.certificate), Buffer.alloc(70_000, 0x30)] as const,
    'ima.signature_form',
  ],
] as const) {
  test(`a module with an appended signature ${what} is not a signed one`, (t) => {
    const [policy, signature] = make(owner(t), owner(t))
    assert.deepEqual(said(appraiseIma(policy, [modsigEntry('module', signature)]), 'ima.files'), [
      `fail ${expected} /lib/modules/m.ko`,
    ])
  })
}

test('a good signature with another digest algorithm than was measured is no good', (t) => {
  const vendor = owner(t)
  const entry = modsigEntry('module', cms(vendor, 'module', ...PLAIN), digestOf('sha256', 'module'), 'sha512:')
  assert.deepEqual(said(appraiseIma(policyOf(vendor.certificate), [entry]), 'ima.files'), FAILED)
})

test('no byte of an appended signature makes its reader throw', (t) => {
  const signature = cms(owner(t), 'module', '-md', 'sha256')
  for (let at = 0; at < signature.byteLength; at++) {
    for (const value of [0, 0x30, 0x80, 0xff]) {
      const changed = Buffer.from(signature)
      changed[at] = value
      readAppendedSignature(changed)
    }
    assert.equal(typeof readAppendedSignature(signature.subarray(0, at)), 'string')
  }
})

test('only the template ima-modsig has an appended signature: in another list of fields, these may be what somebody chose', (t) => {
  const vendor = owner(t)
  const fields = [labelled(digestOf('sha256', 'x')), '/m\0', labelled(digestOf('sha256', 'module'))]
  const signature = cms(vendor, 'module', ...PLAIN)
  for (const [template, list] of [
    ['d-ng|n-ng|d-modsig|modsig', [...fields, signature]],
    ['d-ng|n-ng|buf|d-modsig|modsig', [fields[0] ?? '', '/m\0', '', labelled(digestOf('sha256', 'module')), signature]],
  ] as const) {
    const appraisal = appraiseIma(policyOf(vendor.certificate), [imaEntry({ template, fields: list })])
    assert.deepEqual(said(appraisal, 'ima.files'), ['fail ima.unsigned /m'])
  }
})

interface Inode {
  readonly selinux?: string
  readonly uid?: number
  readonly gid?: number
  readonly mode?: number
}

/** As evmctl signs a file whose metadata are these; 64-bit unless it is told otherwise. */
function evm({ at, run }: Owner, ima: Buffer, inode: Inode, ...options: readonly string[]): Buffer {
  writeFileSync(at('tool'), 'tool')
  const { selinux, uid = 0, gid = 0, mode = 0o100755 } = inode
  const label = selinux === undefined ? [] : ['--selinux', selinux]
  const told = [...label, '--uid', `${uid}`, '--gid', `${gid}`, '--mode', `${mode}`, '--ima', ima.toString('hex')]
  const how = ['sign', '--portable', '-n', '-a', 'sha256', '--key', 'key.pem', ...told, ...options, 'tool']
  return Buffer.from(
    run('evmctl', ...how)
      .toString()
      .trim(),
    'hex',
  )
}

/** What a kernel measures of such a file. */
function evmEntry(
  content: string,
  signature: Buffer,
  attributes: readonly (readonly [string, Buffer])[],
  inode: Inode,
) {
  const { uid = 0, gid = 0, mode = 0o100755 } = inode
  const bits = Buffer.alloc(2)
  bits.writeUInt16LE(mode)
  return imaEntry({
    template: 'evm-sig',
    fields: [
      labelled(digestOf('sha256', content)),
      '/bin/tool\0',
      signature,
      `${attributes.map(([name]) => name).join('|')}\0`,
      Buffer.concat(attributes.map(([, value]) => u32(value.byteLength))),
      Buffer.concat(attributes.map(([, value]) => value)),
      u32(uid),
      u32(gid),
      bits,
    ],
  })
}

/** `security.ima` of a file without a signature: type 4, SHA-256, digest. */
function imaHash(content: string): Buffer {
  return Buffer.concat([Buffer.from([4, 4]), digestOf('sha256', content)])
}

const LABEL = 'system_u:object_r:bin_t:s0'
const INODE = { selinux: LABEL, uid: 1000, gid: 100, mode: 0o100750 }
const ATTRIBUTES = [
  ['security.selinux', Buffer.from(`${LABEL}\0`)],
  ['security.ima', imaHash('tool')],
] as const

for (const kind of ['rsa', 'p256'] as const) {
  for (const size of ['--m64', '--m32']) {
    test(`a file that evmctl signed portably with a key of ${kind} (${size}) is a signed one`, { skip: SKIP }, (t) => {
      const vendor = owner(t, kind)
      const signature = evm(vendor, imaHash('tool'), INODE, size)
      const by = policyOf(vendor.certificate)
      const judged = (entry: Buffer) => said(appraiseIma(by, [entry]), 'ima.files')
      assert.deepEqual(judged(evmEntry('tool', signature, ATTRIBUTES, INODE)), ['pass'])
      const failed = ['fail ima.signature /bin/tool']
      assert.deepEqual(judged(evmEntry('tool', signature, ATTRIBUTES, { ...INODE, uid: 0 })), failed)
      assert.deepEqual(judged(evmEntry('tool', signature, ATTRIBUTES, { ...INODE, gid: 0 })), failed)
      assert.deepEqual(judged(evmEntry('tool', signature, ATTRIBUTES, { ...INODE, mode: 0o104755 })), failed)
      const unlabelled = ATTRIBUTES.slice(1)
      assert.deepEqual(judged(evmEntry('tool', signature, unlabelled, INODE)), failed)
      const form = ['fail ima.signature_form /bin/tool']
      // The attribute that was signed says of another content what it is.
      assert.deepEqual(judged(evmEntry('trojan', signature, ATTRIBUTES, INODE)), form)
      const other = [ATTRIBUTES[0], ['security.ima', imaHash('trojan')]] as const
      assert.deepEqual(judged(evmEntry('trojan', signature, other, INODE)), failed)
    })
  }
}

const ROOT = process.getuid?.() === 0 ? SKIP : 'writing security.ima needs root'

test('a file that evmctl signed portably on a file system is a signed one', { skip: ROOT }, (t) => {
  const vendor = owner(t, 'rsa')
  const path = vendor.at('tool')
  writeFileSync(path, 'tool', { mode: 0o755 })
  const how = ['sign', '--portable', '--imahash', '-a', 'sha256', '--key', 'key.pem', '-v', 'tool']
  const [ima = '', signature = ''] = vendor
    .run('evmctl', ...how)
    .toString()
    .trim()
    .split('\n')
  const { uid, gid, mode } = statSync(path)
  const entry = evmEntry('tool', Buffer.from(signature, 'hex'), [['security.ima', Buffer.from(ima, 'hex')]], {
    uid,
    gid,
    mode,
  })
  assert.deepEqual(said(appraiseIma(policyOf(vendor.certificate), [entry]), 'ima.files'), ['pass'])
})

const recorded = new URL('../fixtures/ima/', import.meta.url)

test('of a log that a kernel wrote, the files that evmctl signed are signed ones, whichever of both signatures they have', () => {
  const log = readFileSync(new URL('evm-sig.bin', recorded))
  const { entries } = parseImaLog(log)
  const [, ...files] = entries.map(({ offset }, at) => log.subarray(offset, entries[at + 1]?.offset))
  const by = policyOf(readFileSync(new URL('evm-sig.pem', recorded), 'utf8'))
  const appraisal = appraiseIma(by, files)
  assert.deepEqual(said(appraisal, 'ima.files'), ['fail ima.unsigned /bin/busybox'])
  const signed = checksNamed(appraiseIma(by, files.slice(0, -1)), 'ima.files')[0]
  assert.deepEqual(signed?.actual, { files: 3, known: 0, signed: 3, excluded: 0 })
  const text = binaryImaChunks(readFileSync(new URL('evm-sig.txt', recorded)))
  assert.deepEqual(Buffer.concat([...text]), log)
})

test('a signature in security.ima counts in the template evm-sig, too', { skip: SKIP }, (t) => {
  const vendor = owner(t, 'rsa')
  writeFileSync(vendor.at('tool'), 'tool')
  vendor.run('evmctl', 'ima_sign', '--sigfile', '-a', 'sha256', '--key', 'key.pem', 'tool')
  const ima = readFileSync(vendor.at('tool.sig'))
  const by = policyOf(vendor.certificate)
  const entry = (content: string) => evmEntry(content, Buffer.alloc(0), [['security.ima', ima]], {})
  assert.deepEqual(said(appraiseIma(by, [entry('tool')]), 'ima.files'), ['pass'])
  assert.deepEqual(said(appraiseIma(by, [entry('trojan')]), 'ima.files'), ['fail ima.signature /bin/tool'])
})

for (const [what, change, code] of [
  ['lengths that are not those of the values', { 4: u32(33) }, 'ima.signature_form'],
  ['more names than values', { 3: 'security.selinux|security.ima|security.apparmor\0' }, 'ima.signature_form'],
  ['two attributes named security.ima', { 3: 'security.ima|security.ima\0' }, 'ima.signature_form'],
  ['no attribute security.ima', { 3: 'security.selinux|security.capability\0' }, 'ima.signature_form'],
  ['an owner of eight bytes', { 6: Buffer.alloc(8) }, 'ima.signature_form'],
  ['no signature', { 2: '' }, 'ima.unsigned'],
  ['an HMAC instead of a signature', { 2: Buffer.alloc(21, 2) }, 'ima.signature_form'],
] as const) {
  test(`an entry of evm-sig with ${what} is not a signed one`, (t) => {
    const vendor = owner(t)
    const values = Buffer.concat(ATTRIBUTES.map(([, value]) => value))
    const lengths = Buffer.concat(ATTRIBUTES.map(([, value]) => u32(value.byteLength)))
    const digest = labelled(digestOf('sha256', 'tool'))
    const signature = Buffer.from('050204000000000001aa', 'hex')
    const names = 'security.selinux|security.ima\0'
    const good: readonly (string | Buffer)[] = [
      ...[digest, '/bin/tool\0', signature, names, lengths, values],
      ...[u32(0), u32(0), Buffer.alloc(2)],
    ]
    const changed: Readonly<Record<number, string | Buffer>> = change
    const fields = good.map((field, at) => changed[at] ?? field)
    const appraisal = appraiseIma(policyOf(vendor.certificate), [imaEntry({ template: 'evm-sig', fields })])
    assert.deepEqual(said(appraisal, 'ima.files'), [`fail ${code} /bin/tool`])
  })
}
