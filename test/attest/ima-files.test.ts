import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import { readImaKey } from '../../src/attest/ima-keys.ts'
import { bufferEntry, digestOf, fileEntry, imaEntry, labelled, violationEntry } from '../eventlog/build-ima-log.ts'
import { appraiseIma, checksNamed, imaEvidence, imaPolicy, said, setOf, sha256Of } from './ima-case.ts'

const LIST = setOf('os', [
  [sha256Of('shell'), '/bin/sh'],
  [sha256Of('library'), '/usr/lib/**'],
  [sha256Of('anywhere')],
  [sha256Of('old'), '/bin/old', 'deprecated'],
  [sha256Of('bad'), '/bin/bad', 'revoked'],
  [sha256Of('new'), '/bin/new', 'candidate'],
])
const policy = imaPolicy('allow: { references: [os] }\nexcludes: ["/var/log/**"]', LIST)

test('known files at their paths pass, by path, by glob, and wherever they lie', () => {
  const entries = [fileEntry('/bin/sh', 'shell'), fileEntry('/usr/lib/a/b.so', 'library'), fileEntry('/x', 'anywhere')]
  const appraisal = appraiseIma(policy, entries)
  assert.deepEqual(said(appraisal, 'ima.files'), ['pass'])
  assert.deepEqual(checksNamed(appraisal, 'ima.files')[0]?.actual, { files: 3, known: 3, signed: 0, excluded: 0 })
  assert.equal(checksNamed(appraisal, 'ima.files')[0]?.rule, 'test/ima.allow')
})

for (const [what, path, content, expected] of [
  ['nobody knows', '/bin/evil', 'evil', 'fail ima.file_unknown /bin/evil'],
  ['is another than the known one of its path', '/bin/sh', 'trojan', 'fail ima.file_changed /bin/sh'],
  ['is known at another path', '/tmp/sh', 'shell', 'fail ima.file_moved /tmp/sh'],
  ['is deprecated', '/bin/old', 'old', 'warn policy.deprecated /bin/old'],
  ['is revoked', '/bin/bad', 'bad', 'fail policy.revoked /bin/bad'],
  ['is revoked, wherever it lies', '/var/log/bad', 'bad', 'fail policy.revoked /var/log/bad'],
  ['is a candidate', '/bin/new', 'new', 'fail policy.candidate /bin/new'],
] as const) {
  test(`a file that ${what} is named with index, path and digest`, () => {
    const appraisal = appraiseIma(policy, [fileEntry('/bin/sh', 'shell'), fileEntry(path, content)])
    assert.deepEqual(said(appraisal, 'ima.files'), [expected])
    const [check] = checksNamed(appraisal, 'ima.files')
    assert.equal(check?.event?.index, 2)
    assert.deepEqual(check.actual, { digest: sha256Of(content) })
    assert.equal(appraisal.status, expected.startsWith('warn') ? 'warning' : 'contraindicated')
  })
}

test('a changed file says what it should be', () => {
  const [check] = checksNamed(appraiseIma(policy, [fileEntry('/bin/sh', 'trojan')]), 'ima.files')
  assert.deepEqual(check?.expected, [sha256Of('shell')])
})

test('an excluded file is not judged, and counted', () => {
  const appraisal = appraiseIma(policy, [fileEntry('/bin/sh', 'shell'), fileEntry('/var/log/a/syslog', 'x')])
  assert.deepEqual(checksNamed(appraisal, 'ima.files')[0]?.actual, { files: 1, known: 1, signed: 0, excluded: 1 })
})

test('a log without any file to judge is indeterminate, unless policy says otherwise', () => {
  assert.deepEqual(said(appraiseIma(policy, []), 'ima.files'), ['indeterminate fact.empty'])
  const content = imaPolicy('allow: { references: [os], whenEmpty: pass }', LIST)
  assert.deepEqual(said(appraiseIma(content, []), 'ima.files'), ['pass'])
})

