import { z } from 'zod'
import type { ErrorCode, JsonValue, Outcome } from '../core/index.ts'
import { ERRORS } from '../core/index.ts'

// What is kept of an IMA log between two attestations of one boot: where it was left, PCR 10 there, and what was found.

/** The checks that entries have a say in. */
export const IMA_CHECKS = ['ima.structure', 'ima.files', 'ima.violations', 'ima.buffers', 'ima.device-mapper'] as const
export type ImaCheck = (typeof IMA_CHECKS)[number]

/** An entry that is not as it must be. */
export interface ImaOffence {
  readonly outcome: Exclude<Outcome, 'pass'>
  readonly code: ErrorCode
  readonly index: number
  readonly template: string
  /** As the node's kernel named it, in the view of whoever opened it. */
  readonly path: string
  readonly expected?: JsonValue | undefined
  readonly actual?: JsonValue | undefined
  readonly nearest?: JsonValue | undefined
}

export interface ImaOffences {
  readonly count: number
  readonly worst: Exclude<Outcome, 'pass'>
  /** The first ones; the rest is counted. */
  readonly first: readonly ImaOffence[]
}

/** What judging a number of entries has shown. It does not depend on where the log was cut. */
export interface ImaTally {
  readonly counts: {
    readonly files: number
    readonly known: number
    readonly signed: number
    readonly excluded: number
    readonly violations: number
    readonly buffers: number
    readonly tables: number
    /** Kernels that were started by kexec and took the log over. */
    readonly restarts: number
  }
  /** Indices of required buffers and devices that were seen as they must be. */
  readonly seen: { readonly buffers: readonly number[]; readonly devices: readonly number[] }
  readonly offences: { readonly [check in ImaCheck]?: ImaOffences | undefined }
}

export interface ImaWay {
  readonly extension: 'recorded' | 'computed' | 'padded'
  /** PCR 10 behind the last entry, hex. */
  readonly value: string
  readonly tally: ImaTally
}

/**
 * Where an IMA log was left. A value: whoever keeps it keys it by node and boot (AK and resetCount), and drops it when
 * either changes. Failures are in the tallies, so they stay until then.
 */
export interface ImaState {
  readonly version: 1
  /** What entries were judged by, see `imaRules`: under another one, the whole log is to be read again. */
  readonly basis: string
  /** The judged bank. */
  readonly bank: string
  readonly endian: 'little' | 'big'
  readonly entries: number
  readonly bytes: number
  /** Entry 0 where it is a boot aggregate. */
  readonly aggregate: { readonly algorithm: string; readonly digest: string } | null
  /** Whether a quote has covered all of these entries; false while parts of a long log come in. */
  readonly proven: boolean
  /** The ways in which the kernel may extend the bank; one, once a quote has shown which. */
  readonly ways: readonly ImaWay[]
}

const count = z.number().int().nonnegative()
const notPassed = z.enum(['fail', 'warn', 'indeterminate'])
const code = z.string().refine((text): text is ErrorCode => Object.hasOwn(ERRORS, text))
const hex = z.string().regex(/^(?:[0-9a-f]{2})*$/)

const offence = z.strictObject({
  outcome: notPassed,
  code,
  index: count,
  template: z.string(),
  path: z.string(),
  expected: z.json().optional(),
  actual: z.json().optional(),
  nearest: z.json().optional(),
})
const offences = z.strictObject({ count, worst: notPassed, first: z.array(offence) })

const tally = z.strictObject({
  counts: z.strictObject({
    files: count,
    known: count,
    signed: count,
    excluded: count,
    violations: count,
    buffers: count,
    tables: count,
    // What was stored before such a count was made has none.
    restarts: count.default(0),
  }),
  seen: z.strictObject({ buffers: z.array(count), devices: z.array(count) }),
  offences: z.partialRecord(z.enum(IMA_CHECKS), offences),
})

const state = z.strictObject({
  version: z.literal(1),
  basis: hex,
  bank: z.string(),
  endian: z.enum(['little', 'big']),
  entries: count,
  bytes: count,
  aggregate: z.strictObject({ algorithm: z.string(), digest: hex }).nullable(),
  proven: z.boolean(),
  ways: z
    .array(z.strictObject({ extension: z.enum(['recorded', 'computed', 'padded']), value: hex, tally }))
    .min(1)
    .max(2),
})

/** Reads what was stored; `undefined` for what another version wrote, whose log is then read anew. */
export function readImaState(text: string): ImaState | undefined {
  try {
    const parsed = state.safeParse(JSON.parse(text))
    return parsed.success ? parsed.data : undefined
  } catch {
    return undefined
  }
}
