import { deviceMapperEvent, fieldPlaces, isDigestRight, templateFault } from '../eventlog/index.ts'
import type { ImaCursor } from '../eventlog/index.ts'
import type { JsonValue } from '../core/index.ts'
import { isExcusable } from './excusable.ts'
import { judgeBuffer, judgeTable } from './ima-buffers.ts'
import type { Found, JudgedEntry } from './ima-entry.ts'
import { fileJudge } from './ima-files.ts'
import type { ImaRules } from './ima-rules.ts'
import { IMA_PCR } from './registers.ts'
import { IMA_CHECKS } from './ima-state.ts'
import type { ImaCheck, ImaOffence, ImaOffences, ImaState, ImaTally } from './ima-state.ts'

/** Judges entries one after the other and remembers what does not depend on how many there were. */
export interface ImaJudge {
  entry(cursor: ImaCursor): void
  tally(): ImaTally
  /** Whether signatures were left unverified because there were too many: what was found is then not to be kept. */
  isExhausted(): boolean
}

/** Offences that one check shows; the rest is counted, so that a long log cannot make a longer verdict. */
const MAX_SHOWN = 12
const MAX_PATH = 512

const NO_COUNTS = { files: 0, known: 0, signed: 0, excluded: 0, violations: 0, buffers: 0, tables: 0, restarts: 0 }

const SEVERITY = { deny: 'fail', warn: 'warn' } as const

/**
 * `before`: what the entries before these have shown, and the boot aggregate with which the log began. `digestsCount`: the register was extended with the recorded SHA-1,
 * so that an entry whose data has another one was not measured. O(1) for a byte of an entry, whatever it says.
 */
export function imaJudge(
  rules: ImaRules | undefined,
  before: { readonly tally: ImaTally | undefined; readonly aggregate: ImaState['aggregate'] },
  digestsCount: boolean,
): ImaJudge {
  const { tally, aggregate } = before
  const counts = { ...(tally?.counts ?? NO_COUNTS) }
  const seen = { buffers: new Set(tally?.seen.buffers), devices: new Set(tally?.seen.devices) }
  const offences = new Map<ImaCheck, { count: number; worst: ImaOffences['worst']; first: ImaOffence[] }>()
  for (const [check, known] of entriesOf(tally)) offences.set(check, { ...known, first: [...known.first] })
  const places = fieldPlaces()
  const files = rules?.files && fileJudge(rules.files, counts)
  let isExhausted = false
  let first = aggregate === null ? undefined : digestKey(aggregate)

  const report = (cursor: ImaCursor, path: string, { check, ...found }: Found): void => {
    const known = offences.get(check) ?? { count: 0, worst: found.outcome, first: [] }
    offences.set(check, known)
    known.count += 1
    known.worst = worse(known.worst, found.outcome)
    if (known.first.length >= MAX_SHOWN && !makeRoom(known.first, found.code)) return
    const { index, templateName: template } = cursor
    const { outcome, code, expected, actual, nearest } = found
    const shown = { expected: cut(expected), actual: cut(actual), nearest: cut(nearest) }
    known.first.push({ outcome, code, index, template, path: readable(path), ...shown })
  }

  return {
    entry(cursor) {
      const { template, bytes, violation } = cursor
      // What was measured into another register is in no value of this one: nobody can say whether it was.
      if (cursor.pcr !== IMA_PCR) return
      const fault = templateFault(cursor, places)
      if (fault !== undefined || template === undefined) {
        report(cursor, '', {
          check: 'ima.structure',
          outcome: 'fail',
          code: 'ima.structure',
          actual: fault ?? '',
        })
        return
      }
      const text = (at: number) => bytes.toString('latin1', places.starts[at], places.ends[at])
      const path = withoutNul(text(template.path))
      if (violation) {
        // Nothing of such an entry is measured, its path least of all: no exclusion can be granted to it.
        counts.violations += 1
        if (rules !== undefined && rules.violations !== 'allow') {
          report(cursor, path, { check: 'ima.violations', outcome: SEVERITY[rules.violations], code: 'ima.violation' })
        }
        return
      }
      if (digestsCount && !isDigestRight(cursor)) {
        report(cursor, path, { check: 'ima.structure', outcome: 'fail', code: 'ima.structure', actual: WRONG_DIGEST })
      }
      const extra = template.buffer >= 0 ? template.buffer : template.signature
      const field = extra < 0 ? NO_FIELD : bytes.subarray(places.starts[extra] ?? 0, places.ends[extra] ?? 0)
      const digest = digestOf(text(template.digest), template.fields[template.digest] === 'd', template.isTyped)
      const entry: JudgedEntry = { cursor, places, path, digest, field }
      if (template.buffer >= 0) {
        counts.buffers += 1
        const found = judgeBuffer(entry, rules, seen.buffers)
        for (const each of found) report(cursor, path, each)
        if (deviceMapperEvent(path) === undefined) return
        counts.tables += 1
        for (const each of judgeTable(entry, rules?.deviceMapper, seen.devices)) report(cursor, path, each)
        return
      }
      if (isAggregate(cursor, path)) {
        first = digest
        return
      }
      // No file has this digest: another kernel was started by kexec, took the log over, and looked at the same registers.
      if (path === AGGREGATE && digest === first) {
        counts.restarts += 1
        return
      }
      const found = files?.(entry)
      if (found === undefined) return
      if (found.code === 'ima.signatures_too_many') isExhausted = true
      report(cursor, path, found)
    },
    isExhausted: () => isExhausted,
    tally: () => ({
      counts: { ...counts },
      seen: { buffers: [...seen.buffers].sort(byNumber), devices: [...seen.devices].sort(byNumber) },
      offences: Object.fromEntries(
        [...offences].map(([check, known]) => [check, { ...known, first: [...known.first] }]),
      ),
    }),
  }
}

