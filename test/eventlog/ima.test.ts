import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError, toHex, type ErrorCode } from '../../src/core/index.ts'
import { bootAggregate } from '../../src/eventlog/ima/boot-aggregate.ts'
import { imaFindings } from '../../src/eventlog/ima/ima-findings.ts'
import { MAX_IMA_LOG_SIZE, parseImaLog } from '../../src/eventlog/ima/parse-ima-log.ts'
import { extensionsOf } from '../../src/eventlog/ima/ima-register.ts'
import { replayImaLog } from '../../src/eventlog/ima/replay-ima-log.ts'
import { imaMeasurement } from '../../src/eventlog/ima/templates.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { replayEventLog } from '../../src/eventlog/replay.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { digestOf, FILE, imaEntry, oldestEntry, pcr10, sized, u32 } from './build-ima-log.ts'
import { BOOTS, bootFile, bootPcrs, OVMF_BOOTS, ovmfFile, ovmfPcrs } from './logs.ts'

const measurementOf = (bytes: Buffer) => {
  const log = parseImaLog(bytes)
  const [first] = log.entries
  assert.ok(first)
  return imaMeasurement(first, log.endian)
}

function aggregateOf(boot: (typeof BOOTS)[number]) {
  const measured = measurementOf(bootFile(boot, 'ima.bin'))
  assert.equal(measured?.name, 'boot_aggregate')
  return measured
}

for (const boot of BOOTS) {
  test(`the IMA log of the recorded boot ${boot} leads to PCR 10 of its TPM in every bank`, () => {
    const log = bootFile(boot, 'ima.bin')
    const pcrs = bootPcrs(boot)
    assert.deepEqual(extensionsOf('sha1'), ['recorded'])
    // The kernel was built without SHA-384, so it pads.
    for (const [bank, extension] of [
      ['sha1', 'recorded'],
      ['sha256', 'computed'],
      ['sha384', 'padded'],
    ] as const) {
      const { value, entries } = replayImaLog(log, bank, extension)
      assert.equal(toHex(value), pcrs[bank]?.['10'])
      assert.equal(entries, 37)
    }
    assert.deepEqual(imaFindings(log, 'sha1'), [])
  })

  test(`the IMA log of the recorded boot ${boot} began on that boot`, () => {
    const aggregate = aggregateOf(boot)
    const firmware = parseEventLog(bootFile(boot, 'eventlog.bin'))
    assert.equal(bootAggregate(aggregate, replayEventLog(firmware, 'sha256'))?.matches, true)
    assert.equal(bootAggregate(aggregate, replayEventLog(firmware, 'sha1')), undefined)
  })
}

test('the IMA log of another boot does not match the firmware log', () => {
  const firmware = replayEventLog(parseEventLog(bootFile('cmdline', 'eventlog.bin')), 'sha256')
  assert.equal(bootAggregate(aggregateOf('honest'), firmware)?.matches, false)
})

for (const boot of OVMF_BOOTS) {
  test(`the IMA log of the boot ${boot} of the shared data leads to PCR 10`, { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
    const log = parseImaLog(ovmfFile(boot, 'ima.bin'))
    for (const bank of ['sha1', 'sha256'] as const) {
      assert.equal(toHex(replayImaLog(ovmfFile(boot, 'ima.bin'), bank).value), ovmfPcrs(boot).get(`${bank}:10`))
    }
    const lines = ovmfFile(boot, 'ima.txt').toString().split('\n').slice(0, -1)
    const ours = log.entries.map((each) => {
      const measurement = imaMeasurement(each, log.endian)
      assert.ok(measurement)
      const rest = [...measurement.fields.values()].map(toHex).join(' ')
      const digest = `${measurement.algorithm}:${toHex(measurement.digest)}`
      return `${each.pcr} ${toHex(each.templateDigest)} ${each.template} ${digest} ${measurement.name} ${rest}`
    })
    assert.deepEqual(ours, lines)
  })
}

test('an empty log has no entries', () => {
  assert.deepEqual(parseImaLog(Buffer.alloc(0)).entries, [])
})

