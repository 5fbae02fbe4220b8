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
import { decodeImageLoad } from '../../src/eventlog/payload/image.ts'
import { decodeNoAction } from '../../src/eventlog/payload/no-action.ts'
import { decodeVariable } from '../../src/eventlog/payload/variable.ts'
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
  const text = otherText(log)
  if (text === undefined) return undefined
  const [events = '', pcrs = ''] = text.split(/^pcrs:$/m)
  return { events: eventsOf(events), pcrs: pcrsOf(pcrs) }
}

function otherText(log: Buffer): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'touchstone-eventlog-'))
  try {
    const file = join(directory, 'log.bin')
    writeFileSync(file, log)
    const run = spawnSync('tpm2_eventlog', [file], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, timeout: 60_000 })
    if (run.error !== undefined) throw run.error
    return run.status === 0 ? run.stdout : undefined
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

/** Payloads as tpm2_eventlog takes them apart: variables, images and the header. */
function otherPayloads(text: string): string[] {
  const variables = text.matchAll(
    /VariableName: (\S+)\n.*\n.*VariableDataLength: (\d+)\n(?: {4}UnicodeName: (.*)\n)?(?: {4}VariableData: "?([0-9a-f]*)"?\n)?/g,
  )
  const images = text.matchAll(
    /ImageLengthInMemory: (\d+)\n.*\n.*LengthOfDevicePath: (\d+)\n {4}DevicePath: '([0-9a-f]*)'/g,
  )
  const header = /platformClass: (\d+)\n.*specVersionMinor: (\d+)\n.*specVersionMajor: (\d+)\n.*specErrata: (\d+)/.exec(
    text,
  )
  return [
    ...[...variables].map(([, vendor, , name, value]) => `${vendor} ${name} ${value ?? ''}`),
    // It prints what is left of the event, and old shims leave more there than they say.
    ...[...images].map(([, length, size, path]) => `image ${length} ${path?.slice(0, 2 * Number(size))}`),
    `header ${header?.[3]}.${header?.[2]} ${header?.[4]}`,
  ]
}

test('takes payloads apart as tpm2_eventlog does', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const compared = realLogs().filter((name) => {
    const text = otherText(realLog(name))
    const log = parseEventLog(realLog(name))
    if (text === undefined || log.format !== 'tcg2') return false
    const ours = log.events.flatMap(({ type, data }, at) => {
      const kind = eventTypeName(type, log.events[at]?.pcr ?? 0)
      const variable = kind.includes('VARIABLE') ? decodeVariable(data) : undefined
      const image = /APPLICATION|_DRIVER$/.test(kind) ? decodeImageLoad(data) : undefined
      const said = at === 0 ? decodeNoAction(data)?.fields : undefined
      return [
        ...(variable === undefined ? [] : [`${variable.vendor} ${variable.name} ${toHex(variable.value)}`]),
        ...(image === undefined ? [] : [`image ${image.length} ${toHex(image.devicePath)}`]),
        ...(said === undefined ? [] : [`header ${said['version']} ${said['errata']}`]),
      ]
    })
    assert.deepEqual(ours.toSorted(), otherPayloads(text).toSorted(), name)
    return true
  })
  assert.ok(compared.length >= 15, compared.join())
})