test('a reference set that was not supplied is no pass', () => {
  const missing = imaPolicy('allow: { references: [os, gone] }', LIST)
  const entries = [fileEntry('/bin/sh', 'shell'), fileEntry('/bin/evil', 'evil')]
  assert.deepEqual(said(appraiseIma(missing, entries), 'ima.files'), [
    'indeterminate policy.reference_missing /bin/evil',
  ])
  assert.equal(appraiseIma(missing, [fileEntry('/bin/sh', 'shell')]).status, 'contraindicated')
})

test('what is only warned of does not deny, and what is monitored does not count', () => {
  const evil = [fileEntry('/bin/evil', 'evil')]
  const warned = appraiseIma(imaPolicy('allow: { references: [os], onUnknown: warn }', LIST), evil)
  assert.deepEqual(said(warned, 'ima.files'), ['warn ima.file_unknown /bin/evil'])
  assert.equal(warned.vector.executables, 32)
  const monitored = appraiseIma(imaPolicy('allow: { references: [os], mode: monitor }', LIST), evil)
  assert.equal(checksNamed(monitored, 'ima.files')[0]?.mode, 'monitor')
  assert.notEqual(monitored.status, 'contraindicated')
  const named = appraiseIma(imaPolicy('allow: { references: [os], sets: unrecognized_rt }', LIST), evil)
  assert.equal(named.vector.executables, 33)
})

test('only the first offences are shown, and the rest is counted', () => {
  const entries = Array.from({ length: 500 }, (_, at) => fileEntry(`/bin/evil-${at}`, `evil ${at}`))
  const checks = checksNamed(appraiseIma(policy, entries), 'ima.files')
  assert.equal(checks.length, 13)
  assert.equal(checks.at(-1)?.actual, '488 more entries, 500 in all')
  assert.equal(checks.at(-1)?.outcome, 'fail')
})

test('an entry behind the quote is not judged', () => {
  const entries = [fileEntry('/bin/sh', 'shell'), fileEntry('/bin/evil', 'evil')]
  const appraisal = appraise(imaEvidence(policy, entries, 1))
  assert.deepEqual(said(appraisal, 'ima.files'), ['pass'])
  assert.deepEqual(appraisal.ima, { covered: 2, entries: 3 })
})

test('nothing is said of files where the log is not the quoted one', () => {
  const good = imaEvidence(policy, [fileEntry('/bin/sh', 'shell')])
  const appraisal = appraise({ ...good, imaLog: Buffer.concat([fileEntry('/bin/sh', 'shell')]) })
  assert.deepEqual(said(appraisal, 'ima.files'), ['indeterminate check.blocked'])
})

test('a policy over IMA requires a log, unless it says otherwise', () => {
  const { imaLog: _imaLog, ...rest } = imaEvidence(policy, [])
  assert.equal(said(appraise(rest), 'ima.replay')[0], 'fail ima.missing')
  assert.equal(said(appraise(rest), 'ima.files')[0], 'indeterminate ima.missing')
  const optional = imaPolicy('required: false\nallow: { references: [os] }', LIST)
  assert.deepEqual(said(appraise({ ...rest, policy: optional }), 'ima.files'), [])
})

test('a violation warns, denies or is fine by policy, and no exclusion hides it, because its path is not measured', () => {
  const entries = [fileEntry('/bin/sh', 'shell'), violationEntry('/var/log/syslog')]
  assert.deepEqual(said(appraiseIma(policy, entries), 'ima.violations'), ['warn ima.violation /var/log/syslog'])
  const by = (violations: string) => appraiseIma(imaPolicy(`violations: ${violations}`), entries)
  assert.deepEqual(said(by('deny'), 'ima.violations'), ['fail ima.violation /var/log/syslog'])
  assert.deepEqual(said(by('allow'), 'ima.violations'), ['pass'])
})

test('a path with spaces is known by its spaces, which the kernel measures as underscores', () => {
  const spaced = imaPolicy('allow: { references: [s] }', setOf('s', [[sha256Of('x'), '/opt/my tool']]))
  assert.deepEqual(said(appraiseIma(spaced, [fileEntry('/opt/my_tool', 'x')]), 'ima.files'), ['pass'])
})

