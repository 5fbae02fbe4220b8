import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { encode } from 'cborg'
import fc from 'fast-check'
import { isTouchstoneError, toHex, type ErrorCode } from '../../src/core/index.ts'
import { annotate } from '../../src/eventlog/annotate.ts'
import { describeEventLog } from '../../src/eventlog/describe.ts'
import { structuralFindings } from '../../src/eventlog/findings/structural-findings.ts'
import { REPLAY_BANKS, type EventLog } from '../../src/eventlog/log.ts'
import { parseEventLog, readAnyLog } from '../../src/eventlog/parse.ts'
import { registerValue, replayEventLog } from '../../src/eventlog/replay.ts'
import { SKIP_WITHOUT_SHARED_DATA, sharedData } from '../fixtures/shared-data.ts'
import { digestOf, TYPE } from './build-log.ts'
import {
  asCbor,
  asJson,
  asTlv,
  cborRecord,
  integer,
  jsonRecord,
  recordsOf,
  tlv,
  tlvRecord,
  type RecordSpec,
} from './cel-writers.ts'
import { BOOTS, bootFile, bootPcrs, realLog, realLogs } from './logs.ts'

const ENCODINGS = { 'cel-tlv': asTlv, 'cel-json': asJson, 'cel-cbor': asCbor } as const
const FORMATS = Object.keys(ENCODINGS) as (keyof typeof ENCODINGS)[]

function pcrsOf(log: EventLog): Record<string, Record<string, string>> {
  return Object.fromEntries(
    REPLAY_BANKS.filter((bank) => log.banks.includes(bank)).map((bank) => [
      bank,
      Object.fromEntries([...replayEventLog(log, bank).values].map(([pcr, value]) => [String(pcr), toHex(value)])),
    ]),
  )
}

function codes(log: EventLog): string[] {
  return log.findings.map(({ code, severity }) => `${severity} ${code}`)
}

function refuses(bytes: Buffer, code: ErrorCode): void {
  assert.throws(
    () => readAnyLog(bytes),
    (error) => isTouchstoneError(error, code),
  )
}

/** Some records with a digest of each payload. */
function records(...rows: readonly (readonly [pcr: number, text: string])[]): RecordSpec[] {
  return recordsOf(
    rows.map(([pcr, text], index) => ({
      index,
      pcr,
      type: TYPE.efiAction,
      digests: new Map([['sha256', digestOf('sha256', text)]]),
      data: Buffer.from(text),
      offset: 0,
    })),
  )
}

