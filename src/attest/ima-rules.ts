import { createHash } from 'node:crypto'
import { fromHex } from '../core/index.ts'
import { compileGlob } from './glob.ts'
import type { Glob } from './glob.ts'
import { imaKeys } from './ima-keys.ts'
import type { ImaKeys } from './ima-keys.ts'
import { imaTerms, isMeasuredDigest } from './ima-schema.ts'
import type { ImaSpec } from './ima-schema.ts'
import { outranks } from './lifecycle.ts'
import type { KnownEntry, SetInForce } from './lifecycle.ts'
import type { Policy } from './policy.ts'
import type { Terms } from './rule-terms.ts'

/** A known file: its state, and where it may lie, if that was said. Paths are Latin-1 of their bytes. */
export interface KnownFile {
  readonly entry: KnownEntry
  readonly path: string | Glob | undefined
}

/** Values under one rule over buffers or root hashes. */
export interface KnownTexts {
  readonly entries: ReadonlyMap<string, KnownEntry>
  readonly missing: readonly string[]
}

export interface FileRules {
  /** By digest as an entry has it: `sha256:\0` and the bytes, in Latin-1. `undefined`: no list, signatures alone. */
  readonly known: ReadonlyMap<string, readonly KnownFile[]> | undefined
  /** Sets that nobody supplied: while one is missing, an unknown file cannot be judged. */
  readonly missing: readonly string[]
  /** Digests that known paths should have, for saying what was expected. O(entries) when it is first asked. */
  readonly expectedAt: (path: string) => readonly KnownEntry[]
  readonly keys: ImaKeys
  readonly requireSigned: readonly Glob[]
  readonly excludes: readonly Glob[]
  readonly onUnknown: 'deny' | 'warn'
  readonly whenEmpty: 'indeterminate' | 'pass'
}

export interface BufferRule {
  readonly name: Glob
  readonly known: KnownTexts | undefined
  readonly required: boolean
  readonly onFailure: 'deny' | 'warn'
}

export interface DeviceMapperRules {
  readonly rootHashes: KnownTexts | undefined
  readonly targets: readonly string[] | undefined
  readonly required: readonly Glob[]
  readonly onFailure: 'deny' | 'warn'
}

/** `spec.ima` with everything that it refers to, ready to judge entries by. */
export interface ImaRules {
  /** What the failure of each part means, by field. */
  readonly terms: ReadonlyMap<string, Terms>
  readonly files: FileRules | undefined
  readonly violations: ImaSpec['violations']
  readonly buffers: readonly BufferRule[]
  readonly otherBuffers: ImaSpec['otherBuffers']
  readonly deviceMapper: DeviceMapperRules | undefined
}

export interface JudgedBy {
  readonly rules: ImaRules | undefined
  /** SHA-256 over all that the judgement of an entry depends on, hex: when it changes, entries are judged again. */
  readonly basis: string
}

interface Remembered extends JudgedBy {
  readonly sets: readonly SetInForce[]
}

/** Canaries make two sets of one. */
const MAX_REMEMBERED = 8
const remembered = new WeakMap<Policy, readonly Remembered[]>()

/** Compiled once for as long as a policy meets the same sets: a fleet is judged by one. `sets`: the policy's own, too. */
export function imaRules(policy: Policy, sets: readonly SetInForce[]): JudgedBy {
  const before = remembered.get(policy) ?? []
  const names = policy.ima === undefined ? undefined : namesOf(policy.ima)
  const named = sets.filter(({ name }) => names?.has(name) === true)
  const same = before.find((each) => isSame(each.sets, named))
  if (same !== undefined) return same
  const made = { sets: named, ...compile(policy, named) }
  remembered.set(policy, [made, ...before].slice(0, MAX_REMEMBERED))
  return made
}

function isSame(a: readonly SetInForce[], b: readonly SetInForce[]): boolean {
  return a === b || (a.length === b.length && a.every((set, index) => set === b[index]))
}

