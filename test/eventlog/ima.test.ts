import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { isTouchstoneError, toHex, type ErrorCode } from '../../src/core/index.ts'
import { bootAggregate } from '../../src/eventlog/ima/boot-aggregate.ts'
import { imaFindings } from '../../src/eventlog/ima/ima-findings.ts'
import { MAX_IMA_LOG_SIZE, parseImaLog } from '../../src/eventlog/ima/parse-ima-log.ts'
import { extensionsOf, imaPrefixValues, matchImaLog, replayImaLog } from '../../src/eventlog/ima/replay-ima-log.ts'
import { imaMeasurement } from '../../src/eventlog/ima/templates.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { replayEventLog } from '../../src/eventlog/replay.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { BOOTS, bootFile, bootPcrs, OVMF_BOOTS, ovmfFile, ovmfPcrs } from './logs.ts'

type Endian = 'little' | 'big'

const sha1 = (data: Buffer) => createHash('sha1').update(data).digest()
const sha256 = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest()

function u32(value: number, endian: Endian = 'little'): Buffer {
  const bytes = Buffer.alloc(4)
  if (endian === 'little') bytes.writeUInt32LE(value)
  else bytes.writeUInt32BE(value)
  return bytes
}

const sized = (data: Buffer | string, endian?: Endian) => {
  const bytes = Buffer.from(data)
  return Buffer.concat([u32(bytes.byteLength, endian), bytes])
}

interface EntrySpec {
  readonly template?: string
  readonly fields?: readonly (Buffer | string)[]
  readonly pcr?: number
  readonly digest?: Buffer
  readonly endian?: Endian
}

const FILE = Buffer.concat([Buffer.from('sha256:\0'), Buffer.alloc(32, 7)])

function entry(spec: EntrySpec = {}): Buffer {
  const { template = 'ima-ng', fields = [FILE, '/bin/sh\0'], endian = 'little' } = spec
  const data = Buffer.concat(fields.map((field) => sized(field, endian)))
  return Buffer.concat([
    u32(spec.pcr ?? 10, endian),
    spec.digest ?? sha1(data),
    sized(template, endian),
    u32(data.byteLength, endian),
    data,
  ])
}

/** An entry of the template from before lengths: a bare digest, and a name without its NUL. */
function oldEntry(name: string): Buffer {
  const digest = Buffer.alloc(20, 5)
  const hashed = Buffer.concat([digest, Buffer.from(name), Buffer.alloc(256 - name.length)])
  return Buffer.concat([u32(10), sha1(hashed), sized('ima'), digest, sized(name)])
}

const measurementOf = (bytes: Buffer) => {
  const log = parseImaLog(bytes)
  const [first] = log.entries
  assert.ok(first)
  return imaMeasurement(first, log.endian)
}

for (const boot of BOOTS) {
  test(`the IMA log of the recorded boot ${boot} leads to PCR 10 of its TPM in every bank`, () => {
    const log = parseImaLog(bootFile(boot, 'ima.bin'))
    const pcrs = bootPcrs(boot)
    const quoted = (bank: string) => Buffer.from(pcrs[bank]?.['10'] ?? '', 'hex')
    assert.deepEqual(matchImaLog(log, 'sha1', quoted('sha1')), { covered: 37, extension: 'recorded' })
    assert.deepEqual(matchImaLog(log, 'sha256', quoted('sha256')), { covered: 37, extension: 'computed' })
    // The kernel was built without SHA-384, so it pads.
    assert.deepEqual(matchImaLog(log, 'sha384', quoted('sha384')), { covered: 37, extension: 'padded' })
    assert.deepEqual(imaFindings(log, 'sha1'), [])
  })

  test(`the IMA log of the recorded boot ${boot} began on that boot`, () => {
    const log = parseImaLog(bootFile(boot, 'ima.bin'))
    const firmware = parseEventLog(bootFile(boot, 'eventlog.bin'))
    assert.equal(bootAggregate(log, replayEventLog(firmware, 'sha256'))?.matches, true)
    assert.equal(bootAggregate(log, replayEventLog(firmware, 'sha1')), undefined)
  })
}

