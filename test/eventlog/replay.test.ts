import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { isTouchstoneError, toHex } from '../../src/core/index.ts'
import { REPLAY_BANKS } from '../../src/eventlog/log.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { registerValue, replayEventLog } from '../../src/eventlog/replay.ts'
import { SKIP_WITHOUT_SHARED_DATA, sharedData } from '../fixtures/shared-data.ts'
import { agileLog, digestOf, event, specId, TYPE, type EventSpec } from './build-log.ts'
import { BOOTS, bootFile, bootPcrs, OVMF_BOOTS, ovmfFile, ovmfPcrs, realLog, realLogs } from './logs.ts'

const LOCALITY = (value: number): EventSpec => ({
  pcr: 0,
  type: TYPE.noAction,
  data: Buffer.from(`StartupLocality\0${String.fromCharCode(value)}`, 'latin1'),
})

function extended(first: Buffer, ...measured: string[]): string {
  return toHex(
    measured.reduce(
      (value, text) => createHash('sha256').update(value).update(digestOf('sha256', text)).digest(),
      first,
    ),
  )
}

function zeros(last = 0): Buffer {
  const value = Buffer.alloc(32)
  value[31] = last
  return value
}

function valueOf(events: readonly EventSpec[], pcr: number): string {
  return toHex(registerValue(replayEventLog(parseEventLog(agileLog(events)), 'sha256'), pcr))
}

test('extends registers in the order of the log, and reports only those that were extended', () => {
  const log = parseEventLog(
    agileLog([
      { pcr: 4, type: TYPE.ipl, data: 'a' },
      { pcr: 9, type: TYPE.ipl, data: 'b' },
      { pcr: 4, type: TYPE.ipl, data: 'c' },
    ]),
  )
  const replayed = replayEventLog(log, 'sha256')
  assert.deepEqual([...replayed.values.keys()], [4, 9])
  assert.deepEqual(
    [...replayed.extended],
    [
      [4, 2],
      [9, 1],
    ],
  )
  assert.equal(toHex(registerValue(replayed, 4)), extended(zeros(), 'a', 'c'))
  assert.equal(toHex(registerValue(replayed, 5)), toHex(zeros()))
})

test('never extends EV_NO_ACTION', () => {
  assert.equal(valueOf([{ pcr: 4, type: TYPE.noAction, data: 'a' }], 4), toHex(zeros()))
})

test('begins PCR 0 with the startup locality, and no other register', () => {
  const events = [LOCALITY(3), { pcr: 0, type: TYPE.crtmVersion, data: 'v' }, { pcr: 1, type: TYPE.ipl, data: 'a' }]
  assert.equal(valueOf(events, 0), extended(zeros(3), 'v'))
  assert.equal(valueOf(events, 1), extended(zeros(), 'a'))
  assert.equal(valueOf([LOCALITY(3)], 0), toHex(zeros(3)))
})

test('does not believe a startup locality that comes after PCR 0 was extended, or that does not exist', () => {
  const version: EventSpec = { pcr: 0, type: TYPE.crtmVersion, data: 'v' }
  assert.equal(valueOf([version, LOCALITY(3)], 0), extended(zeros(), 'v'))
  assert.equal(valueOf([LOCALITY(2), version], 0), extended(zeros(), 'v'))
})

test('begins PCR 0 at locality 4 where the first event is of the H-CRTM', () => {
  assert.equal(valueOf([{ pcr: 0, type: TYPE.hcrtm, data: 'HCRTM' }], 0), extended(zeros(4), 'HCRTM'))
})

test('begins the registers of a dynamic launch with ones', () => {
  for (const pcr of [17, 22]) {
    assert.equal(valueOf([{ pcr, type: TYPE.ipl, data: 'a' }], pcr), extended(Buffer.alloc(32, 0xff), 'a'))
    assert.equal(valueOf([], pcr), 'ff'.repeat(32))
  }
  assert.equal(valueOf([], 16), '00'.repeat(32))
  assert.equal(valueOf([], 23), '00'.repeat(32))
})