test('an fs-verity digest is not the digest of a content', () => {
  const digest = digestOf('sha256', 'shell')
  const verity = imaEntry({ template: 'ima-ngv2', fields: [labelled(digest, 'verity:sha256:'), '/bin/sh\0'] })
  const plain = imaEntry({ template: 'ima-ngv2', fields: [labelled(digest, 'ima:sha256:'), '/bin/sh\0'] })
  assert.deepEqual(said(appraiseIma(policy, [verity]), 'ima.files'), ['fail ima.file_changed /bin/sh'])
  assert.deepEqual(said(appraiseIma(policy, [plain]), 'ima.files'), ['pass'])
  const list = imaPolicy('allow: { references: [v] }', setOf('v', [[`verity:${sha256Of('shell')}`, '/bin/sh']]))
  assert.deepEqual(said(appraiseIma(list, [verity]), 'ima.files'), ['pass'])
})

test('a file in the first place of the log is judged, whatever it is called later', () => {
  assert.deepEqual(said(appraiseIma(policy, [fileEntry('boot_aggregate', 'evil')]), 'ima.files'), [
    'fail ima.file_unknown boot_aggregate',
  ])
})

test('a file is not passed off as a buffer: names of templates are not measured', () => {
  const named = imaPolicy('allow: { references: [os] }\notherBuffers: allow', LIST)
  const asBuffer = (path: string, content: string, attribute: string) =>
    said(
      appraiseIma(named, [
        fileEntry('/bin/sh', 'shell'),
        imaEntry({ template: 'ima-buf', fields: [labelled(digestOf('sha256', content)), `${path}\0`, attribute] }),
      ]),
      'ima.structure',
    )
  assert.deepEqual(asBuffer('/bin/evil', 'evil', 'evil'), ['fail ima.structure /bin/evil'])
  assert.deepEqual(asBuffer('kernel_version', 'evil', 'signature'), ['fail ima.structure kernel_version'])
  assert.deepEqual(asBuffer('kernel_version', '\x03evil', '\x03evil'), ['fail ima.structure kernel_version'])
  assert.deepEqual(asBuffer('kernel_version', '6.1.0', '6.1.0'), ['pass'])
})

interface Signer {
  readonly pem: string
  readonly sign: (content: string, options?: { version?: number; type?: number; hash?: number }) => Buffer
}

function signer(type: 'rsa' | 'P-256' | 'P-384'): Signer {
  const { publicKey, privateKey } =
    type === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: type })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const key = readImaKey({ name: 'k', publicKey: pem })
  assert.ok(typeof key === 'object')
  return {
    pem,
    sign(content, { version = 2, type: attribute = 3, hash = 4 } = {}) {
      const message =
        version === 2
          ? Buffer.from(content)
          : Buffer.concat([Buffer.from([attribute, hash]), digestOf('sha256', content)])
      const signature = sign('sha256', message, privateKey)
      const size = Buffer.alloc(2)
      size.writeUInt16BE(signature.byteLength)
      const keyId = Buffer.from(key.keyIds[0] ?? '', 'hex')
      return Buffer.concat([Buffer.from([attribute, version, hash]), keyId, size, signature])
    },
  }
}

const rsa = signer('rsa')
const stranger = signer('P-256')
const yaml = (name: string, { pem }: Signer) => `{ name: ${name}, publicKey: ${JSON.stringify(pem)} }`
const signed = imaPolicy(
  `allow: { references: [os] }\nkeys: [${yaml('vendor', rsa)}]\nrequireSigned: ["/opt/**"]\nexcludes: ["/tmp/**"]`,
  LIST,
)

for (const type of ['rsa', 'P-256', 'P-384'] as const) {
  for (const version of [2, 3]) {
    test(`a file signed by a key of ${type}, in version ${version} of the format, is as good as a listed one`, () => {
      const key = signer(type)
      const by = imaPolicy(`keys: [${yaml('k', key)}]`)
      const good = fileEntry('/bin/tool', 'tool', key.sign('tool', { version }))
      const appraisal = appraiseIma(by, [good])
      assert.deepEqual(said(appraisal, 'ima.files'), ['pass'])
      assert.deepEqual(checksNamed(appraisal, 'ima.files')[0]?.actual, { files: 1, known: 0, signed: 1, excluded: 0 })
      const changed = fileEntry('/bin/tool', 'trojan', key.sign('tool', { version }))
      assert.deepEqual(said(appraiseIma(by, [changed]), 'ima.files'), ['fail ima.signature /bin/tool'])
    })
  }
}