for (const format of FORMATS) {
  for (const boot of BOOTS) {
    test(`reads the recorded boot ${boot} as ${format} like the log that it was made from`, () => {
      const native = parseEventLog(bootFile(boot, 'eventlog.bin'))
      const log = parseEventLog(ENCODINGS[format](recordsOf(native.events)))
      assert.equal(log.format, format)
      assert.equal(log.registers, 'pcr')
      assert.deepEqual(log.banks, native.banks)
      assert.deepEqual(log.findings, [])
      const shown = ({ index, pcr, type, digests, data }: EventLog['events'][number]) => [
        index,
        pcr,
        type,
        [...digests].map(([bank, digest]) => [bank, toHex(digest)]),
        toHex(data),
      ]
      assert.deepEqual(log.events.map(shown), native.events.map(shown))
      for (const [bank, values] of Object.entries(pcrsOf(log))) {
        for (const [pcr, value] of Object.entries(values)) assert.equal(value, bootPcrs(boot)[bank]?.[pcr])
      }
    })
  }

  test(
    `replays the logs of real machines as ${format} to the values on which two other programs agree`,
    { skip: SKIP_WITHOUT_SHARED_DATA },
    () => {
      const goldens = JSON.parse(readFileSync(sharedData('eventlogs/goldens.json'), 'utf8')) as Record<
        string,
        { events: number; pcrs: Record<string, Record<string, string>> }
      >
      let compared = 0
      for (const name of realLogs()) {
        const native = parseEventLog(realLog(name))
        // The canonical log has no register 0xFFFFFFFF, and RTMRs only by a type of their own.
        if (native.registers === 'rtmr' || native.events.some(({ pcr }) => pcr > 23)) continue
        const golden = goldens[`${name}.bin`]
        const log = parseEventLog(ENCODINGS[format](recordsOf(native.events)))
        assert.equal(log.events.length, golden?.events, name)
        assert.deepEqual(pcrsOf(log), golden?.pcrs, name)
        compared++
      }
      assert.ok(compared >= 20)
    },
  )

  test(`a ${format} log cut anywhere is refused with a code, or ends behind a record`, () => {
    const whole = records([4, 'a'], [4, 'b'], [5, 'c'])
    const bytes = ENCODINGS[format](whole)
    const prefixes = [1, 2].map((count) => toHex(ENCODINGS[format](whole.slice(0, count))))
    for (let size = 1; size < bytes.byteLength; size++) {
      try {
        const { events } = readAnyLog(bytes.subarray(0, size))
        assert.ok(format === 'cel-tlv' && prefixes.includes(toHex(bytes.subarray(0, size))), `cut at ${size}`)
        assert.ok(events.length < 3)
      } catch (error) {
        assert.ok(isTouchstoneError(error), `cut at ${size}: ${String(error)}`)
      }
    }
  })

  test(`a ${format} log with any few bytes changed is read or refused with a code`, () => {
    const bytes = ENCODINGS[format](records([4, 'a'], [7, 'b'], [10, 'c']))
    const change = fc.tuple(fc.nat({ max: bytes.byteLength - 1 }), fc.integer({ min: 0, max: 255 }))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const changed = Buffer.from(bytes)
        for (const [at, value] of changes) changed[at] = value
        try {
          JSON.stringify(describeEventLog(changed))
        } catch (error) {
          if (!isTouchstoneError(error)) throw error
        }
      }),
      { numRuns: 400 },
    )
  })

  test(`finds records of a ${format} log whose numbers contradict their order`, () => {
    const [a, b, c] = records([4, 'a'], [4, 'b'], [4, 'c'])
    assert.ok(a && b && c)
    assert.deepEqual(codes(readAnyLog(ENCODINGS[format]([a, c, b]))), ['error eventlog.record_order'])
    assert.deepEqual(codes(readAnyLog(ENCODINGS[format]([a, a, b]))), ['error eventlog.record_order'])
    assert.deepEqual(codes(readAnyLog(ENCODINGS[format]([a, c]))), ['warning eventlog.record_gap'])
  })

  test(`shows records of a ${format} log that extend an NV index, and replays none of them`, () => {
    const [record] = records([4, 'a'])
    assert.ok(record)
    const { recnum, digests, eventType, data } = record
    const log = readAnyLog(ENCODINGS[format]([record, { recnum, digests, eventType, data, nvIndex: 0x01d10200 }]))
    assert.equal(log.events[1]?.pcr, 0x01d10200)
    assert.deepEqual(codes(log), ['info eventlog.nv_index'])
    assert.deepEqual([...replayEventLog(log, 'sha256').values.keys()], [4])
  })

  test(`an NV index of a ${format} log by a small number is not the register of that number`, () => {
    const [record] = records([4, 'a'])
    assert.ok(record)
    const { recnum, digests, eventType, data } = record
    const log = readAnyLog(ENCODINGS[format]([{ recnum, digests, eventType, data, nvIndex: 4 }]))
    assert.deepEqual([...replayEventLog(log, 'sha256').values.keys()], [])
  })

  test(`finds a register that does not exist in a ${format} log`, () => {
    assert.deepEqual(codes(readAnyLog(ENCODINGS[format](records([24, 'a'])))), ['error eventlog.register_range'])
  })

  test(`says from where a bank has no digests in a ${format} log`, () => {
    const [a, b] = records([4, 'a'], [4, 'b'])
    assert.ok(a && b)
    const both = { ...a, digests: new Map([...a.digests, ['sha1', digestOf('sha1', 'a')]]) }
    const log = readAnyLog(ENCODINGS[format]([both, b]))
    assert.deepEqual(codes(log), ['warning eventlog.digest_missing'])
  })

  test(`refuses a digest of the wrong size in a ${format} log`, () => {
    const [record] = records([4, 'a'])
    assert.ok(record)
    refuses(ENCODINGS[format]([{ ...record, digests: new Map([['sha256', Buffer.alloc(20)]]) }]), 'eventlog.digests')
  })
}

test('records numbered through the whole log are in order too', () => {
  const numbered = records([4, 'a'], [5, 'b'], [4, 'c']).map((record, recnum) => ({ ...record, recnum }))
  assert.deepEqual(codes(readAnyLog(asTlv(numbered))), [])
})

