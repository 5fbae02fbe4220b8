import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bufferEntry } from '../eventlog/build-ima-log.ts'
import { appraiseIma, checksNamed, imaPolicy, said, setOf, sha256Of } from './ima-case.ts'

const KEY = Buffer.from('308201', 'hex')

const KEYRING = imaPolicy(
  `buffers:
  - { name: .ima, references: [keys], required: true }
  - { name: kexec-cmdline, anyOf: [quiet] }`,
  setOf('keys', [[sha256Of(KEY)], [sha256Of('bad'), undefined, 'revoked'], [sha256Of('old'), undefined, 'deprecated']]),
)

test('keys in a keyring of the kernel are known by digest, command lines of kexec by their text', () => {
  const appraisal = appraiseIma(KEYRING, [bufferEntry('.ima', KEY), bufferEntry('kexec-cmdline', 'quiet')])
  assert.deepEqual(said(appraisal, 'ima.buffers'), ['pass'])
  assert.deepEqual(checksNamed(appraisal, 'ima.buffers')[0]?.actual, { buffers: 2 })
})

for (const [what, name, content, expected] of [
  ['key that nobody knows', '.ima', 'evil', 'fail ima.buffer .ima'],
  ['revoked key', '.ima', 'bad', 'fail policy.revoked .ima'],
  ['deprecated key', '.ima', 'old', 'warn policy.deprecated .ima'],
  ['command line that nobody knows', 'kexec-cmdline', 'init=/bin/sh', 'fail ima.buffer kexec-cmdline'],
  ['buffer that no kernel of ours measures', 'x', 'y', 'fail ima.buffer_unknown x'],
] as const) {
  test(`a ${what} is named`, () => {
    const appraisal = appraiseIma(KEYRING, [bufferEntry('.ima', KEY), bufferEntry(name, content)])
    assert.deepEqual(said(appraisal, 'ima.buffers'), [expected])
    assert.equal(appraisal.vector.configuration, expected.startsWith('warn') ? 32 : 96)
  })
}

test('what must be measured and was not is missed, also where another one of that name is bad', () => {
  assert.deepEqual(said(appraiseIma(KEYRING, []), 'ima.buffers'), ['fail ima.absent'])
  assert.deepEqual(said(appraiseIma(KEYRING, [bufferEntry('.ima', 'evil')]), 'ima.buffers'), [
    'fail ima.buffer .ima',
    'fail ima.absent',
  ])
})

test('what Linux is known to measure is fine without a rule, unless policy says otherwise', () => {
  const entries = [
    bufferEntry('kernel_version', '6.1.0'),
    bufferEntry('.builtin_trusted_keys', KEY),
    bufferEntry('selinux-state', 'on'),
  ]
  assert.deepEqual(said(appraiseIma(imaPolicy('violations: deny'), entries), 'ima.buffers'), ['pass'])
  const strict = appraiseIma(imaPolicy('otherBuffers: warn'), entries.slice(0, 1))
  assert.deepEqual(said(strict, 'ima.buffers'), ['warn ima.buffer_unknown kernel_version'])
})

test('a rule whose reference set is missing is indeterminate, whether something was measured or not', () => {
  const policy = imaPolicy('buffers: [{ name: .ima, references: [gone] }]')
  assert.deepEqual(said(appraiseIma(policy, []), 'ima.buffers'), ['indeterminate policy.reference_missing'])
  assert.deepEqual(said(appraiseIma(policy, [bufferEntry('.ima', KEY)]), 'ima.buffers'), [
    'indeterminate policy.reference_missing .ima',
  ])
})

const ROOT = '29cb87e60ce7b12b443ba6008266f3e41e93e403d7f298f8e3f316b29ff89c5e'

/** As the kernel's documentation has it: Documentation/admin-guide/device-mapper/dm-ima.rst. */
function verity(name: string, root = ROOT): Buffer {
  return bufferEntry(
    'dm_table_load',
    `dm_version=4.45.0;name=${name},uuid=,major=253,minor=2,minor_count=1,num_targets=1;` +
      'target_index=0,target_begin=0,target_len=1953120,target_name=verity,target_version=1.8.0,hash_failed=V,' +
      'verity_version=1,data_device_name=253:1,hash_device_name=253:0,verity_algorithm=sha256,' +
      `root_digest=${root},salt=e48da609,ignore_zero_blocks=n,check_at_most_once=n;`,
  )
}

const linear = bufferEntry(
  'dm_table_load',
  'dm_version=4.45.0;name=root,uuid=,major=253,minor=0,minor_count=1,num_targets=1;' +
    'target_index=0,target_begin=0,target_len=2,target_name=linear,target_version=1.4.0,device_name=7:0,start=512;',
)

const DEVICES = imaPolicy(
  `deviceMapper:
  rootHashes: { references: [roots] }
  targets: [verity, crypt]
  required: ["root*"]`,
  setOf('roots', [[ROOT], [`sha256:${'ab'.repeat(32)}`], ['cd'.repeat(32), undefined, 'revoked']]),
)

test('dm-verity devices are known by their root hash, with or without its algorithm', () => {
  const appraisal = appraiseIma(DEVICES, [verity('root'), verity('other', 'ab'.repeat(32))])
  assert.deepEqual(said(appraisal, 'ima.device-mapper'), ['pass'])
  assert.deepEqual(checksNamed(appraisal, 'ima.device-mapper')[0]?.actual, { tables: 2 })
  assert.equal(appraisal.vector['file-system'], 2)
})

for (const [what, entry, expected] of [
  [
    'an unknown root hash',
    verity('root', 'ef'.repeat(32)),
    ['fail ima.table_root_hash dm_table_load', 'fail ima.absent'],
  ],
  ['a revoked root hash', verity('x', 'cd'.repeat(32)), ['fail policy.revoked dm_table_load', 'fail ima.absent']],
  ['a target that is not allowed', linear, ['fail ima.table_target dm_table_load', 'fail ima.absent']],
  ['what is no table', bufferEntry('dm_table_load', 'name'), ['fail ima.table dm_table_load', 'fail ima.absent']],
  ['another device', verity('swap'), ['fail ima.absent']],
] as const) {
  test(`a device with ${what} is refused, and does not stand for the required one`, () => {
    const appraisal = appraiseIma(DEVICES, [entry])
    assert.deepEqual(said(appraisal, 'ima.device-mapper'), expected)
    assert.equal(appraisal.vector['file-system'], 96)
  })
}

test('another table or another device under the name of a required one is refused, though the right one came before', () => {
  const loose = imaPolicy('deviceMapper: { rootHashes: { anyOf: [' + ROOT + '] }, required: [root] }')
  assert.deepEqual(said(appraiseIma(loose, [verity('root')]), 'ima.device-mapper'), ['pass'])
  assert.deepEqual(said(appraiseIma(loose, [verity('root'), linear]), 'ima.device-mapper'), [
    'fail ima.table_target dm_table_load',
  ])
  const rename = (name: string) =>
    bufferEntry(
      'dm_device_rename',
      `dm_version=4.45.0;name=x,uuid=,major=253,minor=0,minor_count=1,num_targets=1;new_name=${name},new_uuid=;current_device_capacity=2;`,
    )
  assert.deepEqual(said(appraiseIma(loose, [verity('root'), rename('root')]), 'ima.device-mapper'), [
    'fail ima.table_renamed dm_device_rename',
  ])
  assert.deepEqual(said(appraiseIma(loose, [verity('root'), rename('swap')]), 'ima.device-mapper'), ['pass'])
})
