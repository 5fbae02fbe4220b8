import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError, type ErrorCode } from '../../src/core/index.ts'
import { MAX_LOG_SIZE, parseEventLog } from '../../src/eventlog/parse.ts'
import { agileLog, event, regularBoot, sha1Log, specId, TYPE, u16, u32 } from './build-log.ts'

function refuses(log: Buffer, code: ErrorCode): void {
  assert.throws(
    () => parseEventLog(log),
    (error) => isTouchstoneError(error, code),
  )
}

test('reads the crypto-agile format, its header as event 0', () => {
  const log = parseEventLog(agileLog([{ pcr: 14, type: TYPE.ipl, data: 'x' }], { banks: ['sha1', 'sha256'] }))
  assert.equal(log.format, 'tcg2')
  assert.equal(log.registers, 'pcr')
  assert.deepEqual(log.banks, ['sha1', 'sha256'])
  assert.deepEqual(
    log.events.map(({ index, pcr, type, data }) => [index, pcr, type, data.byteLength]),
    [
      [0, 0, TYPE.noAction, 37],
      [1, 14, TYPE.ipl, 1],
    ],
  )
  assert.equal(log.events[1]?.offset, specId({ banks: ['sha1', 'sha256'] }).byteLength)
  assert.deepEqual(log.findings, [])
})

test('reads digests in any order', () => {
  const [first, second] = [
    event({ pcr: 1, type: 1 }, ['sha256', 'sha1']),
    event({ pcr: 1, type: 1 }, ['sha1', 'sha256']),
  ]
  const log = parseEventLog(Buffer.concat([specId({ banks: ['sha1', 'sha256'] }), first, second]))
  assert.deepEqual(log.events[1]?.digests.get('sha1'), log.events[2]?.digests.get('sha1'))
})

test('reads the format of TCG 1.2', () => {
  const log = parseEventLog(sha1Log([{ pcr: 0, type: TYPE.crtmVersion, data: 'v' }]))
  assert.equal(log.format, 'tcg1.2')
  assert.deepEqual(log.banks, ['sha1'])
  assert.equal(log.events.length, 1)
})

test('reads crypto-agile events without a header, and takes their banks from the first', () => {
  const log = parseEventLog(event({ pcr: 14, type: TYPE.efiAction, data: 'file' }, ['sha256', 'sha384']))
  assert.equal(log.format, 'tcg2-headerless')
  assert.deepEqual(log.banks, ['sha256', 'sha384'])
})

test('takes registers for RTMRs where the header names register 1, the bank is SHA-384 and no register is above 4', () => {
  const spec = { banks: ['sha384'], register: 1 } as const
  assert.equal(parseEventLog(agileLog([{ pcr: 4, type: 1 }], spec)).registers, 'rtmr')
  const log = parseEventLog(agileLog([{ pcr: 5, type: 1 }], spec))
  assert.equal(log.registers, 'pcr')
  assert.deepEqual(
    log.findings.map(({ code, severity }) => [code, severity]),
    [['eventlog.header_register', 'error']],
  )
  assert.equal(parseEventLog(agileLog([{ pcr: 4, type: 1 }], { register: 1 })).registers, 'pcr')
})

test('finds a header whose digest is not zero', () => {
  const log = parseEventLog(agileLog([], { headerDigest: Buffer.alloc(20, 1) }))
  assert.deepEqual(
    log.findings.map(({ code }) => code),
    ['eventlog.header_digest'],
  )
})

test('skips digests of an algorithm that it does not know by their declared size', () => {
  const spec = {
    algorithms: [
      [0x1234, 5],
      [0x0b, 32],
    ],
  } as const
  const digests = Buffer.concat([u32(2), u16(0x1234), Buffer.from('12345'), u16(0x0b), Buffer.alloc(32)])
  const log = parseEventLog(Buffer.concat([specId(spec), u32(7), u32(TYPE.ipl), digests, u32(0)]))
  assert.deepEqual(log.banks, ['0x1234', 'sha256'])
  assert.equal(log.events[1]?.digests.get('0x1234')?.toString(), '12345')
  assert.deepEqual(
    log.findings.map(({ code, severity }) => [code, severity]),
    [['eventlog.algorithm_unknown', 'info']],
  )
})

for (const fill of [0x00, 0xff]) {
  test(`takes a run of 0x${fill.toString(16).padStart(2, '0')} behind the last event for padding`, () => {
    for (const size of [8, 31, 32, 262144]) {
      const log = parseEventLog(Buffer.concat([agileLog(regularBoot()), Buffer.alloc(size, fill)]))
      assert.equal(log.events.length, 1 + regularBoot().length)
      assert.deepEqual(
        log.findings.map(({ code, severity }) => [code, severity]),
        [['eventlog.padding', 'info']],
      )
    }
  })
}

test('does not take the first bytes of an event that was cut off for padding', () => {
  for (let size = 1; size < 8; size++) {
    refuses(Buffer.concat([agileLog(regularBoot()), Buffer.alloc(size)]), 'decode.truncated')
    refuses(Buffer.concat([agileLog(regularBoot()), Buffer.alloc(size, 0xff)]), 'decode.truncated')
  }
})