for (const [template, fields, name, digestType] of [
  ['ima-ng', [FILE, '/bin/sh\0'], '/bin/sh', 'ima'],
  ['ima-sig', [FILE, '/bin/sh\0', 'signature'], '/bin/sh', 'ima'],
  ['ima-ngv2', [Buffer.concat([Buffer.from('verity:'), FILE]), '/bin/sh\0'], '/bin/sh', 'verity'],
  ['ima-sigv2', [Buffer.concat([Buffer.from('ima:'), FILE]), '/bin/sh\0', ''], '/bin/sh', 'ima'],
  ['ima-modsig', [FILE, '/m.ko\0', '', FILE, 'pkcs7'], '/m.ko', 'ima'],
  ['ima-buf', [FILE, 'kexec-cmdline\0', 'quiet'], 'kexec-cmdline', 'ima'],
  ['evm-sig', [FILE, '/bin/sh\0', 'sig', 'security.ima', 'l', 'v', 'uid', 'gid', 'mode'], '/bin/sh', 'ima'],
  ['d-ng|n-ng|sig', [FILE, '/bin/sh\0', ''], '/bin/sh', 'ima'],
] as const) {
  test(`reads the template ${template}`, () => {
    const measurement = measurementOf(imaEntry({ template, fields }))
    assert.equal(measurement?.name, name)
    assert.equal(measurement.digestType, digestType)
    assert.equal(measurement.algorithm, 'sha256')
    assert.deepEqual(measurement.digest, Buffer.alloc(32, 7))
    assert.equal(measurement.fields.size, fields.length - 2)
    assert.deepEqual(imaFindings(imaEntry({ template, fields }), 'sha1'), [])
  })
}

test('reads the oldest template, whose digest covers its name padded to 256 bytes', () => {
  const log = parseImaLog(Buffer.concat([oldestEntry('/bin/sh'), oldestEntry('/init')]))
  assert.deepEqual(
    log.entries.map((each) => imaMeasurement(each, log.endian)?.name),
    ['/bin/sh', '/init'],
  )
  assert.deepEqual(imaFindings(Buffer.concat([oldestEntry('/bin/sh'), oldestEntry('/init')]), 'sha1'), [])
})

test('reads logs of big-endian machines', () => {
  const bytes = Buffer.concat([imaEntry({ endian: 'big' }), imaEntry({ endian: 'big' })])
  const log = parseImaLog(bytes)
  assert.equal(log.endian, 'big')
  assert.equal(log.entries.length, 2)
  assert.deepEqual(imaFindings(bytes, 'sha1'), [])
})

test('a violation is recorded as zeros and extended as ones', () => {
  const bytes = imaEntry({ digest: Buffer.alloc(20) })
  assert.equal(parseImaLog(bytes).entries[0]?.violation, true)
  const expected = digestOf('sha256', Buffer.alloc(32), Buffer.alloc(32, 0xff))
  for (const way of extensionsOf('sha256')) assert.deepEqual(replayImaLog(bytes, 'sha256', way).value, expected)
  assert.deepEqual(
    imaFindings(bytes, 'sha256').map(({ code, severity }) => [code, severity]),
    [['eventlog.ima_violation', 'warning']],
  )
})

const parts = [imaEntry(), imaEntry({ fields: [FILE, '/a\0'] }), imaEntry({ fields: [FILE, '/b\0'] })]
const three = Buffer.concat(parts)

for (const bank of ['sha1', 'sha256', 'sha384', 'sha512'] as const) {
  for (const way of extensionsOf(bank)) {
    test(`extends ${bank}, ${way}, as the kernel does`, () => {
      assert.deepEqual(replayImaLog(three, bank, way).value, pcr10(bank, parts, way))
    })
  }
}

test('a part of a log goes on from the running value', () => {
  const [first = Buffer.alloc(0)] = parts
  const { value } = replayImaLog(first, 'sha256')
  const rest = replayImaLog(three.subarray(first.byteLength), 'sha256', 'computed', value)
  assert.deepEqual(rest.value, pcr10('sha256', parts))
})

test('replay is the same wherever the log is cut', () => {
  const log = bootFile('honest', 'ima.bin')
  const whole = replayImaLog(log, 'sha256')
  for (const size of [1, 7, 28, 113, 4096]) {
    const chunks = Array.from({ length: Math.ceil(log.byteLength / size) }, (_, at) =>
      log.subarray(at * size, (at + 1) * size),
    )
    assert.deepEqual(replayImaLog(chunks, 'sha256'), whole)
  }
})

test('entries of other registers do not count', () => {
  const { value } = replayImaLog(Buffer.concat([imaEntry({ pcr: 11 }), imaEntry()]), 'sha1')
  assert.deepEqual(value, replayImaLog(imaEntry(), 'sha1').value)
})