for (const [what, entry, expected] of [
  ['by an unknown key', fileEntry('/bin/t', 't', stranger.sign('t')), 'fail ima.signature_key /bin/t'],
  ['of version 1', fileEntry('/bin/t', 't', rsa.sign('t', { version: 1 })), 'fail ima.signature_form /bin/t'],
  ['with SHA-1', fileEntry('/bin/t', 't', rsa.sign('t', { hash: 2 })), 'fail ima.signature_form /bin/t'],
  [
    'with another hash than measured',
    fileEntry('/bin/t', 't', rsa.sign('t', { hash: 6 })),
    'fail ima.signature /bin/t',
  ],
  ['for EVM', fileEntry('/bin/t', 't', rsa.sign('t', { type: 5 })), 'fail ima.signature_form /bin/t'],
  [
    'as an fs-verity descriptor',
    fileEntry('/bin/t', 't', rsa.sign('t', { type: 6, version: 3 })),
    'fail ima.signature /bin/t',
  ],
  ['and cut', fileEntry('/bin/t', 't', rsa.sign('t').subarray(0, 60)), 'fail ima.signature_form /bin/t'],
  [
    'with garbage',
    fileEntry('/bin/t', 't', Buffer.concat([rsa.sign('t').subarray(0, 9), Buffer.alloc(256, 9)])),
    'fail ima.signature /bin/t',
  ],
  ['by nothing', fileEntry('/bin/t', 't', Buffer.alloc(0)), 'fail ima.file_unknown /bin/t'],
] as const) {
  test(`a file that is signed ${what} is not a signed one`, () => {
    assert.deepEqual(said(appraiseIma(signed, [entry]), 'ima.files'), [expected])
  })
}

test('what must be signed must be, though the list knows it, and though it is excluded', () => {
  const both = imaPolicy(
    `allow: { references: [os] }\nkeys: [${yaml('vendor', rsa)}]\nrequireSigned: ["/opt/**"]\nexcludes: ["/opt/log/**"]`,
    LIST,
  )
  assert.deepEqual(said(appraiseIma(both, [fileEntry('/opt/a', 'anywhere')]), 'ima.files'), [
    'fail ima.unsigned /opt/a',
  ])
  assert.deepEqual(said(appraiseIma(both, [fileEntry('/opt/log/a', 'x')]), 'ima.files'), [
    'fail ima.unsigned /opt/log/a',
  ])
  const good = fileEntry('/opt/a', 'anywhere', rsa.sign('anywhere'))
  assert.deepEqual(said(appraiseIma(both, [good]), 'ima.files'), ['pass'])
})

test('what is remembered of a good signature is not found for the same bytes in other fields', () => {
  const digest = labelled(digestOf('sha256', 'tool'))
  const good = rsa.sign('tool')
  const moved = Buffer.concat([good.subarray(0, 9), digest.subarray(-1), good.subarray(9)])
  moved.writeUInt16BE(moved.byteLength - 9, 7)
  const entry = imaEntry({ template: 'ima-sig', fields: [digest.subarray(0, -1), '/bin/tool\0', moved] })
  assert.deepEqual(said(appraiseIma(signed, [fileEntry('/bin/tool', 'tool', good)]), 'ima.files'), ['pass'])
  assert.deepEqual(said(appraiseIma(signed, [entry]), 'ima.files'), ['fail ima.signature /bin/tool'])
})

test('a revoked file fails though it is signed', () => {
  const entry = fileEntry('/bin/bad', 'bad', rsa.sign('bad'))
  assert.deepEqual(said(appraiseIma(signed, [entry]), 'ima.files'), ['fail policy.revoked /bin/bad'])
})

test('known images and known files together affirm the executables as AR4SI has it', () => {
  const images = imaPolicy('allow: { references: [os] }', LIST)
  const appraisal = appraiseIma(images, [bufferEntry('kernel_version', '6.1.0'), fileEntry('/bin/sh', 'shell')])
  assert.equal(appraisal.vector.executables, undefined)
  assert.equal(appraisal.status, 'affirming')
})
