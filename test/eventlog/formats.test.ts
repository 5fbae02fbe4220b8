import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError } from '../../src/core/index.ts'
import { describeEventLog } from '../../src/eventlog/describe.ts'
import { parseEventLog, readAnyLog } from '../../src/eventlog/parse.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { agileLog, event, regularBoot, sha1Log } from './build-log.ts'
import { BOOTS, bootFile, bootPcrs, OVMF_BOOTS, ovmfFile, ovmfPcrs, realLog, realLogs } from './logs.ts'

/** The text form of a log, as the kernel prints templates of a digest, a name and what else is in hex behind them. */
function asciiOf(log: ReturnType<typeof readAnyLog>): Buffer {
  const lines = log.events.map(({ pcr, digests, data, attributes }) => {
    const fields: Buffer[] = []
    for (let at = 0; at < data.byteLength; at += 4 + data.readUInt32LE(at)) {
      fields.push(data.subarray(at + 4, at + 4 + data.readUInt32LE(at)))
    }
    const [digest = Buffer.alloc(0), name = Buffer.alloc(0), ...others] = fields
    const label = digest.indexOf(0)
    const sha1 = attributes?.['violation'] === undefined ? digests.get('sha1') : Buffer.alloc(20)
    return [
      String(pcr).padStart(2),
      sha1?.toString('hex') ?? '',
      attributes?.['template'] ?? '',
      `${digest.toString('latin1', 0, label)}${digest.toString('hex', label + 1)}`,
      name.toString('utf8', 0, name.byteLength - 1),
      ...others.map((field) => field.toString('hex')),
    ].join(' ')
  })
  return Buffer.from(`${lines.join('\n')}\n`)
}

for (const boot of BOOTS) {
  test(`the IMA log of the recorded boot ${boot} is shown, and leads to PCR 10 of its TPM`, () => {
    const bytes = bootFile(boot, 'ima.bin')
    const description = describeEventLog(bytes)
    assert.equal(description.format, 'ima')
    assert.ok(description.events.length > 0)
    for (const bank of ['sha1', 'sha256']) assert.equal(description.pcrs[bank]?.['10'], bootPcrs(boot)[bank]?.['10'])
    for (const { type, pcr, binding } of description.events) {
      assert.deepEqual([type, pcr, binding], ['ima_template', 10, 'bound'])
    }
    assert.match(description.events[0]?.summary ?? '', /^boot_aggregate sha\d+:[0-9a-f]+$/)
    assert.deepEqual(description.findings, [])
  })
}

test('the text form of an IMA log says the same', () => {
  const binary = readAnyLog(bootFile('honest', 'ima.bin'))
  const ascii = describeEventLog(asciiOf(binary))
  assert.equal(ascii.format, 'ima-ascii')
  assert.equal(ascii.events.length, binary.events.length)
  assert.equal(ascii.pcrs['sha256']?.['10'], bootPcrs('honest')['sha256']?.['10'])
})

for (const boot of OVMF_BOOTS) {
  test(`the IMA log of the boot ${boot} of the shared data leads to PCR 10`, { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
    const { pcrs } = describeEventLog(ovmfFile(boot, 'ima.bin'))
    for (const bank of ['sha1', 'sha256']) assert.equal(pcrs[bank]?.['10'], ovmfPcrs(boot).get(`${bank}:10`))
  })
}

test('a changed entry of IMA is a mismatch, whichever bank is looked at', () => {
  const bytes = bootFile('honest', 'ima.bin')
  const at = bytes.indexOf('boot_aggregate')
  bytes.write('bOOt_aggregate', at)
  const { events, findings } = describeEventLog(bytes)
  assert.equal(events[0]?.binding, 'mismatch')
  assert.ok(findings.some(({ code }) => code === 'eventlog.ima_digest'))
})

test('a verdict does not rest on an IMA log', () => {
  assert.throws(
    () => parseEventLog(bootFile('honest', 'ima.bin')),
    (error) => isTouchstoneError(error, 'eventlog.format'),
  )
})

test('logs of the TCG are told from all others', () => {
  assert.equal(readAnyLog(agileLog(regularBoot())).format, 'tcg2')
  assert.equal(readAnyLog(event({ pcr: 14, type: 1 })).format, 'tcg2-headerless')
  for (const type of [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0x80000001, 0x80000008]) {
    for (let pcr = 0; pcr < 24; pcr++) {
      assert.equal(readAnyLog(sha1Log([{ pcr, type, data: 'x' }])).format, 'tcg1.2')
      assert.equal(readAnyLog(event({ pcr, type, data: 'x' })).format, 'tcg2-headerless')
    }
  }
})

test('no log of a real machine is taken for one of another format', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  for (const name of realLogs()) assert.equal(readAnyLog(realLog(name)).format, parseEventLog(realLog(name)).format)
})

test('refuses an empty file', () => {
  assert.throws(
    () => readAnyLog(Buffer.alloc(0)),
    (error) => isTouchstoneError(error, 'eventlog.empty'),
  )
})

test('refuses text that is no log', () => {
  for (const text of ['hello, world\n', '{"a":1}', '[1]', '\x1e', '<xml/>', '-----BEGIN CERTIFICATE-----\n']) {
    assert.throws(
      () => readAnyLog(Buffer.from(text)),
      (error) => isTouchstoneError(error),
      text,
    )
  }
})
