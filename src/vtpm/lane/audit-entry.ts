import { hash } from 'node:crypto'
import { z } from 'zod'
import type { JsonValue } from '../../core/index.ts'

/**
 * An entry is one line of JSON. Its `hash` is SHA-256 over the line's own bytes without that last member, and those
 * contain `prev`, the hash of the entry before: so there is one canonical form, the one that was written.
 */
export interface ChainHead {
  /** Number of the last entry; the first one is 1. */
  readonly seq: number
  /** Its hash, lower-case hex. */
  readonly hash: string
}

export const CHAIN_START: ChainHead = { seq: 0, hash: '0'.repeat(64) }

/** Longer than any entry: a bound for reading. */
export const LONGEST_LINE = 4096

const HASH_MEMBER = /,"hash":"([0-9a-f]{64})"\}$/

const digest = z.string().regex(/^[0-9a-f]{64}$/)
const chained = { seq: z.int().min(1), time: z.iso.datetime(), prev: digest, hash: digest }

const entrySchema = z.union([
  z.strictObject({
    ...chained,
    tenant: z.string(),
    command: z.string(),
    code: z.string(),
    outcome: z.enum(['refused', 'done', 'failed']),
    rc: z.string(),
    reason: z.string().optional(),
    digest,
  }),
  z.strictObject({ ...chained, event: z.literal('opened'), discarded: z.int(), expected: z.string().optional() }),
  z.strictObject({ ...chained, event: z.literal('closed') }),
  /** Files up to and with entry `through` were deleted to make room; `last` is the hash of that entry. */
  z.strictObject({ ...chained, event: z.literal('pruned'), through: z.int(), last: digest }),
  /** Entries that found neither disk nor memory. */
  z.strictObject({ ...chained, event: z.literal('lost'), entries: z.int() }),
  /** Refusals of one tenant beyond those that are written whole: how many since when, and of which reasons. */
  z.strictObject({
    ...chained,
    event: z.literal('refusals'),
    tenant: z.string(),
    refusals: z.int(),
    since: z.iso.datetime(),
    reasons: z.record(z.string(), z.int()),
  }),
  /** The word of the process that wrote entries `from` to `through` (`<seq>:<hash>`) of `chain`; see audit-checkpoint.ts. */
  z.strictObject({
    ...chained,
    event: z.literal('checkpoint'),
    chain: z.string(),
    from: z.int(),
    through: z.string(),
    mac: digest,
  }),
])

export type AuditEntry = z.infer<typeof entrySchema>

/** What an entry says, beside what chains it. */
export type Members = Readonly<Record<string, JsonValue | undefined>>

/** The line for `members` after `head`, with its newline, and the head that it makes. */
export function writeEntry(
  head: ChainHead,
  time: string,
  members: Members,
): { readonly line: string; readonly head: ChainHead } {
  const seq = head.seq + 1
  const body = JSON.stringify({ seq, time, ...members, prev: head.hash })
  const own = hash('sha256', body)
  return { line: `${body.slice(0, -1)},"hash":"${own}"}\n`, head: { seq, hash: own } }
}

/** An entry whose hash fits its line, or a text that says what is wrong with it. Whether it fits its place is not asked. */
export function readEntry(line: string): AuditEntry | string {
  const member = HASH_MEMBER.exec(line)
  if (member === null) return 'it is no entry'
  if (hash('sha256', `${line.slice(0, member.index)}}`) !== member[1]) return 'its hash is not that of its content'
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return 'it is not JSON'
  }
  const parsed = entrySchema.safeParse(value)
  return parsed.success ? parsed.data : 'it is not an entry of this version'
}

/** `<seq>:<hash>`: what an operator notes elsewhere. */
export function formatHead(head: ChainHead): string {
  return `${head.seq}:${head.hash}`
}

export function parseHead(text: string): ChainHead | undefined {
  const match = /^(0|[1-9][0-9]{0,15}):([0-9a-f]{64})$/.exec(text.trim())
  return match === null ? undefined : { seq: Number(match[1]), hash: match[2] ?? '' }
}
