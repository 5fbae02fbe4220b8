import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import {
  bufferEntry,
  digestOf,
  FILE,
  fileEntry,
  imaEntry,
  labelled,
  oldestEntry,
  pcr10,
  sized,
  u32,
  violationEntry,
} from '../eventlog/build-ima-log.ts'
import { evidenceOf, honest } from './case.ts'
import { AGGREGATE, appraiseIma, checksNamed, imaEvidence, imaPolicy, said, setOf, sha256Of } from './ima-case.ts'

// Logs that somebody wrote who has root on the node, or that no kernel writes.

const policy = imaPolicy(
  'allow: { references: [os] }\nexcludes: ["/var/log/**", "**/*.tmp"]',
  setOf('os', [[sha256Of('shell'), '/bin/sh']]),
)
const sh = fileEntry('/bin/sh', 'shell')
const evil = fileEntry('/bin/evil', 'evil')

/** A boot that measured the one, and shows the other. */
function shown(measured: readonly Buffer[], log: readonly Buffer[], value = pcr10('sha256', [AGGREGATE, ...measured])) {
  const pcrs = { ...honest.pcrs, sha256: { ...honest.pcrs['sha256'], '10': value.toString('hex') } }
  return appraise({
    ...evidenceOf(honest, { pcrs }),
    policy,
    pcrs,
    imaLog: Buffer.concat([AGGREGATE, ...log]),
  })
}

const HIDDEN = ['fail ima.not_replayed']

test('an entry whose recorded digest was set to zeros, to pass as a violation, does not lead to the register', () => {
  const zeroed = Buffer.from(evil)
  zeroed.fill(0, 4, 24)
  assert.deepEqual(said(shown([sh, evil], [sh, zeroed]), 'ima.replay'), HIDDEN)
})

test('a violation that was given a digest, to pass as a file, does not lead to the register', () => {
  assert.deepEqual(said(shown([sh, violationEntry('/x')], [sh, fileEntry('/bin/sh', 'shell')]), 'ima.replay'), HIDDEN)
})

test('an entry that was moved to another register does not lead to the register', () => {
  const moved = Buffer.from(evil)
  moved.writeUInt32LE(11, 0)
  assert.deepEqual(said(shown([sh, evil], [sh, moved]), 'ima.replay'), HIDDEN)
})

test('entries of other registers are not judged, and neither known nor unknown: nothing vouches for them', () => {
  const other = imaEntry({ pcr: 11, fields: [FILE, '/bin/evil\0'] })
  const huge = imaEntry({ pcr: 0xffffffff, fields: [FILE, '/bin/evil\0'] })
  const appraisal = shown([sh], [other, sh, huge])
  assert.deepEqual(said(appraisal, 'ima.files'), ['pass'])
  assert.deepEqual(checksNamed(appraisal, 'ima.files')[0]?.actual, { files: 1, known: 1, signed: 0, excluded: 0 })
})

test('a first entry in another register leaves the boot aggregate in the second place, where it is none', () => {
  const other = imaEntry({ pcr: 11 })
  const value = pcr10('sha256', [AGGREGATE, sh]).toString('hex')
  const pcrs = { ...honest.pcrs, sha256: { ...honest.pcrs['sha256'], '10': value } }
  const imaLog = Buffer.concat([other, AGGREGATE, sh])
  const appraisal = appraise({ ...evidenceOf(honest, { pcrs }), policy, pcrs, imaLog })
  assert.deepEqual(said(appraisal, 'ima.boot-aggregate'), ['indeterminate ima.boot_aggregate_unknown'])
})

for (const [what, entry] of [
  ['a template that does not exist', imaEntry({ template: 'ima-foo' })],
  ['a list that begins with the name of a template', imaEntry({ template: 'ima-ng|d-ng|n-ng' })],
  ['a list of more fields than there may be', imaEntry({ template: `d-ng|n-ng${'|sig'.repeat(14)}` })],
  ['a template with a NUL behind its name', imaEntry({ template: 'ima-ng\0' })],
  ['a digest without its algorithm', imaEntry({ fields: [Buffer.alloc(32, 7), '/bin/sh\0'] })],
  ['a digest with an empty algorithm', imaEntry({ fields: [labelled(Buffer.alloc(32, 7), ':'), '/bin/sh\0'] })],
  ['a digest of no bytes', imaEntry({ fields: [Buffer.from('sha256:\0'), '/bin/sh\0'] })],
  ['no digest', imaEntry({ fields: ['', '/bin/sh\0'] })],
  ['a field less than its template has', imaEntry({ template: 'ima-sig' })],
  ['a field more than its template has', imaEntry({ fields: [FILE, '/bin/sh\0', 'x'] })],
  ['no data', imaEntry({ fields: [] })],
] as const) {
  test(`an entry with ${what} is none that a kernel writes, though it was measured`, () => {
    const appraisal = appraiseIma(policy, [sh, entry])
    const [check] = checksNamed(appraisal, 'ima.structure')
    assert.deepEqual([check?.outcome, check?.code, check?.event?.index], ['fail', 'ima.structure', 2])
    assert.equal(appraisal.status, 'contraindicated')
  })
}

test('a field whose length is 2^32-1 is no field', () => {
  const data = Buffer.concat([sized(FILE), u32(0xffffffff), Buffer.from('/bin/sh\0')])
  const entry = Buffer.concat([u32(10), digestOf('sha1', data), sized('ima-ng'), sized(data)])
  assert.deepEqual(said(appraiseIma(policy, [sh, entry]), 'ima.structure'), ['fail ima.structure '])
})