/** `sets`: those that it names. */
function compile(policy: Policy, sets: readonly SetInForce[]): JudgedBy {
  const { ima: spec, name, judged } = policy
  const hash = createHash('sha256').update(`touchstone ima v1\n${judged.hash}\n`)
  if (spec === undefined) return { rules: undefined, basis: hash.digest('hex') }
  const keys = spec.keys?.map(({ name: of, spkiSha256, keyIds, issuerSerial }) => [
    of,
    spkiSha256,
    keyIds,
    issuerSerial,
  ])
  hash.update(JSON.stringify([{ ...spec, keys }, name]))
  for (const { name: of, entries } of sets) hash.update(JSON.stringify([of, entries]))
  const { deviceMapper } = spec
  const terms = imaTerms(spec, name)
  const onUnknown = terms.get('allow')?.onFailure
  const rules = {
    terms,
    files: onUnknown && fileRules(spec, onUnknown, sets),
    violations: spec.violations,
    buffers: (spec.buffers ?? []).map((rule) => ({
      name: globOf(rule.name),
      known: textsOf(rule, sets),
      required: rule.required,
      onFailure: rule.onFailure ?? 'deny',
    })),
    otherBuffers: spec.otherBuffers,
    deviceMapper: deviceMapper && {
      rootHashes: deviceMapper.rootHashes && textsOf(deviceMapper.rootHashes, sets),
      targets: deviceMapper.targets,
      required: (deviceMapper.required ?? []).map(globOf),
      onFailure: terms.get('deviceMapper')?.onFailure ?? 'deny',
    },
  }
  return { rules, basis: hash.digest('hex') }
}

function namesOf(spec: ImaSpec): ReadonlySet<string> {
  const { allow, buffers = [], deviceMapper } = spec
  return new Set([allow, deviceMapper?.rootHashes, ...buffers].flatMap((each) => each?.references ?? []))
}

function fileRules(spec: ImaSpec, onUnknown: 'deny' | 'warn', sets: readonly SetInForce[]): FileRules {
  const { allow, keys = [], requireSigned = [], excludes = [] } = spec
  const { entries, missing } = referenced(allow?.references ?? [], sets)
  const inline = (allow?.anyOf ?? []).map((value): KnownEntry => ({ value, state: 'active' }))
  const files = [...inline, ...entries].filter(({ value }) => isMeasuredDigest(value))
  const known = Map.groupBy(
    files.map((entry): KnownFile & { key: string } => ({ entry, path: pathOf(entry), key: digestKey(entry.value) })),
    ({ key }) => key,
  )
  return {
    known: allow === undefined ? undefined : known,
    missing,
    expectedAt: lookup(files),
    keys: imaKeys(keys),
    requireSigned: requireSigned.map(globOf),
    excludes: excludes.map(globOf),
    onUnknown,
    whenEmpty: allow?.whenEmpty ?? 'indeterminate',
  }
}

/** Of files whose path was given exactly; made when the first file fails, because most never do. */
function lookup(files: readonly KnownEntry[]): FileRules['expectedAt'] {
  let made: ReadonlyMap<string, readonly KnownEntry[]> | undefined
  return (path) => {
    made ??= Map.groupBy(
      files.filter(({ path: at, state }) => at !== undefined && (state === 'active' || state === 'deprecated')),
      ({ path: at = '' }) => measuredPath(at),
    )
    return made.get(path) ?? []
  }
}

function textsOf(
  rule: { readonly anyOf?: readonly string[] | undefined; readonly references?: readonly string[] | undefined },
  sets: readonly SetInForce[],
): KnownTexts | undefined {
  if (rule.anyOf === undefined && rule.references === undefined) return undefined
  const { entries, missing } = referenced(rule.references ?? [], sets)
  const inline = (rule.anyOf ?? []).map((value): KnownEntry => ({ value, state: 'active' }))
  const known = new Map<string, KnownEntry>()
  for (const entry of [...inline, ...entries]) {
    const other = known.get(entry.value)
    known.set(entry.value, other === undefined || outranks(entry.state, other.state) ? entry : other)
  }
  return { entries: known, missing }
}

function referenced(names: readonly string[], sets: readonly SetInForce[]) {
  return {
    entries: names.flatMap((name) => sets.filter((set) => set.name === name).flatMap((set) => set.entries)),
    missing: names.filter((name) => !sets.some((set) => set.name === name)),
  }
}

function globOf(text: string): Glob {
  return compileGlob(measuredPath(text))
}

function pathOf({ path }: KnownEntry): string | Glob | undefined {
  if (path === undefined) return undefined
  return /[*?\\]/.test(path) ? globOf(path) : measuredPath(path)
}

/** A path as the kernel measures it: its bytes, with an underscore for each space (`ima_template_lib.c`). */
export function measuredPath(path: string): string {
  return Buffer.from(path.replaceAll(' ', '_'), 'utf8').toString('latin1')
}

/** `sha256:<hex>` as an entry has it: the label with its colon, a NUL, the bytes; in Latin-1. */
function digestKey(value: string): string {
  const at = value.lastIndexOf(':') + 1
  return `${value.slice(0, at)}\0${(fromHex(value.slice(at)) ?? Buffer.alloc(0)).toString('latin1')}`
}
