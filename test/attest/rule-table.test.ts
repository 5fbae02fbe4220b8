import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RULES } from '../../src/attest/rule-table.ts'
import type { AuthenticatedBoot } from '../../src/attest/rule-table.ts'
import { annotate, bootClaims, bootFacts, parseEventLog, replayEventLog } from '../../src/eventlog/index.ts'
import type { EventLog } from '../../src/eventlog/index.ts'
import { recordedBoot } from './case.ts'

function bootOf(log: EventLog): AuthenticatedBoot {
  const events = new Map(annotate(log, 'sha256').map((annotated) => [annotated.event.index, annotated]))
  return {
    facts: bootFacts(log, 'sha256'),
    registers: replayEventLog(log, 'sha256').values,
    events: () => events,
    claims: () => bootClaims(log, 'sha256'),
  }
}

const honest = parseEventLog(recordedBoot('honest').eventLog)
const rows = RULES.filter(({ fact }) => !fact.startsWith('pcr.'))
const REGISTERS = Array.from({ length: 16 }, (_, pcr) => pcr)

test('a fact is read from the registers that its rule names, and from no other', () => {
  for (const pcr of REGISTERS) {
    const boot = bootOf({ ...honest, events: honest.events.map((event) => ({ ...event, pcr })) })
    for (const row of rows.filter(({ pcrs }) => !pcrs.includes(pcr))) {
      const shown = row.observe(boot)?.filter(({ event }) => event !== undefined) ?? []
      assert.deepEqual(shown, [], `${row.fact} reads PCR ${pcr}`)
    }
  }
})

test('every event of a fact is one of the registers that its rule names', () => {
  const boot = bootOf(honest)
  for (const row of rows) {
    for (const { event } of row.observe(boot) ?? []) {
      assert.ok(event === undefined || row.pcrs.includes(event.pcr), `${row.fact}: PCR ${event?.pcr}`)
    }
  }
})

test('every measurement of PCR 2, 4, 5, 7, 8 and 9 is the value of some fact, a separator or an action', () => {
  const boot = bootOf(honest)
  const read = new Set(rows.flatMap((row) => row.observe(boot) ?? []).map(({ event }) => event?.index))
  // One rule reads the command line, another SetupMode by PK; what is left are shim's settings.
  const left = [...boot.events().values()].filter(({ event, binding, content }) => {
    return (
      [2, 4, 5, 7, 8, 9].includes(event.pcr) &&
      binding !== 'none' &&
      content?.kind !== 'separator' &&
      content?.kind !== 'action' &&
      !read.has(event.index)
    )
  })
  assert.deepEqual(left, [])
})