test('replays the bank that was asked for, and throws where the log does not have it', () => {
  const log = parseEventLog(agileLog([{ pcr: 0, type: TYPE.crtmVersion }]))
  assert.throws(
    () => replayEventLog(log, 'sha1'),
    (error) => isTouchstoneError(error, 'eventlog.bank_missing'),
  )
})

test('passes over events without a digest in the bank and over registers that do not exist', () => {
  const banks = ['sha1', 'sha256'] as const
  const log = parseEventLog(
    Buffer.concat([
      specId({ banks }),
      event({ pcr: 9, type: TYPE.ipl, data: 'a' }, banks),
      event({ pcr: 9, type: TYPE.ipl, data: 'b' }, ['sha256']),
      event({ pcr: 24, type: TYPE.ipl, data: 'c' }, banks),
    ]),
  )
  assert.deepEqual([...replayEventLog(log, 'sha1').extended], [[9, 1]])
  assert.deepEqual([...replayEventLog(log, 'sha256').extended], [[9, 2]])
})

for (const boot of BOOTS) {
  test(`replays the recorded boot ${boot} to the registers of its TPM, in every bank`, () => {
    const log = parseEventLog(bootFile(boot, 'eventlog.bin'))
    const pcrs = bootPcrs(boot)
    let compared = 0
    for (const bank of REPLAY_BANKS.filter((name) => log.banks.includes(name))) {
      const replayed = replayEventLog(log, bank)
      for (const [pcr, value] of Object.entries(pcrs[bank] ?? {})) {
        // The kernel's own measurements are not in the firmware log.
        if (pcr === '10') continue
        assert.equal(toHex(registerValue(replayed, Number(pcr))), value, `${bank}:${pcr}`)
        compared++
      }
    }
    assert.equal(compared, 3 * 23)
  })
}

test(
  'replays the logs of real machines to the values on which two other programs agree',
  {
    skip: SKIP_WITHOUT_SHARED_DATA,
  },
  () => {
    const goldens = JSON.parse(readFileSync(sharedData('eventlogs/goldens.json'), 'utf8')) as Record<
      string,
      { format: string; events: number; pcrs: Record<string, Record<string, string>> }
    >
    // None is refused: every log of the collection can be read to its end.
    assert.equal(realLogs().length, 24)
    for (const name of realLogs()) {
      const golden = goldens[`${name}.bin`]
      assert.ok(golden, name)
      const log = parseEventLog(realLog(name))
      assert.equal(log.format, golden.format, name)
      assert.equal(log.events.length, golden.events, name)
      const banks = REPLAY_BANKS.filter((bank) => log.banks.includes(bank))
      assert.deepEqual([...banks].sort(), Object.keys(golden.pcrs).sort(), name)
      for (const bank of banks) {
        const values = [...replayEventLog(log, bank).values].map(([pcr, value]) => [String(pcr), toHex(value)])
        assert.deepEqual(Object.fromEntries(values), golden.pcrs[bank], `${name} ${bank}`)
      }
    }
  },
)

for (const boot of OVMF_BOOTS) {
  test(
    `replays the boot ${boot} of the shared data to the registers of its TPM`,
    {
      skip: SKIP_WITHOUT_SHARED_DATA,
    },
    () => {
      const log = parseEventLog(ovmfFile(boot, 'eventlog.bin'))
      for (const bank of ['sha1', 'sha256'] as const) {
        const replayed = replayEventLog(log, bank)
        for (let pcr = 0; pcr < 24; pcr++) {
          const expected = ovmfPcrs(boot).get(`${bank}:${pcr}`)
          if (pcr === 10 || expected === undefined) continue
          assert.equal(toHex(registerValue(replayed, pcr)), expected, `${bank}:${pcr}`)
        }
      }
    },
  )
}
