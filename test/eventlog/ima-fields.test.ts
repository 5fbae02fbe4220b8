import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError, type ErrorCode } from '../../src/core/index.ts'
import { binaryImaChunks, isAsciiImaLog, type ImaSource } from '../../src/eventlog/ima/ascii-ima-log.ts'
import { readDeviceRename, readDeviceTable } from '../../src/eventlog/ima/device-mapper.ts'
import { readImaSignature } from '../../src/eventlog/ima/ima-signature.ts'
import { replayImaLog } from '../../src/eventlog/ima/replay-ima-log.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { FILE, imaEntry, oldestEntry } from './build-ima-log.ts'
import { OVMF_BOOTS, ovmfFile } from './logs.ts'

const binary = (source: ImaSource) => Buffer.concat([...binaryImaChunks(source)])

for (const boot of OVMF_BOOTS) {
  test(`the text form of the IMA log ${boot} is the same log`, { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
    const text = ovmfFile(boot, 'ima.txt')
    assert.ok(isAsciiImaLog(text))
    assert.deepEqual(binary(text), ovmfFile(boot, 'ima.bin'))
    const bytes = Array.from(text, (byte) => Uint8Array.of(byte))
    assert.deepEqual(binary(bytes), ovmfFile(boot, 'ima.bin'))
  })
}

test('a binary log stays what it is', () => {
  const log = Buffer.concat([imaEntry(), oldestEntry('/init')])
  assert.equal(isAsciiImaLog(log), false)
  assert.deepEqual(binary([log.subarray(0, 1), log.subarray(1)]), log)
  assert.deepEqual(binary(Buffer.alloc(0)), Buffer.alloc(0))
})

const SHA1 = '3e7462785912a17cbbe83d6d5cc6db199a3466de'
const DIGEST = '07'.repeat(32)

/** What the kernel prints of such an entry, `ima_fs.c` and `ima_template_lib.c`; the digest in front is not compared. */
for (const [line, entry] of [
  [`ima-ng sha256:${DIGEST} /bin/sh`, imaEntry()],
  [`ima-sig sha256:${DIGEST} /bin/sh `, imaEntry({ template: 'ima-sig', fields: [FILE, '/bin/sh\0', ''] })],
  [`ima-sig sha256:${DIGEST} /bin/sh 0302`, imaEntry({ template: 'ima-sig', fields: [FILE, '/bin/sh\0', '\x03\x02'] })],
  [
    `ima-ngv2 verity:sha256:${DIGEST} /bin/sh`,
    imaEntry({ template: 'ima-ngv2', fields: [Buffer.concat([Buffer.from('verity:'), FILE]), '/bin/sh\0'] }),
  ],
  [`ima ${'05'.repeat(20)} /init`, oldestEntry('/init')],
  [
    `evm-sig sha256:${DIGEST} /bin/sh 05 a|b 00 01 0 65534 33261`,
    imaEntry({
      template: 'evm-sig',
      fields: [
        FILE,
        '/bin/sh\0',
        '\x05',
        'a|b\0',
        '\0',
        '\x01',
        Buffer.alloc(4),
        u32(65534),
        Buffer.from([0xed, 0x81]),
      ],
    }),
  ],
] as const) {
  test(`reads the line "${line}"`, () => {
    const read = binary(Buffer.from(`10 ${SHA1} ${line}\n`))
    // The recorded digest is the line's own.
    assert.deepEqual(read.subarray(4, 24).toString('hex'), SHA1)
    assert.deepEqual(read.subarray(24), entry.subarray(24))
  })
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

test('a name with spaces, as old kernels wrote it, is read where the name is the last field', () => {
  const read = binary(Buffer.from(`10 ${SHA1} ima-ng sha256:${DIGEST} /opt/my tool\n`))
  assert.ok(read.includes('/opt/my tool\0'))
})

for (const [what, line, code] of [
  ['a template that does not exist', 'ima-xx sha256:00 /a', 'decode.value'],
  ['too few fields', 'ima-sig sha256:00', 'decode.value'],
  ['too many fields', 'ima-sig sha256:00 /a 00 00', 'decode.value'],
  ['a digest that is no hex', 'ima-ng sha256:zz /a', 'decode.value'],
  ['an odd signature', 'ima-sig sha256:00 /a 030', 'decode.value'],
  ['a number that is too large', `evm-sig sha256:00 /a 05 a 00 01 4294967296 0 0`, 'decode.value'],
] as const) {
  test(`refuses a line with ${what}`, () => refuses(Buffer.from(`10 ${SHA1} ${line}\n`), code))
}

test('refuses a line without an end before it is held', () => {
  const endless = {
    *[Symbol.iterator]() {
      for (;;) yield Buffer.alloc(1 << 20, '10 ')
    },
  }
  const head = Buffer.from(`10 ${SHA1} ima-ng `)
  refuses(
    {
      *[Symbol.iterator]() {
        yield head
        yield* endless
      },
    },
    'decode.too_large',
  )
})

function refuses(source: ImaSource, code: ErrorCode): void {
  assert.throws(
    () => replayImaLog(binaryImaChunks(source), 'sha256'),
    (error) => isTouchstoneError(error, code),
  )
}

const DEVICE = 'dm_version=4.45.0;name=a\\=b\\;c,uuid=u\\\\1,major=253,minor=0,minor_count=1,num_targets=2;'

test('reads a table of the device mapper, with what is escaped in it', () => {
  const table = readDeviceTable(
    `${DEVICE}target_index=0,target_begin=0,target_len=2,target_name=linear,start=512;target_index=1,target_name=crypt,cipher_string=aes-xts-plain64;`,
  )
  assert.equal(table?.name, 'a=b;c')
  assert.equal(table.uuid, 'u\\1')
  assert.deepEqual(
    table.targets.map(({ type }) => type),
    ['linear', 'crypt'],
  )
  assert.equal(table.targets[1]?.attributes.get('cipher_string'), 'aes-xts-plain64')
})

for (const text of [
  '',
  ';',
  'x',
  'name',
  '=a;',
  'name=a;x=1;',
  'name=a,name=b;',
  `${DEVICE}target_index=0;`,
  'uuid=a;',
]) {
  test(`"${text.slice(0, 30)}" is no table`, () => assert.equal(readDeviceTable(text), undefined))
}

test('reads the new name of a device', () => {
  const text = `${DEVICE}new_name=linear\\=2,new_uuid=1234-5678;current_device_capacity=2;`
  assert.equal(readDeviceRename(text), 'linear=2')
  assert.equal(readDeviceRename(DEVICE), undefined)
})

test('every attribute that a file may have is read as a signature or as why it is none', () => {
  assert.deepEqual(readImaSignature(Buffer.alloc(0)), { kind: 'none' })
  for (let first = 0; first < 256; first++) {
    for (const size of [1, 2, 8, 9, 10, 40]) {
      const { kind } = readImaSignature(Buffer.alloc(size, first))
      assert.equal(kind, 'unsupported')
    }
  }
  const good = Buffer.from('030204a1b2c3d4000399aabb', 'hex')
  const read = readImaSignature(good)
  assert.equal(read.kind, 'signature')
  assert.deepEqual([read.version, read.digestType, read.hash, read.keyId], [2, 'ima', 'sha256', 'a1b2c3d4'])
  assert.equal(readImaSignature(Buffer.from('060304a1b2c3d4000399aabb', 'hex')).kind, 'signature')
  assert.equal(readImaSignature(Buffer.from('060204a1b2c3d4000399aabb', 'hex')).kind, 'unsupported')
})
