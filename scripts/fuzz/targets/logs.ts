import {
  describeEventLog,
  diffLogs,
  commonBank,
  eventTypeName,
  parseEventLog,
  preferredBank,
  REPLAY_BANKS,
  replayEventLog,
} from '../../../src/eventlog/index.ts'
import type { EventLog, EventLogDescription } from '../../../src/eventlog/index.ts'
import { asCbor, asJson, asTlv, recordsOf } from '../../../test/eventlog/cel-writers.ts'
import { mutateBytes } from '../mutate/bytes.ts'
import { mutateTcgLog, mutateUnmeasured } from '../mutate/tcg-log.ts'
import { mutateText } from '../mutate/text.ts'
import { firmwareLogs } from '../seeds.ts'
import { BrokenPromise, type Target } from '../target.ts'
import { shortened } from '../mutate/tcg-parts.ts'
import { joinParts, mutatePart, splitParts } from '../parts.ts'

function describe(input: Buffer) {
  const answer = describeEventLog(input)
  return { features: featuresOf(answer), answer }
}

function featuresOf({
  format,
  writer,
  events,
  findings,
  boot,
}: EventLogDescription & { readonly writer?: string }): string[] {
  return [
    `format ${format} ${writer ?? ''}`,
    ...events.map(({ type, binding, pcr }) => `${knownType(type)} ${binding} ${Math.min(pcr, 24)}`),
    ...findings.map(({ code, severity }) => `${code} ${severity}`),
    ...(boot === null ? [] : Object.entries(boot).flatMap(([group, claims]) => claimFeatures(group, claims))),
  ]
}

/** Numbers that nobody gave a name are all the same. */
function knownType(type: string): string {
  return type.startsWith('0x') ? 'unknown' : type
}

function claimFeatures(group: string, claims: unknown): string[] {
  if (typeof claims !== 'object' || claims === null) return []
  return Object.entries<unknown>({ ...claims }).map(([name, claim]) => {
    const state: unknown = typeof claim === 'object' && claim !== null && 'state' in claim ? claim.state : typeof claim
    return `claim ${group}.${name} ${String(state)}`
  })
}

const small = (log: Buffer): boolean => log.byteLength < 70_000

export const logTarget: Target = {
  name: 'log',
  promise: 'any bytes are shown as a log or refused with a code',
  seeds: () =>
    firmwareLogs()
      .flatMap((log) => [log, ...shortened(log)])
      .filter(small),
  mutate: mutateTcgLog,
  run: describe,
}

/** The same boots as canonical logs. */
function canonical(encode: (records: ReturnType<typeof recordsOf>) => Buffer): Buffer[] {
  return firmwareLogs()
    .flatMap((log) => shortened(log))
    .filter((log) => log.byteLength < 8_000)
    .map((log) => encode(recordsOf(parseEventLog(log).events)))
}

export const celTargets: readonly Target[] = [
  { name: 'cel-tlv', promise: logTarget.promise, seeds: () => canonical(asTlv), mutate: mutateBytes, run: describe },
  { name: 'cel-cbor', promise: logTarget.promise, seeds: () => canonical(asCbor), mutate: mutateBytes, run: describe },
  { name: 'cel-json', promise: logTarget.promise, seeds: () => canonical(asJson), mutate: mutateText, run: describe },
]

function valuesOf(log: EventLog): string {
  const banks = REPLAY_BANKS.filter((bank) => log.banks.includes(bank))
  return JSON.stringify(
    banks.map((bank) => [
      bank,
      [...replayEventLog(log, bank).values].map(([pcr, value]) => [pcr, value.toString('hex')]),
    ]),
  )
}

const EXPECTED = new Map<string, string>()

/** By the digests of its measured events, in order, a log is known again however it was changed around them. */
function identityOf({ events }: EventLog): string {
  return events
    .filter(({ type }) => eventTypeName(type) !== 'EV_NO_ACTION')
    .map(
      ({ pcr, digests }) =>
        `${pcr}${[...digests]
          .sort()
          .map(([bank, digest]) => bank + digest.toString('hex'))
          .join('')}`,
    )
    .join()
}

export const replayTarget: Target = {
  name: 'replay',
  promise: 'what no digest covers changes nothing of what a log replays to',
  seeds: () => {
    const logs = firmwareLogs().filter(small)
    for (const log of logs) EXPECTED.set(identityOf(parseEventLog(log)), valuesOf(parseEventLog(log)))
    return logs
  },
  mutate: mutateUnmeasured,
  run(input) {
    const log = parseEventLog(input)
    const expected = EXPECTED.get(identityOf(log))
    if (expected === undefined) throw new BrokenPromise('the measured events are not those of the seed')
    if (valuesOf(log) !== expected) throw new BrokenPromise('the registers are not those of the seed')
    return { features: log.findings.map(({ code }) => code) }
  },
}

export const diffTarget: Target = {
  name: 'diff',
  promise: 'any two logs that can be read are compared, or refused with a code',
  seeds: () =>
    firmwareLogs()
      .flatMap((log) => shortened(log, 24))
      .filter((log) => log.byteLength < 16_000)
      .map((log) => joinParts([log, log])),
  mutate: mutatePart([mutateTcgLog, mutateTcgLog]),
  run(input) {
    const [before, after] = splitParts(input).map((part) => parseEventLog(part))
    if (before === undefined || after === undefined) return { features: [] }
    const answer = diffLogs(before, after, commonBank(before, after))
    const { pcrs } = answer
    return {
      features: pcrs
        .map(({ equal }) => `register ${equal ? 'equal' : 'different'}`)
        .concat(`bank ${preferredBank(before) ?? ''}`),
      answer,
    }
  },
}