test('keeps digests of an unknown algorithm, and says that the bank is skipped', () => {
  const [record] = records([4, 'a'])
  assert.ok(record)
  const digests = new Map([...record.digests, ['0x99', Buffer.alloc(7)]])
  const log = readAnyLog(asTlv([{ ...record, digests }]))
  assert.deepEqual(log.banks, ['sha256', '0x99'])
  assert.deepEqual(codes(log), ['info eventlog.algorithm_unknown'])
})

test('reads integers of a TLV in as many bytes as the writer likes', () => {
  const [record] = records([4, 'a'])
  assert.ok(record)
  for (const sizes of [{}, { recnum: 8, pcr: 1 }, { recnum: 4, pcr: 4 }, { recnum: 1, pcr: 8 }]) {
    const log = readAnyLog(tlvRecord(record, undefined, sizes))
    assert.equal(log.events[0]?.pcr, 4)
  }
})

test('takes a run of zeros behind the last TLV for padding', () => {
  const log = readAnyLog(Buffer.concat([asTlv(records([4, 'a'])), Buffer.alloc(64)]))
  assert.equal(log.events.length, 1)
  assert.deepEqual(codes(log), ['info eventlog.padding'])
})

// Record number 1234, NV index 0x12341234 and the heads of a digest and of cel_version 1.0 as libcel writes them.
test('reads the TLVs of another implementation', () => {
  const sha1 = Buffer.from('0102030405060708091011121314151617181920', 'hex')
  const bytes = Buffer.concat([
    Buffer.from('000000000204d2' + '020000000412341234' + '03000000190400000014', 'hex'),
    sha1,
    Buffer.from('0400000011' + '010000000c' + '000000000101' + '010000000100', 'hex'),
  ])
  const [event] = readAnyLog(bytes).events
  assert.equal(event?.attributes?.['nvIndex'], 0x12341234)
  assert.equal(event.digests.get('sha1')?.equals(sha1), true)
  assert.equal(event.data.toString(), '1.0')
})

test('management events say what they are; those of the log itself extend nothing', () => {
  const digests = new Map([['sha256', Buffer.alloc(32)]])
  const base = { pcr: 14, digests, eventType: 0, data: Buffer.alloc(0) }
  const contents = [
    tlv(4, tlv(1, tlv(0, integer(1)), tlv(1, integer(1)))),
    tlv(4, tlv(2)),
    tlv(4, tlv(80, integer(0x1234))),
    tlv(4, tlv(81, integer(2))),
  ]
  const log = readAnyLog(Buffer.concat(contents.map((content, recnum) => tlvRecord({ ...base, recnum }, content))))
  const shown = describeEventLog(Buffer.concat(contents.map((each, recnum) => tlvRecord({ ...base, recnum }, each))))
  assert.deepEqual(
    shown.events.map(({ type, summary, binding }) => [type, summary, binding]),
    [
      ['cel_version', '1.1', 'none'],
      ['firmware_end', '', 'none'],
      ['cel_timestamp', '4660', 'unbound'],
      ['state_trans', 'kexec', 'unbound'],
    ],
  )
  assert.equal(replayEventLog(log, 'sha256').extended.get(14), 2)
})

test('management events read the same in JSON and CBOR', () => {
  const digests = [{ hashAlg: 11, digest: '00'.repeat(32) }]
  const json = (recnum: number, content: unknown) => ({ recnum, pcr: 14, digests, content_type: 'cel', content })
  const text = JSON.stringify([
    json(0, { type: 'cel_version', data: { major: 1, minor: 1 } }),
    json(1, { type: 'firmware_end' }),
    json(2, { type: 80, data: 4660 }),
    json(3, { type: 'state_trans', data: 'kexec' }),
  ])
  const map = (...entries: [number, unknown][]) => new Map(entries)
  const digest = [map([0, 11], [1, Buffer.alloc(32)])]
  const cbor = (recnum: number, content: unknown) => map([0, recnum], [1, 14], [3, digest], [9, 4], [10, content])
  const bytes = encode([
    cbor(0, map([0, 1], [1, map([0, 1], [1, 1])])),
    cbor(1, map([0, 2])),
    cbor(2, map([0, 80], [1, 4660])),
    cbor(3, map([0, 81], [1, 2])),
  ])
  for (const log of [readAnyLog(Buffer.from(text)), readAnyLog(Buffer.from(bytes))]) {
    assert.deepEqual(
      log.events.map(({ data }) => data.toString()),
      ['1.1', '', '4660', 'kexec'],
    )
    assert.equal(replayEventLog(log, 'sha256').extended.get(14), 2)
  }
})