test('the IMA log of another boot does not match the firmware log', () => {
  const log = parseImaLog(bootFile('honest', 'ima.bin'))
  const firmware = replayEventLog(parseEventLog(bootFile('cmdline', 'eventlog.bin')), 'sha256')
  assert.equal(bootAggregate(log, firmware)?.matches, false)
})

for (const boot of OVMF_BOOTS) {
  test(`the IMA log of the boot ${boot} of the shared data leads to PCR 10`, { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
    const log = parseImaLog(ovmfFile(boot, 'ima.bin'))
    for (const bank of ['sha1', 'sha256'] as const) {
      const quoted = Buffer.from(ovmfPcrs(boot).get(`${bank}:10`) ?? '', 'hex')
      assert.equal(matchImaLog(log, bank, quoted)?.covered, log.entries.length)
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
    const measurement = measurementOf(entry({ template, fields }))
    assert.equal(measurement?.name, name)
    assert.equal(measurement.digestType, digestType)
    assert.equal(measurement.algorithm, 'sha256')
    assert.deepEqual(measurement.digest, Buffer.alloc(32, 7))
    assert.equal(measurement.fields.size, fields.length - 2)
    assert.deepEqual(imaFindings(parseImaLog(entry({ template, fields })), 'sha1'), [])
  })
}

test('reads the oldest template, whose digest covers its name padded to 256 bytes', () => {
  const log = parseImaLog(Buffer.concat([oldEntry('/bin/sh'), oldEntry('/init')]))
  assert.deepEqual(
    log.entries.map((each) => imaMeasurement(each, log.endian)?.name),
    ['/bin/sh', '/init'],
  )
  assert.deepEqual(imaFindings(log, 'sha1'), [])
})

test('reads logs of big-endian machines', () => {
  const log = parseImaLog(Buffer.concat([entry({ endian: 'big' }), entry({ endian: 'big' })]))
  assert.equal(log.endian, 'big')
  assert.equal(log.entries.length, 2)
  assert.deepEqual(imaFindings(log, 'sha1'), [])
})

test('a violation is recorded as zeros and extended as ones', () => {
  const zeros = Buffer.alloc(20)
  const log = parseImaLog(entry({ digest: zeros }))
  assert.equal(log.entries[0]?.violation, true)
  const expected = sha256(Buffer.alloc(32), Buffer.alloc(32, 0xff))
  assert.deepEqual(replayImaLog(log, 'sha256').values.get('computed'), expected)
  assert.deepEqual(replayImaLog(log, 'sha256').values.get('padded'), expected)
  assert.deepEqual(
    imaFindings(log, 'sha256').map(({ code, severity }) => [code, severity]),
    [['eventlog.ima_violation', 'warning']],
  )
})

const three = Buffer.concat([entry(), entry({ fields: [FILE, '/a\0'] }), entry({ fields: [FILE, '/b\0'] })])

test('a log that ran ahead of the quote matches at a prefix, and says how much of it the quote covers', () => {
  const quoted = replayImaLog(parseImaLog(three.subarray(0, entry().byteLength)), 'sha256')
  const log = parseImaLog(three)
  for (const extension of ['computed', 'padded'] as const) {
    const value = quoted.values.get(extension)
    assert.ok(value)
    assert.deepEqual(matchImaLog(log, 'sha256', value), { covered: 1, extension })
  }
  assert.equal(matchImaLog(log, 'sha256', Buffer.alloc(32))?.covered, 0)
})

test('a value that no prefix leads to is no match', () => {
  assert.equal(matchImaLog(parseImaLog(three), 'sha256', Buffer.alloc(32, 1)), undefined)
  assert.equal(matchImaLog(parseImaLog(three), 'sha256', Buffer.alloc(20)), undefined)
})

test('the values of all prefixes begin before the first entry and end behind the last', () => {
  const log = parseImaLog(three)
  for (const extension of extensionsOf('sha256')) {
    const values = [...imaPrefixValues(log, 'sha256', extension)]
    assert.equal(values.length, 4)
    assert.deepEqual(values[0], Buffer.alloc(32))
    assert.deepEqual(values[3], replayImaLog(log, 'sha256').values.get(extension))
    for (const [covered, value] of values.entries()) assert.equal(matchImaLog(log, 'sha256', value)?.covered, covered)
  }
})

test('a part of a log goes on from the running value', () => {
  const whole = parseImaLog(three)
  const size = entry().byteLength
  const first = replayImaLog(parseImaLog(three.subarray(0, size)), 'sha256').values.get('computed')
  assert.ok(first)
  const rest = parseImaLog(three.subarray(size))
  assert.deepEqual(
    replayImaLog(rest, 'sha256', { from: first }).values.get('computed'),
    replayImaLog(whole, 'sha256').values.get('computed'),
  )
})

test('entries of other registers do not count', () => {
  const log = parseImaLog(Buffer.concat([entry({ pcr: 11 }), entry()]))
  const only = replayImaLog(parseImaLog(entry()), 'sha1').values.get('recorded')
  assert.deepEqual(replayImaLog(log, 'sha1').values.get('recorded'), only)
  assert.notDeepEqual(replayImaLog(log, 'sha1', { pcr: 11 }).values, replayImaLog(parseImaLog(three), 'sha1').values)
})

for (const [name, bytes, severity, code] of [
  ['a template that does not exist', entry({ template: 'ima-xx' }), 'error', 'eventlog.ima_template'],
  ['fewer fields than the template has', entry({ template: 'ima-sig' }), 'error', 'eventlog.ima_template'],
  ['more fields than the template has', entry({ fields: [FILE, '/a\0', ''] }), 'error', 'eventlog.ima_template'],
  ['a digest without its algorithm', entry({ fields: [Buffer.alloc(20), '/a\0'] }), 'error', 'eventlog.ima_template'],
  ['a recorded digest of something else', entry({ digest: Buffer.alloc(20, 1) }), 'error', 'eventlog.ima_digest'],
] as const) {
  test(`an entry with ${name} is of severity ${severity}`, () => {
    assert.deepEqual(
      imaFindings(parseImaLog(bytes), 'sha1').map((each) => [each.code, each.severity, each.event]),
      [[code, severity, 0]],
    )
  })
}

test('a recorded SHA-1 digest is a warning where another bank is judged', () => {
  const log = parseImaLog(entry({ digest: Buffer.alloc(20, 1) }))
  assert.deepEqual(
    imaFindings(log, 'sha256').map(({ severity }) => severity),
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
  for (let size = 1; size < entry().byteLength; size++) refuses(entry().subarray(0, size), 'decode.truncated')
  for (let size = 1; size < oldEntry('/a').byteLength; size++)
    refuses(oldEntry('/a').subarray(0, size), 'decode.truncated')
})

test('refuses a template name of no bytes or of too many', () => {
  refuses(Buffer.concat([u32(10), Buffer.alloc(20, 1), u32(0), u32(0)]), 'decode.too_large')
  refuses(Buffer.concat([u32(10), Buffer.alloc(20, 1), u32(256), Buffer.alloc(300)]), 'decode.too_large')
})

test('refuses template data of 2^32-1 bytes', () => {
  refuses(Buffer.concat([u32(10), Buffer.alloc(20, 1), sized('ima-ng'), u32(0xffffffff)]), 'decode.truncated')
})

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
      assert.ok(isCaught(changed, quoted, entries.length), `byte ${at} of entry ${index}`)
    }
  }
})

function isCaught(bytes: Buffer, quoted: Buffer, covered: number): boolean {
  try {
    const log = parseImaLog(bytes)
    if (matchImaLog(log, 'sha256', quoted)?.covered !== covered) return true
    return imaFindings(log, 'sha256').some(({ severity }) => severity === 'error')
  } catch (error) {
    if (isTouchstoneError(error)) return true
    throw error
  }
}