test('refuses a log of padding alone', () => {
  refuses(Buffer.alloc(64, 0xff), 'eventlog.empty')
  refuses(Buffer.alloc(64), 'eventlog.empty')
})

test('does not take padding that ends in something else for padding', () => {
  refuses(Buffer.concat([agileLog([]), Buffer.alloc(64, 0xff), Buffer.from([1])]), 'eventlog.digests')
})

test('keeps an event of the last resort: EV_NO_ACTION for PCR 0xFFFFFFFF, as Windows writes at the end', () => {
  const log = parseEventLog(agileLog([{ pcr: 0xffffffff, type: TYPE.noAction, data: 'WBCL' }]))
  assert.equal(log.events[1]?.pcr, 0xffffffff)
  assert.deepEqual(log.findings, [])
})

for (const pcr of [24, 32, 0xffffffff]) {
  test(`finds a measurement into PCR ${pcr}`, () => {
    const log = parseEventLog(agileLog([{ pcr, type: TYPE.ipl }]))
    assert.deepEqual(
      log.findings.map(({ code, severity, event: index }) => [code, severity, index]),
      [['eventlog.register_range', 'error', 1]],
    )
  })
}

test('says from where a bank has no digests', () => {
  const banks = ['sha1', 'sha256'] as const
  const log = parseEventLog(
    Buffer.concat([
      specId({ banks }),
      event({ pcr: 0, type: 1 }, banks),
      event({ pcr: 0, type: 1 }, ['sha256']),
      event({ pcr: 0, type: 1 }, ['sha256']),
    ]),
  )
  assert.deepEqual(
    log.findings.map(({ code, severity, event: index }) => [code, severity, index]),
    [['eventlog.digest_missing', 'warning', 2]],
  )
})

test('refuses an empty log', () => refuses(Buffer.alloc(0), 'eventlog.empty'))

test('refuses a log above the limit before it reads it', () =>
  refuses(Buffer.alloc(MAX_LOG_SIZE + 1), 'decode.too_large'))

test('refuses a log that ends anywhere but behind an event', () => {
  const log = agileLog(regularBoot(), { banks: ['sha1', 'sha256'] })
  const ends = new Set(parseEventLog(log).events.map(({ offset }) => offset))
  for (let size = 1; size < log.byteLength; size++) {
    if (ends.has(size)) continue
    assert.throws(() => parseEventLog(log.subarray(0, size)), isCoded, `cut at byte ${size}`)
  }
})

test('refuses 1 to 31 bytes', () => {
  for (let size = 1; size < 32; size++) refuses(Buffer.alloc(size, 1), 'decode.truncated')
})

test('refuses a digest of an algorithm that the header does not declare', () => {
  refuses(Buffer.concat([specId(), event({ pcr: 0, type: 1 }, ['sha1'])]), 'eventlog.digests')
})

test('refuses two digests of one algorithm', () => {
  const banks = ['sha1', 'sha256'] as const
  refuses(Buffer.concat([specId({ banks }), event({ pcr: 0, type: 1 }, ['sha256', 'sha256'])]), 'eventlog.digests')
})

for (const count of [2, 0xffff, 0xffffffff]) {
  test(`refuses ${count} digests where the header declares one algorithm`, () => {
    refuses(Buffer.concat([specId(), u32(0), u32(1), u32(count), Buffer.alloc(64)]), 'eventlog.digests')
  })
}

for (const size of [0xffffffff, 0x7fffffff, 1]) {
  test(`refuses a payload of ${size} bytes where none follow`, () => {
    const good = event({ pcr: 0, type: 1 })
    refuses(Buffer.concat([specId(), good.subarray(0, -4), u32(size)]), 'decode.truncated')
  })
}

test('refuses a header with an algorithm twice', () => {
  refuses(
    specId({
      algorithms: [
        [0x0b, 32],
        [0x0b, 32],
      ],
    }),
    'eventlog.header',
  )
})

test('refuses a header with a known algorithm of another size', () => {
  refuses(specId({ algorithms: [[0x0b, 20]] }), 'eventlog.header')
})

test('refuses a header without algorithms, and one with 2^32-1', () => {
  refuses(specId({ algorithms: [] }), 'decode.value')
  const log = specId()
  log.writeUInt32LE(0xffffffff, 32 + 24)
  refuses(log, 'decode.too_large')
})

for (const size of [0, 1, 0xffffffff]) {
  test(`refuses a header whose payload has ${size} bytes`, () => {
    const log = agileLog(regularBoot())
    log.writeUInt32LE(size, 28)
    assert.throws(() => parseEventLog(log), isCoded)
  })
}

function isCoded(error: unknown): boolean {
  return isTouchstoneError(error)
}

test('what begins with no register is said to be no log, and one that was cut is said to be cut', () => {
  for (const [log, message] of [
    [Buffer.from('apiVersion: touchstone/v1, which is a policy and no event log at all'), /^no known log begins/],
    [sha1Log([{ pcr: 0, type: TYPE.crtmVersion, data: 'v' }]).subarray(0, -1), /^eventlog\.events\[0\]/],
  ] as const) {
    assert.throws(
      () => parseEventLog(log),
      (error) => isTouchstoneError(error, 'decode.truncated') && message.test(error.message),
    )
  }
})