test('an entry of IMA is bound to the digest of its template data, and a changed one is a mismatch', () => {
  const name = Buffer.from('/bin/true\0')
  const digest = Buffer.concat([Buffer.from('sha256:\0'), Buffer.alloc(32, 7)])
  const field = (bytes: Buffer) => {
    const size = Buffer.alloc(4)
    size.writeUInt32LE(bytes.byteLength)
    return Buffer.concat([size, bytes])
  }
  const data = Buffer.concat([field(digest), field(name)])
  const content = tlv(7, tlv(0, Buffer.from('ima-ng')), tlv(1, data))
  const base = { recnum: 0, pcr: 10, eventType: 0, data: Buffer.alloc(0) }
  const digests = new Map([['sha256', createHash('sha256').update(data).digest()]])
  const good = tlvRecord({ ...base, digests }, content)
  const [shown] = describeEventLog(good).events
  assert.deepEqual([shown?.type, shown?.binding], ['ima_template', 'bound'])
  assert.equal(shown?.summary, `/bin/true sha256:${'07'.repeat(32)}`)
  assert.ok(!describeEventLog(good).findings.some(({ code }) => code === 'eventlog.ima_register'))
  const bad = Buffer.from(good)
  bad.write('/bin/evil', bad.indexOf('/bin/true'))
  assert.equal(describeEventLog(bad).events[0]?.binding, 'mismatch')
})

test('a violation in an entry of IMA is bound to nothing', () => {
  const content = tlv(7, tlv(0, Buffer.from('ima-ng')), tlv(1, Buffer.from('x')))
  const digests = new Map([['sha256', Buffer.alloc(32, 0xff)]])
  const bytes = tlvRecord({ recnum: 0, pcr: 10, eventType: 0, data: Buffer.alloc(0), digests }, content)
  assert.equal(describeEventLog(bytes).events[0]?.binding, 'unbound')
})

// The layout that go-eventlog writes: numbers of 8 and 1 bytes, the digest over the whole content TLV.
test('reads the events of Container-Optimized OS in PCRs and in RTMRs', () => {
  const content = tlv(
    80,
    tlv(1, Buffer.from('sha256:781d8dfdd92118436bd914442c8339e653b83f6bf3c1a7a98efcfb7c4fed7483')),
  )
  const digests = tlv(3, tlv(0x0c, createHash('sha384').update(content).digest()))
  for (const [target, kind, register] of [
    [tlv(1, 13), 'pcr', 13],
    [tlv(108, 4), 'rtmr', 4],
  ] as const) {
    const bytes = Buffer.concat([tlv(0, integer(0, 8)), target, digests, content])
    const log = readAnyLog(bytes)
    assert.deepEqual([log.format, log.registers, log.events[0]?.pcr], ['cel-tlv', kind, register])
    const shown = describeEventLog(bytes)
    assert.deepEqual([shown.events[0]?.type, shown.events[0]?.binding], ['cos', 'bound'])
    assert.match(shown.events[0]?.summary ?? '', /^image digest: sha256:781d/)
    const value = createHash('sha384')
      .update(Buffer.alloc(48))
      .update(createHash('sha384').update(content).digest())
      .digest('hex')
    assert.equal(shown.pcrs['sha384']?.[String(register)], value)
    assert.deepEqual(shown.findings, [])
  }
})

test('refuses records of PCRs and RTMRs in one log', () => {
  const [record] = records([4, 'a'])
  assert.ok(record)
  const rtmr = Buffer.from(tlvRecord(record))
  rtmr[rtmr.indexOf(Buffer.from('0100000001', 'hex'))] = 108
  refuses(Buffer.concat([tlvRecord(record), rtmr]), 'eventlog.registers')
})

test('a content type that is not known is data, and its digests replay', () => {
  const [record] = records([4, 'a'])
  assert.ok(record)
  const tlvLog = readAnyLog(tlvRecord(record, tlv(99, Buffer.from('payload'))))
  const jsonLog = readAnyLog(
    Buffer.from(JSON.stringify([{ ...jsonRecord(record), content_type: 'tss2', content: {} }])),
  )
  const cborLog = readAnyLog(
    Buffer.from(
      encode([new Map<number, unknown>([...cborRecord(record), [9, 99], [10, [1, 2n ** 63n, -5, 1.5, { a: ['b'] }]]])]),
    ),
  )
  for (const log of [tlvLog, jsonLog, cborLog]) {
    assert.equal(annotate(log, 'sha256')[0]?.type?.name, 'unknown_content')
    assert.ok(structuralFindings(log, 'sha256').some(({ code }) => code === 'eventlog.type_unknown'))
    assert.equal(replayEventLog(log, 'sha256').extended.get(4), 1)
  }
})