test('an entry that says it is 4 GiB long cannot be read, and nothing is allocated for it', () => {
  const entry = Buffer.concat([u32(10), Buffer.alloc(20, 1), sized('ima-ng'), u32(0xffffffff)])
  const input = { ...imaEvidence(policy, [sh]), imaLog: Buffer.concat([AGGREGATE, entry]) }
  assert.throws(() => appraise(input), { code: 'decode.too_large' })
})

for (const path of ['/bin/sh\n', '/bin/sh\0', '\n/bin/sh', '/bin/sh\0/var/log/x', '/bin//sh', '/bin/./sh', '']) {
  test(`a path that only looks like a known one is not known: ${JSON.stringify(path)}`, () => {
    const appraisal = appraiseIma(policy, [fileEntry(path, 'shell')])
    assert.deepEqual(said(appraisal, 'ima.files'), [`fail ima.file_moved${path === '' ? ' ' : ` ${path}`}`])
  })
}

test('a newline or a NUL in a path neither ends a glob nor leaves the directory that it is about', () => {
  const excluded = ['/var/log/a\nb', '/var/log/a\0b'].map((path) => fileEntry(path, 'x'))
  assert.deepEqual(said(appraiseIma(policy, [sh, ...excluded]), 'ima.files'), ['pass'])
  const outside = fileEntry('/tmp/x\n/var/log/y', 'x')
  assert.equal(said(appraiseIma(policy, [sh, outside]), 'ima.files').length, 1)
})

test('the oldest template measures 256 bytes of a name: one that goes on behind them is none', () => {
  const path = '/tmp/evil'
  const good = oldestEntry(path)
  const header = good.subarray(0, good.byteLength - path.length - 4)
  const longer = Buffer.concat([
    header,
    sized(Buffer.concat([Buffer.from(path), Buffer.alloc(247), Buffer.from('.tmp')])),
  ])
  const padded = Buffer.concat([header, sized(`${path}\0.tmp`.slice(0, path.length + 1))])
  const value = digestOf(
    'sha256',
    pcr10('sha256', [AGGREGATE]),
    digestOf('sha256', Buffer.alloc(20, 5), path, Buffer.alloc(256 - path.length)),
  )
  // All three have the digest that was measured.
  for (const [entry, outcome] of [
    [good, 'pass'],
    [longer, 'fail'],
    [padded, 'fail'],
  ] as const) {
    const appraisal = shown([], [entry], value)
    assert.equal(said(appraisal, 'ima.replay')[0], 'pass')
    assert.equal(checksNamed(appraisal, 'ima.structure')[0]?.outcome, outcome)
  }
})

test('a recorded SHA-1 of something else changes nothing where the bank has its own, and is a failure where it has not', () => {
  const lie = imaEntry({ fields: [labelled(digestOf('sha256', 'shell')), '/bin/sh\0'], digest: Buffer.alloc(20, 9) })
  assert.deepEqual(said(shown([sh], [lie]), 'ima.structure'), ['pass'])
  const padded = pcr10('sha256', [AGGREGATE, lie], 'padded')
  assert.deepEqual(said(shown([], [lie], padded), 'ima.structure'), ['fail ima.structure /bin/sh'])
})

test('a log of a kernel that fills the bank with SHA-1 is read, and one that does now this and now that is not', () => {
  assert.deepEqual(said(shown([], [sh, sh], pcr10('sha256', [AGGREGATE, sh, sh], 'padded')), 'ima.files'), ['pass'])
  const mixed = pcr10('sha256', [sh], 'computed', pcr10('sha256', [AGGREGATE], 'padded'))
  assert.deepEqual(said(shown([], [sh], mixed), 'ima.replay'), HIDDEN)
})

test('an entry twice is judged twice, and one that is left out of two is missed', () => {
  const twice = appraiseIma(policy, [sh, sh])
  assert.deepEqual(checksNamed(twice, 'ima.files')[0]?.actual, { files: 2, known: 2, signed: 0, excluded: 0 })
  assert.deepEqual(said(shown([sh, sh], [sh]), 'ima.replay'), HIDDEN)
})

test('two entries that change places do not lead to the register', () => {
  assert.deepEqual(said(shown([sh, evil], [evil, sh]), 'ima.replay'), HIDDEN)
})

test('a log in two byte orders is that of no machine', () => {
  const big = imaEntry({ endian: 'big', fields: [labelled(digestOf('sha256', 'shell')), '/bin/sh\0'] })
  const input = { ...imaEvidence(policy, [sh]), imaLog: Buffer.concat([AGGREGATE, sh, big]) }
  assert.throws(() => appraise(input), { code: 'decode.too_large' })
})

test('a buffer that is named like the boot aggregate is no aggregate', () => {
  const value = pcr10('sha256', [bufferEntry('boot_aggregate', 'x'), sh])
  const pcrs = { ...honest.pcrs, sha256: { ...honest.pcrs['sha256'], '10': value.toString('hex') } }
  const imaLog = Buffer.concat([bufferEntry('boot_aggregate', 'x'), sh])
  const appraisal = appraise({ ...evidenceOf(honest, { pcrs }), policy, pcrs, imaLog })
  assert.deepEqual(said(appraisal, 'ima.boot-aggregate'), ['indeterminate ima.boot_aggregate_unknown'])
})