for (const [name, bytes, severity, code] of [
  ['a template that does not exist', imaEntry({ template: 'ima-xx' }), 'error', 'eventlog.ima_template'],
  ['fewer fields than the template has', imaEntry({ template: 'ima-sig' }), 'error', 'eventlog.ima_template'],
  ['more fields than the template has', imaEntry({ fields: [FILE, '/a\0', ''] }), 'error', 'eventlog.ima_template'],
  [
    'a digest without its algorithm',
    imaEntry({ fields: [Buffer.alloc(20), '/a\0'] }),
    'error',
    'eventlog.ima_template',
  ],
  ['a recorded digest of something else', imaEntry({ digest: Buffer.alloc(20, 1) }), 'error', 'eventlog.ima_digest'],
] as const) {
  test(`an entry with ${name} is of severity ${severity}`, () => {
    assert.deepEqual(
      imaFindings(bytes, 'sha1').map((each) => [each.code, each.severity, each.event]),
      [[code, severity, 0]],
    )
  })
}

test('a recorded SHA-1 digest is a warning where another bank is judged', () => {
  assert.deepEqual(
    imaFindings(imaEntry({ digest: Buffer.alloc(20, 1) }), 'sha256').map(({ severity }) => severity),
    ['warning'],
  )
})

function refuses(bytes: Buffer, code: ErrorCode): void {
  assert.throws(
    () => parseImaLog(bytes),
    (error) => isTouchstoneError(error, code),
  )
}

test('refuses a log that ends anywhere but behind an entry', () => {
  for (let size = 1; size < imaEntry().byteLength; size++) refuses(imaEntry().subarray(0, size), 'decode.truncated')
  for (let size = 1; size < oldestEntry('/a').byteLength; size++)
    refuses(oldestEntry('/a').subarray(0, size), 'decode.truncated')
})

test('refuses a template name of no bytes or of too many', () => {
  refuses(Buffer.concat([u32(10), Buffer.alloc(20, 1), u32(0), u32(0)]), 'decode.too_large')
  refuses(Buffer.concat([u32(10), Buffer.alloc(20, 1), u32(256), Buffer.alloc(300)]), 'decode.too_large')
})

test('refuses template data of 2^32-1 bytes before anything is allocated for it', () => {
  refuses(Buffer.concat([u32(10), Buffer.alloc(20, 1), sized('ima-ng'), u32(0xffffffff)]), 'decode.too_large')
})

for (const [name, template, fields] of [
  ['takes digest and path from elsewhere', 'sig|n-ng|d', [Buffer.alloc(20, 3), '/bin/sh\0', 'sig']],
  ['has no path', 'd-ng|sig', [FILE, '']],
  ['has a field twice in place of its path', 'd-ng|d-ng', [FILE, FILE]],
] as const) {
  test(`a template that ${name} is none, because its name is not measured`, () => {
    assert.deepEqual(
      imaFindings(imaEntry({ template, fields }), 'sha256').map(({ code }) => code),
      ['eventlog.ima_template'],
    )
  })
}

test('refuses a log above the limit before it reads it', () => {
  refuses(Buffer.alloc(MAX_IMA_LOG_SIZE + 1), 'decode.too_large')
})

test('no byte of a recorded IMA log can be changed unseen, but the recorded SHA-1 digests that no bank but SHA-1 uses', () => {
  const bytes = bootFile('honest', 'ima.bin')
  const quoted = Buffer.from(bootPcrs('honest')['sha256']?.['10'] ?? '', 'hex')
  const { entries } = parseImaLog(bytes)
  for (const { offset, index } of entries) {
    const end = entries[index + 1]?.offset ?? bytes.byteLength
    for (let at = offset; at < end; at++) {
      if (at >= offset + 4 && at < offset + 24) continue
      const changed = Buffer.from(bytes)
      changed[at] = (bytes[at] ?? 0) ^ 0x01
      assert.ok(isCaught(changed, quoted), `byte ${at} of entry ${index}`)
    }
  }
})

function isCaught(bytes: Buffer, quoted: Buffer): boolean {
  try {
    if (!replayImaLog(bytes, 'sha256').value.equals(quoted)) return true
    return imaFindings(bytes, 'sha256').some(({ severity }) => severity === 'error')
  } catch (error) {
    if (isTouchstoneError(error)) return true
    throw error
  }
}
