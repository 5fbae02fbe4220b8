import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError, toHex } from '../../src/core/index.ts'
import { annotate } from '../../src/eventlog/annotate.ts'
import { bootFacts } from '../../src/eventlog/facts/derive.ts'
import { structuralFindings } from '../../src/eventlog/findings/structural-findings.ts'
import type { EventLog, LogEvent, ReplayBank } from '../../src/eventlog/log.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { replayEventLog } from '../../src/eventlog/replay.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { BOOTS, bootFile, OVMF_BOOTS, ovmfFile, realLog } from '../eventlog/logs.ts'

function valuesOf(log: EventLog, bank: ReplayBank): string {
  return [...replayEventLog(log, bank).values].map(([pcr, value]) => `${pcr}=${toHex(value)}`).join()
}

function errorsOf(log: EventLog, bank: ReplayBank): string[] {
  return structuralFindings(log, bank)
    .filter(({ severity }) => severity === 'error')
    .map(({ code }) => code)
}

/** Whether appraisal fails: the log is refused, replays to other values, or has an error. Else the log. */
function caughtOr(bytes: Buffer, bank: ReplayBank, values: string): true | EventLog {
  let log: EventLog
  try {
    log = parseEventLog(bytes)
  } catch (error) {
    if (isTouchstoneError(error)) return true
    throw error
  }
  return !log.banks.includes(bank) || valuesOf(log, bank) !== values || errorsOf(log, bank).length > 0 ? true : log
}

type Part = 'register' | 'type' | 'digests' | 'data'

function partOf(log: EventLog, bytes: Buffer, at: number): { readonly event: LogEvent; readonly part: Part } {
  const event = log.events.findLast(({ offset }) => offset <= at)
  assert.ok(event)
  const dataAt = event.data.byteOffset - bytes.byteOffset
  const part = at < event.offset + 4 ? 'register' : at < event.offset + 8 ? 'type' : at < dataAt ? 'digests' : 'data'
  return { event, part }
}

/** Event types that differ from `type` in one byte, and some that nobody knows. */
function nearTypes(type: number, at: number): number[] {
  const near = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 0x40, 0xe0, 0xe1, 0xe3, 0xe4, 0xff]
  const byte = (type >>> (8 * at)) & 0xff
  return near.map((value) => value ^ byte).filter((flip) => flip !== 0)
}

/**
 * Changes every byte of a log. Either appraisal must fail, or the byte lies where the quote cannot reach and the facts
 * are the same. Where the event is bound, a byte of its register, type or payload must make it fail.
 */
function changeEveryByte(bytes: Buffer, bank: ReplayBank, flips: readonly number[]): void {
  const log = parseEventLog(bytes)
  const annotated = annotate(log, bank)
  const values = valuesOf(log, bank)
  const facts = JSON.stringify(bootFacts(log, bank))
  assert.deepEqual(errorsOf(log, bank), [])
  const changed = Buffer.from(bytes)
  for (let at = 0; at < bytes.byteLength; at++) {
    const { event, part } = partOf(log, bytes, at)
    const near = part === 'type' ? nearTypes(event.type, at - event.offset - 4) : []
    const binding = annotated[event.index]?.binding
    const reached = binding !== 'none' && (part === 'register' || (binding === 'bound' && part !== 'digests'))
    for (const flip of new Set([...flips, ...near])) {
      changed[at] = (bytes[at] ?? 0) ^ flip
      const outcome = caughtOr(changed, bank, values)
      if (outcome === true) continue
      const where = `byte ${at} ^ 0x${flip.toString(16)}: ${part} of event ${event.index}`
      assert.ok(!reached, where)
      assert.equal(JSON.stringify(bootFacts(outcome, bank)), facts, where)
    }
    changed[at] = bytes[at] ?? 0
  }
}

test('no byte of a recorded boot can be changed with an effect that goes unseen', () => {
  changeEveryByte(bootFile('honest', 'eventlog.bin'), 'sha256', [0x01, 0x80])
})

test('the same holds with Secure Boot off', () => {
  changeEveryByte(bootFile('secureboot-off', 'eventlog.bin'), 'sha256', [0x20])
})

test('the same holds where another bank is judged', () => {
  changeEveryByte(bootFile('cmdline', 'eventlog.bin'), 'sha384', [0x04])
})

function unchangedBy(change: (event: LogEvent, binding: string | undefined) => readonly (Buffer | undefined)[]): void {
  for (const boot of BOOTS) {
    const original = parseEventLog(bootFile(boot, 'eventlog.bin'))
    const bytes = bootFile(boot, 'eventlog.bin')
    const log = parseEventLog(bytes)
    let changed = 0
    for (const { event, binding } of annotate(original, 'sha256')) {
      const own = log.events[event.index]
      assert.ok(own)
      for (const part of change(own, binding)) {
        if (part === undefined) continue
        for (let at = 0; at < part.byteLength; at++) part[at] = (part[at] ?? 0) ^ 0xff
        changed++
      }
    }
    assert.ok(changed > 0)
    const forged = parseEventLog(bytes)
    assert.deepEqual(structuralFindings(forged, 'sha256'), structuralFindings(original, 'sha256'))
    assert.deepEqual(bootFacts(forged, 'sha256'), bootFacts(original, 'sha256'))
  }
}

test('findings and facts do not depend on the digests of other banks', () => {
  unchangedBy((event) => (event.index === 0 ? [] : [event.digests.get('sha1'), event.digests.get('sha384')]))
})

test('findings and facts do not depend on the payloads of unbound events', () => {
  unchangedBy((event, binding) => (binding === 'unbound' ? [event.data] : []))
})

for (const boot of OVMF_BOOTS) {
  test(
    `no byte of the boot ${boot} of the shared data can be changed with an effect that goes unseen`,
    {
      skip: SKIP_WITHOUT_SHARED_DATA,
    },
    () => {
      changeEveryByte(ovmfFile(boot, 'eventlog.bin'), 'sha256', [0x01, 0x80])
    },
  )
}

for (const [name, bank, flip] of [
  ['arch-workstation', 'sha256', 0x20],
  ['systemd-boot-fedora37', 'sha256', 0x01],
  ['eve-measurefs-headerless', 'sha256', 0x01],
  ['nuc-uefi-sha1', 'sha1', 0x80],
] as const) {
  test(
    `no byte of the real log ${name} can be changed with an effect that goes unseen`,
    {
      skip: SKIP_WITHOUT_SHARED_DATA,
    },
    () => {
      changeEveryByte(realLog(name), bank, [flip])
    },
  )
}
