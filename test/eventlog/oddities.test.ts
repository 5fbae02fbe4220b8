import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { isTouchstoneError } from '../../src/core/index.ts'
import { describeEventLog } from '../../src/eventlog/describe.ts'
import { machine, specId } from './odd-machine.ts'
import { ODDITIES, type Oddity } from './oddities.ts'

// What firmware, hypervisors and boot loaders are known to write, made by a writer of its own that keeps its own registers.

for (const { name, log, format = 'tcg2', registers = 'pcr', events, findings = [] } of ODDITIES) {
  test(`reads ${name}`, () => {
    const on = log()
    const said = describeEventLog(on.log())
    assert.equal(said.format, format)
    assert.equal(said.registers, registers)
    assert.deepEqual(said.banks, on.banks)
    assert.deepEqual(said.pcrs, on.pcrs())
    const header = format === 'tcg2' ? ['EV_NO_ACTION none'] : []
    assert.deepEqual(
      said.events.map(({ type, binding }) => `${type} ${binding}`),
      [...header, ...events],
    )
    assert.deepEqual(
      said.findings
        .filter(({ severity }) => severity !== 'info')
        .map(({ severity, code, event }) => [severity, code, ...(event === undefined ? [] : [event])].join(' ')),
      findings,
    )
  })
}

/** What tpm2_eventlog says: `pcr type` of each event, and the registers. */
function otherReading(log: Buffer, file: string): { readonly events: string[]; readonly pcrs: Record<string, object> } {
  writeFileSync(file, log)
  const { status, stdout } = spawnSync('tpm2_eventlog', [file], { encoding: 'utf8', maxBuffer: 64 << 20 })
  assert.equal(status, 0)
  const [events = '', values = ''] = stdout.split(/^pcrs:$/m)
  const pcrs: Record<string, Record<string, string>> = {}
  let bank = ''
  for (const line of values.split('\n')) {
    bank = /^ {2}(\w+):$/.exec(line)?.[1] ?? bank
    const [, pcr, value] = /^ {4}(\d+) *: 0x([0-9a-f]+)$/.exec(line) ?? []
    if (pcr !== undefined && value !== undefined) (pcrs[bank] ??= {})[pcr] = value
  }
  const listed = events.matchAll(/^ {2}PCRIndex: (\d+)\n {2}EventType: (.+)$/gm)
  return { events: [...listed].map(([, pcr, type]) => `${pcr} ${type}`), pcrs }
}

test('reads them as tpm2_eventlog does, where it can', () => {
  const directory = mkdtempSync(join(tmpdir(), 'touchstone-odd-'))
  const agrees = ({ name, log }: Oddity): void => {
    const bytes = log().log()
    const theirs = otherReading(bytes, join(directory, 'log.bin'))
    const ours = describeEventLog(bytes)
    const known = Object.entries(ours.pcrs).filter(([, values]) => Object.keys(values).length > 0)
    const { sm3_256: _ours, ...computed } = theirs.pcrs
    assert.deepEqual(computed, Object.fromEntries(known), name)
    for (const [index, line] of theirs.events.entries()) {
      const event = ours.events[index]
      if (!line.includes('Unknown')) assert.equal(`${event?.pcr} ${event?.type}`, line, name)
    }
  }
  try {
    ODDITIES.filter(({ alone }) => alone === undefined).forEach(agrees)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('a payload of four zeros is a separator of the firmware under no type but its own, and a word of a launch', () => {
  const zeros = Buffer.alloc(4)
  const launched = machine({ banks: ['sha256'] })
    .launch()
    .extend(17, 0x402, { measured: 'loader' })
  const word = describeEventLog(launched.extend(17, 0x40b, { data: zeros }).log())
  assert.deepEqual(word.findings, [])
  const flags = describeEventLog(
    machine({ banks: ['sha256'] })
      .extend(1, 0xa, { data: zeros })
      .log(),
  )
  assert.ok(flags.findings.some(({ code }) => code === 'eventlog.type_disguised'))
})

test('a log of PCRs is none of RTMRs, unless it has the registers, the bank and the header of such a guest', () => {
  const rtmrs = () =>
    machine({ isGuest: true, banks: ['sha384'] })
      .extend(1, 4, { data: 'a' })
      .extend(2, 4, { data: 'b' })
  assert.equal(describeEventLog(rtmrs().log()).registers, 'rtmr')
  assert.equal(describeEventLog(rtmrs().extend(0, 8, { data: 'v' }).log()).registers, 'pcr')
  assert.equal(describeEventLog(rtmrs().extend(5, 4, { data: 'v' }).log()).registers, 'pcr')
  const both = machine({ banks: ['sha256', 'sha384'] })
    .extend(1, 4, { data: 'a' })
    .extend(2, 4, { data: 'b' })
  assert.equal(describeEventLog(both.log()).registers, 'pcr')
})

test('is described by a bank that all events have, before one that the header names alone', () => {
  const bankOf = (...own: ('sha1' | 'sha256')[][]) => {
    const on = machine({ banks: ['sha1', 'sha256'] })
    for (const banks of own) on.extend(8, 0xd, { data: 'x', banks })
    return describeEventLog(on.log()).boot?.bank
  }
  assert.equal(bankOf(['sha1', 'sha256'], ['sha1', 'sha256']), 'sha256')
  assert.equal(bankOf(['sha1', 'sha256'], ['sha1']), 'sha1')
  assert.equal(bankOf(['sha1'], ['sha256']), 'sha256')
})

test("vendor's information that the size leaves out, and that is not all there, is no header", () => {
  const cut = specId('Spec ID Event03', ['sha256'], { vendorInfo: Buffer.alloc(8), headerSize: 33 }).subarray(0, -1)
  assert.throws(
    () => describeEventLog(cut),
    (error) => isTouchstoneError(error, 'decode.truncated'),
  )
})

test('a second header that is damaged is refused like a first one', () => {
  const on = machine({ banks: ['sha256'] }).extend(0, 8, { data: 'v' })
  const twice = specId('Spec ID Event03', ['sha256', 'sha256'])
  assert.throws(
    () => describeEventLog(on.bytes(twice).log()),
    (error) => isTouchstoneError(error, 'eventlog.header'),
  )
})