test('reads names of event types and of algorithms as programs spell them', () => {
  const [record] = records([4, 'a'])
  assert.ok(record)
  const digest = digestOf('sha256', 'a').toString('hex').toUpperCase()
  for (const hashAlg of ['sha256', 'SHA256', 'TPM_ALG_SHA256', 'TPM2_ALG_SHA256', 0x0b]) {
    const content = { event_type: 'EV_EFI_ACTION', event_data: '61' }
    const json = { ...jsonRecord(record), digests: [{ hashAlg, digest }], content }
    const log = readAnyLog(Buffer.from(JSON.stringify([json])))
    assert.deepEqual([log.banks, log.events[0]?.type], [['sha256'], TYPE.efiAction])
    assert.equal(annotate(log, 'sha256')[0]?.binding, 'bound')
  }
})

test('an event type by a name that nobody knows is data', () => {
  const [record] = records([4, 'a'])
  assert.ok(record)
  const content = { event_type: 'Unknown event type', event_data: '61' }
  const log = readAnyLog(Buffer.from(JSON.stringify([{ ...jsonRecord(record), content }])))
  assert.equal(log.events[0]?.attributes?.['eventType'], 'Unknown event type')
  assert.equal(replayEventLog(log, 'sha256').extended.get(4), 1)
})

test('reads records in JSON as a list, as lines, as a sequence, and one alone', () => {
  const rows = records([4, 'a'], [4, 'b']).map((record) => JSON.stringify(jsonRecord(record)))
  const texts = [
    `[${rows.join(',')}]`,
    `  [ ${rows.join(' ,\n ')} ]\n`,
    `${rows.join('\n')}\n`,
    rows.map((row) => `\x1e${row}\n`).join(''),
  ]
  for (const text of texts) {
    const log = readAnyLog(Buffer.from(text))
    assert.equal(log.events.length, 2)
    for (const { offset } of log.events) assert.equal(text[offset], '{')
  }
  assert.equal(readAnyLog(Buffer.from(rows[0] ?? '')).events.length, 1)
})

test('reads records in CBOR as a list, as one that ends with a mark, as a sequence, and behind a tag', () => {
  const maps = records([4, 'a'], [4, 'b']).map((record) => Buffer.from(encode(cborRecord(record))))
  const logs = [
    Buffer.concat([Buffer.from([0x82]), ...maps]),
    Buffer.concat([Buffer.from([0x9f]), ...maps, Buffer.from([0xff])]),
    Buffer.concat(maps),
    Buffer.concat([Buffer.from([0xd9, 0xd9, 0xf7, 0x82]), ...maps]),
    Buffer.concat([Buffer.from([0x98, 2]), ...maps]),
    Buffer.concat([Buffer.from([0x99, 0, 2]), ...maps]),
  ]
  for (const bytes of logs) assert.equal(readAnyLog(bytes).events.length, 2)
})

const one = records([4, 'a'])
const [first] = one
assert.ok(first)
const json = (change: Record<string, unknown>) =>
  Buffer.from(JSON.stringify(one.map((record) => ({ ...jsonRecord(record), ...change }))))
const cbor = (...change: [number, unknown][]) =>
  Buffer.from(encode(one.map((record) => new Map<number, unknown>([...cborRecord(record), ...change]))))

