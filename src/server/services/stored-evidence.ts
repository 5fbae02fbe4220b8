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
import { TouchstoneError, toHex } from '../../core/index.ts'
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
  policy(digest: string): Promise<Policy | undefined>
  references(digest: string): Promise<ReferenceSet | undefined>
  exception(digest: string): Promise<PolicyException | undefined>
}

const MAX_CACHED = 512

export function evidenceCache({ logs, resources }: Kept): EvidenceCache {
  return {
    log: remember((digest) => logs.byDigest(digest)),
    policy: remember(async (digest) => {
      const text = await resources.byDigest(digest)
      return text === undefined ? undefined : parsePolicy(text)
    }),
    references: remember(async (digest) => {
      const text = await resources.byDigest(digest)
      return text === undefined ? undefined : parseReferences(text)[0]
    }),
    exception: remember(async (digest) => {
      const text = await resources.byDigest(digest)
      return text === undefined ? undefined : parseException(text)
    }),
  }
}

function remember<T>(load: (digest: string) => Promise<T | undefined>): (digest: string) => Promise<T | undefined> {
  const known = new Map<string, Promise<T | undefined>>()
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
  if (inputs['evidence'] !== toHex(sha256(Buffer.from(evidence, 'utf8')))) {
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
  if (policy === undefined) missing.push({ what: `policy ${made.data.policy.name}`, why: 'its text was never stored' })
  const references: ReferenceSet[] = []
  for (const { name, digest } of made.data.references) {
    const set = await cache.references(digest)
    if (set === undefined) missing.push({ what: `reference set ${name}`, why: 'its text was never stored' })
    else references.push(set)
  }
  const exceptions: PolicyException[] = []
  for (const { name, digest } of made.data.exceptions) {
    const exception = await cache.exception(digest)
    if (exception === undefined) missing.push({ what: `exception ${name}`, why: 'its text was never stored' })
    else exceptions.push(exception)
  }
  if (policy === undefined || missing.length > 0) return { missing }
  const rest = packed.parse(unpackTyped(evidence, (digest) => logs.get(digest) ?? Buffer.alloc(0)))
  return { input: { ...rest, policy, references, exceptions, quote: row.quote, signature: row.signature } }
}
