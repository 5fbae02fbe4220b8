import { z } from 'zod'
import {
  type AppraisalInput,
  parseException,
  parsePolicy,
  parseReferences,
  type Policy,
  type PolicyException,
  type ReferenceSet,
} from '../../attest/index.ts'
import { isTouchstoneError, type JsonValue, recentValues, TouchstoneError, toHex } from '../../core/index.ts'
import type { AttestationRow, Repositories } from '../../store/index.ts'
import { elsewhereOf, packTyped, sha256, unpackTyped } from '../../wire/index.ts'

/** What a verdict was made of, without what is kept by its digest and without what has columns of its own. */
const KEPT_ELSEWHERE = ['policy', 'references', 'exceptions', 'quote', 'signature'] as const
type Packed = Omit<AppraisalInput, (typeof KEPT_ELSEWHERE)[number]>

/**
 * The input of a judgement as text, logs by their digests. The untrusted register values only ever explain a digest that did
 * not agree; where it agreed (`agreed`) they are left out.
 */
export function packEvidence(input: AppraisalInput, agreed: boolean): string {
  const left = new Set<string>(agreed ? [...KEPT_ELSEWHERE, 'pcrs'] : KEPT_ELSEWHERE)
  const rest = Object.entries(input).filter(([name]) => !left.has(name))
  return packTyped(Object.fromEntries(rest), (bytes) => toHex(sha256(bytes)))
}

/** What of a verdict's input is no longer there: by name, with the reason. */
export interface Missing {
  readonly what: string
  readonly why: string
}

export type Rebuilt = { readonly input: AppraisalInput } | { readonly missing: readonly Missing[] }

const named = z.object({ name: z.string(), digest: z.string() })
const documents = z.object({
  policy: named,
  references: z.array(named),
  /** Verdicts of earlier versions knew none. */
  exceptions: z.array(named).default([]),
})

const isObject = (value: unknown) => typeof value === 'object' && value !== null
// Written by packEvidence, and read only if its SHA-256 is the one that the verdict pins.
const packed = z.custom<Packed>(isObject)

type Kept = Pick<Repositories, 'logs' | 'resources'>

/** Logs and documents that many verdicts share, read once; for a walk through the whole fleet. */
export interface EvidenceCache {
  log(digest: string): Promise<Buffer | undefined>
  policy(digest: string): Promise<Document<Policy>>
  references(digest: string): Promise<Document<ReferenceSet>>
  exception(digest: string): Promise<Document<PolicyException>>
}

/** What a text says, or why nobody can tell. */
type Document<T> = T | { readonly why: string }

const MAX_CACHED = 512
/** A log of IMA may have 16 MiB, and each node has its own. */
const MAX_LOG_BYTES = 64 << 20

/** Throws `store.row` for what is not what its digest says. */
export function evidenceCache({ logs, resources }: Kept): EvidenceCache {
  const read = recentValues<Buffer>(MAX_LOG_BYTES)
  const reader = <T extends { readonly digest: string }>(parse: (text: string) => T | undefined) =>
    remember(async (digest): Promise<Document<T>> => {
      const text = await resources.byDigest(digest)
      if (text === undefined) return { why: 'its text was never stored' }
      if (toHex(sha256(Buffer.from(text, 'utf8'))) !== digest) throw damaged(`the document ${digest}`)
      return readDocument(() => parse(text))
    })
  return {
    async log(digest) {
      const before = read.get(digest)
      if (before !== undefined) return before
      const log = await logs.byDigest(digest)
      if (log === undefined) return undefined
      if (toHex(sha256(log)) !== digest) throw damaged(`the log ${digest}`)
      read.set(digest, log, log.byteLength)
      return log
    },
    policy: reader(parsePolicy),
    references: reader((text) => parseReferences(text)[0]),
    exception: reader(parseException),
  }
}

function readDocument<T>(parse: () => T | undefined): Document<T> {
  const why = 'this version cannot read it any more'
  try {
    return parse() ?? { why }
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    return { why }
  }
}

function damaged(what: string): TouchstoneError {
  return new TouchstoneError('store.row', `${what} is not what its digest says`)
}

function remember<T>(load: (digest: string) => Promise<T>): (digest: string) => Promise<T> {
  const known = new Map<string, Promise<T>>()
  return (digest) => {
    const found = known.get(digest)
    if (found !== undefined) return found
    const [oldest] = known.keys()
    if (known.size >= MAX_CACHED && oldest !== undefined) known.delete(oldest)
    const loading = load(digest)
    known.set(digest, loading)
    return loading
  }
}

/**
 * The very input that a stored verdict was made of. What can be missing: logs that did not replay are never kept, old ones give
 * way to newer ones, and verdicts of earlier versions pinned less. Throws `store.row` where what is there is not what the
 * verdict pins.
 */
export async function rebuildInput(row: AttestationRow, cache: EvidenceCache): Promise<Rebuilt> {
  const { evidence, inputs } = row
  if (evidence === null) return { missing: [{ what: 'evidence', why: 'the verdict is older than recomputing' }] }
  const isPinned = inputs['evidence'] === toHex(sha256(Buffer.from(evidence, 'utf8')))
  if (!isPinned || isOther(inputs['quote'], row.quote) || isOther(inputs['signature'], row.signature)) {
    throw new TouchstoneError('store.row', `attestation ${row.id} is not made of what it pins`)
  }
  const made = documents.safeParse(inputs)
  if (!made.success) throw new TouchstoneError('store.row', `attestation ${row.id} names no policy`)
  const missing: Missing[] = []
  const logs = new Map<string, Buffer>()
  for (const digest of elsewhereOf(evidence)) {
    const log = await cache.log(digest)
    if (log === undefined)
      missing.push({ what: `log ${digest}`, why: 'it did not replay, or newer logs took its place' })
    else logs.set(digest, log)
  }
  const policy = await cache.policy(made.data.policy.digest)
  if ('why' in policy) missing.push({ what: `policy ${made.data.policy.name}`, why: policy.why })
  const references: ReferenceSet[] = []
  for (const { name, digest } of made.data.references) {
    const set = await cache.references(digest)
    if ('why' in set) missing.push({ what: `reference set ${name}`, why: set.why })
    else references.push(set)
  }
  const exceptions: PolicyException[] = []
  for (const { name, digest } of made.data.exceptions) {
    const exception = await cache.exception(digest)
    if ('why' in exception) missing.push({ what: `exception ${name}`, why: exception.why })
    else exceptions.push(exception)
  }
  if ('why' in policy || missing.length > 0) return { missing }
  const rest = packed.parse(unpackTyped(evidence, (digest) => logs.get(digest) ?? Buffer.alloc(0)))
  return { input: { ...rest, policy, references, exceptions, quote: row.quote, signature: row.signature } }
}

function isOther(pinned: JsonValue | undefined, bytes: Buffer): boolean {
  return typeof pinned === 'string' && pinned !== toHex(sha256(bytes))
}
