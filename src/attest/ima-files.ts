import type { JsonValue } from '../core/index.ts'
import type { Found, JudgedEntry } from './ima-entry.ts'
import { digestText } from './ima-entry.ts'
import type { FileRules, KnownFile } from './ima-rules.ts'
import { signatureJudge } from './ima-signatures.ts'
import type { Unsigned } from './ima-signatures.ts'
import { outranks } from './lifecycle.ts'
import { describeEntry, isNotMatching, NOT_MATCHING } from './references.ts'

interface Counts {
  files: number
  known: number
  signed: number
  excluded: number
}

/**
 * Judges one file after the other, and counts: a revoked digest fails wherever it lies; else a file is fine that is in the
 * list under this path, that is excluded, or that a known key signed. One that must be signed must be, whatever the list
 * says. `undefined`: fine.
 */
export function fileJudge(rules: FileRules, counts: Counts): (entry: JudgedEntry) => Found | undefined {
  const { known, keys, requireSigned, excludes, onUnknown, missing } = rules
  const failed = onUnknown === 'deny' ? 'fail' : 'warn'
  const signedBy = signatureJudge(keys)

  return (entry) => {
    const { path, digest } = entry
    const files = known?.get(digest)
    const here = files === undefined ? undefined : standingAt(files, path)
    if (files !== undefined && (files.length > 1 || here?.entry.state !== 'active')) {
      const revoked = files.find((each) => each.entry.state === 'revoked')
      if (revoked !== undefined) {
        counts.files += 1
        return {
          check: 'ima.files',
          outcome: 'fail',
          code: 'policy.revoked',
          actual: actualOf(entry),
          nearest: describeEntry(revoked.entry),
        }
      }
    }
    if (requireSigned.length > 0 && requireSigned.some((glob) => glob.matches(path))) {
      counts.files += 1
      const signed = signedBy(entry)
      if (signed !== true) return unsigned(entry, signed, failed)
      counts.signed += 1
      return undefined
    }
    if (here?.entry.state === 'active') {
      counts.files += 1
      counts.known += 1
      return undefined
    }
    if (excludes.length > 0 && excludes.some((glob) => glob.matches(path))) {
      counts.excluded += 1
      return undefined
    }
    counts.files += 1
    if (here?.entry.state === 'deprecated') {
      counts.known += 1
      return {
        check: 'ima.files',
        outcome: 'warn',
        code: 'policy.deprecated',
        actual: actualOf(entry),
        nearest: describeEntry(here.entry),
      }
    }
    const signed = keys.all.length === 0 ? undefined : signedBy(entry)
    if (signed === true) {
      counts.signed += 1
      return undefined
    }
    if (here?.entry.state === 'undetermined') {
      return {
        check: 'ima.files',
        outcome: 'indeterminate',
        code: 'policy.reference_undetermined',
        actual: actualOf(entry),
        nearest: describeEntry(here.entry),
      }
    }
    if (missing.length > 0) {
      return {
        check: 'ima.files',
        outcome: 'indeterminate',
        code: 'policy.reference_missing',
        expected: { references: [...missing] },
        actual: actualOf(entry),
      }
    }
    // A file that carries a signature which is no good says more than that it is on no list.
    if (signed !== undefined && (known === undefined || signed.code !== 'ima.unsigned')) {
      return unsigned(entry, signed, failed)
    }
    return unknownFile(entry, rules, here, files, failed)
  }
}

/** Of the files with that digest, the one that stands among those that may lie at that path. */
function standingAt(files: readonly KnownFile[], path: string): KnownFile | undefined {
  let standing: KnownFile | undefined
  for (const file of files) {
    const at = file.path
    const isHere = at === undefined || (typeof at === 'string' ? at === path : at.matches(path))
    if (isHere && (standing === undefined || outranks(file.entry.state, standing.entry.state))) standing = file
  }
  return standing
}

function unsigned(entry: JudgedEntry, why: Unsigned, failed: 'fail' | 'warn'): Found {
  const outcome = why.code === 'ima.signatures_too_many' ? 'indeterminate' : failed
  const because = why.actual === undefined ? {} : { signature: why.actual }
  return { check: 'ima.files', outcome, code: why.code, actual: { ...actualOf(entry), ...because } }
}

function unknownFile(
  entry: JudgedEntry,
  { expectedAt }: FileRules,
  here: KnownFile | undefined,
  files: readonly KnownFile[] | undefined,
  outcome: 'fail' | 'warn',
): Found {
  const base = { check: 'ima.files', outcome, actual: actualOf(entry) } as const
  const standing = here?.entry.state ?? 'unknown'
  if (here !== undefined && isNotMatching(standing)) {
    return { ...base, code: NOT_MATCHING[standing], nearest: describeEntry(here.entry) }
  }
  if (files !== undefined) {
    const elsewhere = files.slice(0, MAX_EXPECTED).flatMap(({ entry: { path } }) => (path === undefined ? [] : [path]))
    return { ...base, code: 'ima.file_moved', expected: { paths: elsewhere } }
  }
  const expected = expectedAt(entry.path)
  if (expected.length === 0) return { ...base, code: 'ima.file_unknown' }
  const [first] = expected
  return {
    ...base,
    code: 'ima.file_changed',
    expected: expected.slice(0, MAX_EXPECTED).map(({ value }) => value),
    ...(first?.label === undefined ? {} : { nearest: describeEntry(first) }),
  }
}

const MAX_EXPECTED = 4

function actualOf({ digest }: JudgedEntry): { readonly [key: string]: JsonValue } {
  return { digest: digestText(digest) }
}