const WRONG_DIGEST = 'the recorded SHA-1 digest, which was extended, is not that of the template data'

const NO_FIELD = Buffer.alloc(0)

/** What no exception excuses is always among those that are shown, so that an exception never excuses it unseen. */
function makeRoom(first: ImaOffence[], code: string): boolean {
  if (isExcusable(code)) return false
  const at = first.findLastIndex((offence) => isExcusable(offence.code))
  if (at >= 0) first.splice(at, 1)
  return at >= 0
}

function entriesOf(tally: ImaTally | undefined): readonly (readonly [ImaCheck, ImaOffences])[] {
  const { offences = {} } = tally ?? {}
  return IMA_CHECKS.flatMap((check) => {
    const known = offences[check]
    return known === undefined ? [] : [[check, known] as const]
  })
}

const AGGREGATE = 'boot_aggregate'

/** A file may be named so too, but only the first entry is made by the kernel. */
export function isAggregate({ index, pcr, template }: ImaCursor, path: string): boolean {
  return index === 0 && pcr === IMA_PCR && path === AGGREGATE && template?.buffer === -1
}

/** A bare digest is SHA-1; the type `ima` of new templates is what old ones always were. */
function digestOf(field: string, isBare: boolean, isTyped: boolean): string {
  if (isBare) return `sha1:\0${field}`
  return isTyped && field.startsWith('ima:') ? field.slice(4) : field
}

/** As entries have it. */
function digestKey({ algorithm, digest }: NonNullable<ImaState['aggregate']>): string {
  return `${algorithm}:\0${Buffer.from(digest, 'hex').toString('latin1')}`
}

/** New templates count the NUL of a name in its length. */
function withoutNul(path: string): string {
  return path.endsWith('\0') ? path.slice(0, -1) : path
}

function worse(a: ImaOffences['worst'], b: ImaOffences['worst']): ImaOffences['worst'] {
  const order = ['fail', 'indeterminate', 'warn'] as const
  return order.indexOf(a) <= order.indexOf(b) ? a : b
}

/** What is kept for a whole boot must not be as long as whoever wrote the entry wants it to be. */
function cut(value: JsonValue | undefined): JsonValue | undefined {
  if (typeof value === 'string') return value.length <= MAX_PATH ? value : `${value.slice(0, MAX_PATH).toWellFormed()}…`
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    const list: readonly JsonValue[] = value
    return list.slice(0, MAX_SHOWN).map((each) => cut(each) ?? null)
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, cut(each) ?? null]))
}

/** Bytes as text for people; what is no UTF-8 shows as replacement characters. */
function readable(path: string): string {
  return Buffer.from(path.slice(0, MAX_PATH), 'latin1').toString('utf8')
}

function byNumber(a: number, b: number): number {
  return a - b
}