const REFUSED: readonly (readonly [string, Buffer, ErrorCode])[] = [
  ['an empty list', Buffer.from('[]'), 'eventlog.empty'],
  ['a list that does not end', Buffer.from(asJson(one).toString().slice(0, -1)), 'decode.truncated'],
  ['text behind a list', Buffer.from(`${asJson(one).toString()}x`), 'decode.trailing'],
  [
    'two records without a comma',
    Buffer.from(
      asJson([...one, ...one])
        .toString()
        .replace('},{"rec', '}{"rec'),
    ),
    'decode.value',
  ],
  ['a record that is not JSON', Buffer.from('[{"recnum":}]'), 'decode.value'],
  [
    'text that is not UTF-8',
    Buffer.concat([Buffer.from('[{"recnum":"'), Buffer.from([0xff]), Buffer.from('"}]')]),
    'decode.value',
  ],
  ['a record nested too deep', Buffer.from(`[{"content":${'['.repeat(100)}${']'.repeat(100)}}]`), 'decode.too_large'],
  ['a record without a register', json({ pcr: undefined }), 'decode.value'],
  ['a record with two registers', json({ nv_index: 1 }), 'decode.value'],
  ['a register below 0', json({ pcr: -1 }), 'decode.value'],
  ['a register with a fraction', json({ pcr: 1.5 }), 'decode.value'],
  ['a record number that is a text', json({ recnum: '0' }), 'decode.value'],
  ['digests that are no list', json({ digests: {} }), 'decode.value'],
  ['a digest that is not hexadecimal', json({ digests: [{ hashAlg: 'sha256', digest: 'xy' }] }), 'decode.value'],
  ['a digest without an algorithm', json({ digests: [{ digest: '00' }] }), 'decode.value'],
  ['a record without a content type', json({ content_type: undefined }), 'decode.value'],
  ['a content that is not what its type has', json({ content: 'zz' }), 'decode.value'],
  [
    'two digests of one algorithm',
    json({ digests: [1, 2].map(() => ({ hashAlg: 'sha256', digest: '00'.repeat(32) })) }),
    'eventlog.digests',
  ],
  ['bytes behind a CBOR list', Buffer.concat([asCbor(one), Buffer.from([0])]), 'decode.trailing'],
  [
    'a CBOR list with more records than bytes',
    Buffer.concat([Buffer.from([0x9a, 0xff, 0xff, 0xff, 0xff]), Buffer.from(encode(cborRecord(first)))]),
    'decode.truncated',
  ],
  [
    'a CBOR record with a strange label',
    Buffer.from(
      encode([
        new Map<number, unknown>([
          [0, 0],
          [1, 4],
          [3, []],
          [9, 5],
          [77, 0],
        ]),
      ]),
    ),
    'decode.value',
  ],
  [
    'a CBOR record with a content before its type',
    Buffer.from(
      encode([
        new Map<number, unknown>([
          [0, 0],
          [1, 4],
          [3, []],
          [10, 5],
        ]),
      ]),
    ),
    'decode.value',
  ],
  ['a CBOR register that is a text', cbor([1, 'four']), 'decode.value'],
  ['a CBOR register above 32 bits', cbor([1, 2 ** 33]), 'decode.value'],
  ['a TLV record without a register', Buffer.concat([asTlv(one), tlv(0, 1), tlv(3), tlv(3), tlv(5)]), 'decode.value'],
  ['a TLV record without a number', Buffer.concat([asTlv(one), tlv(1, 1), tlv(1, 1), tlv(3), tlv(5)]), 'decode.value'],
  [
    'a TLV number of 9 bytes',
    Buffer.concat([asTlv(one), tlv(0, Buffer.alloc(9)), tlv(1, 1), tlv(3), tlv(5)]),
    'decode.value',
  ],
  [
    'a TLV longer than the log',
    Buffer.concat([asTlv(one), Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 0])]),
    'decode.truncated',
  ],
  ['an event with two types', tlvRecord(first, tlv(5, tlv(0, 1), tlv(0, 1))), 'decode.value'],
  [
    'a digest longer than its list',
    Buffer.concat([tlv(0, 0), tlv(1, 4), tlv(3, Buffer.from([11, 0, 0, 0, 32])), tlv(5)]),
    'decode.truncated',
  ],
  ['a management event that does not exist', tlvRecord(first, tlv(4, tlv(7))), 'decode.value'],
]

for (const [name, bytes, code] of REFUSED) {
  test(`refuses ${name}`, () => refuses(bytes, code))
}

test('no size in a log of any encoding makes it cost more than its bytes', () => {
  for (const format of FORMATS) {
    const bytes = ENCODINGS[format](records([4, 'a'], [4, 'b']))
    for (let at = 0; at + 4 <= bytes.byteLength; at++) {
      for (const value of [0, 0x7fffffff, 0xffffffff]) {
        const changed = Buffer.from(bytes)
        changed.writeUInt32BE(value, at)
        try {
          readAnyLog(changed)
        } catch (error) {
          assert.ok(isTouchstoneError(error), `${format} at ${at}: ${String(error)}`)
        }
      }
    }
  }
})

test('the register of a canonical log is the one that the digests lead to', () => {
  const log = readAnyLog(asCbor(records([4, 'a'], [4, 'b'])))
  const value = ['a', 'b'].reduce(
    (state, text) => createHash('sha256').update(state).update(digestOf('sha256', text)).digest(),
    Buffer.alloc(32),
  )
  assert.equal(toHex(registerValue(replayEventLog(log, 'sha256'), 4)), toHex(value))
})
