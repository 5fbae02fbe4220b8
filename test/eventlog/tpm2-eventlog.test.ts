import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { toHex } from '../../src/core/index.ts'
import { eventTypeName } from '../../src/eventlog/event-types.ts'
import { REPLAY_BANKS } from '../../src/eventlog/log.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { replayEventLog } from '../../src/eventlog/replay.ts'
import { startupLocalityOf } from '../../src/eventlog/startup-locality.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { TYPE } from './build-log.ts'
import { BOOTS, bootFile, realLog, realLogs } from './logs.ts'

interface OtherReading {
  readonly events: readonly string[]
  /** `bank:pcr=value` */
  readonly pcrs: readonly string[]
}

/** What tpm2_eventlog makes of a log; `undefined` where it fails, as it does on some real ones. */
function otherReading(log: Buffer): OtherReading | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'touchstone-eventlog-'))
  try {
    const file = join(directory, 'log.bin')
    writeFileSync(file, log)
    const run = spawnSync('tpm2_eventlog', [file], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, timeout: 60_000 })
    if (run.error !== undefined) throw run.error
    if (run.status !== 0) return undefined
    const [events = '', pcrs = ''] = run.stdout.split(/^pcrs:$/m)
    return { events: eventsOf(events), pcrs: pcrsOf(pcrs) }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function eventsOf(text: string): string[] {
  const events = text.matchAll(/^ {2}PCRIndex: (\d+)\n {2}EventType: (.+)$/gm)
  return [...events].map(([, pcr, type]) => `${pcr} ${type}`)
}

function pcrsOf(text: string): string[] {
  let bank = ''
  const pcrs: string[] = []
  for (const line of text.split('\n')) {
    bank = /^ {2}(\w+):$/.exec(line)?.[1] ?? bank
    const value = /^ {4}(\d+) *: 0x([0-9a-f]+)$/.exec(line)
    if (value !== null) pcrs.push(`${bank}:${value[1]}=${value[2]}`)
  }
  return pcrs
}

function compare(name: string, bytes: Buffer): boolean {
  const other = otherReading(bytes)
  if (other === undefined) return false
  const log = parseEventLog(bytes)
  const pcrs = REPLAY_BANKS.filter((bank) => log.banks.includes(bank)).flatMap((bank) =>
    [...replayEventLog(log, bank).values].map(([pcr, value]) => `${bank}:${pcr}=${toHex(value)}`),
  )
  const known = other.pcrs.filter((line) => !line.startsWith('sm3'))
  // It begins PCR 0 with zeros, whatever the startup locality or the H-CRTM say.
  const beginsElsewhere = startupLocalityOf(log.events) !== undefined || log.events[1]?.type === TYPE.hcrtm
  const comparable = (line: string) => !beginsElsewhere || !line.includes(':0=')
  assert.deepEqual(known.filter(comparable).sort(), pcrs.filter(comparable).sort(), name)
  if (log.format === 'tcg2') {
    const ours = log.events.map(({ pcr, type }) => `${pcr} ${eventTypeName(type)}`)
    for (const [index, theirs] of other.events.entries()) {
      // It does not know the types of its successors.
      if (!/Unknown|0x/i.test(theirs)) assert.equal(ours[index], theirs, `${name} event ${index}`)
    }
  }
  return true
}

for (const boot of BOOTS) {
  test(`reads the recorded boot ${boot} as tpm2_eventlog does`, () => {
    assert.ok(compare(boot, bootFile(boot, 'eventlog.bin')))
  })
}

test('reads real logs as tpm2_eventlog does, where it can', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const refused = realLogs().filter((name) => !compare(name, realLog(name)))
  // It asks for a Spec-ID event of a TPM's PCR 0, and has no place for PCR 0xFFFFFFFF; the last one crashes it.
  assert.deepEqual(refused, [
    'ccel-small',
    'ccel-tdx-cos113',
    'eve-measurefs-headerless',
    'single-no-action-sha1',
    'thinkpad-p51-windows',
    'windows-option-rom-sha1',
  ])
})
