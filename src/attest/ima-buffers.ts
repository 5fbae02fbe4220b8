import { hash } from 'node:crypto'
import { deviceMapperEvent, readDeviceRename, readDeviceTable } from '../eventlog/index.ts'
import type { DeviceTable } from '../eventlog/index.ts'
import type { JsonValue } from '../core/index.ts'
import { digestText } from './ima-entry.ts'
import type { Found, JudgedEntry } from './ima-entry.ts'
import type { BufferRule, DeviceMapperRules, ImaRules, KnownTexts } from './ima-rules.ts'
import { outranks } from './lifecycle.ts'
import { isNotMatching, NOT_MATCHING } from './references.ts'
import type { Standing } from './references.ts'

const SEVERITY = { deny: 'fail', warn: 'warn' } as const

/** What Linux measures by value, beside keyrings: command line of the next kernel, its own version, state of SELinux. */
const KERNEL_BUFFERS = /^(?:[._][a-z0-9_]+|kexec-cmdline|kernel_version|selinux-state)$/

/** How attributes of files begin that IMA copies into the field of a signature (`enum evm_ima_xattr_type`). */
const ATTRIBUTES: readonly (number | undefined)[] = [0x03, 0x05, 0x06]

const HASH_NAMES = ['sha256', 'sha384', 'sha512', 'sha1'] as const
const SHOWN_BYTES = 256

/**
 * A buffer under the rules whose name it has; `seen` gets the indices of required ones that are good. The template's name
 * is not measured, so a file may be passed off as a buffer: the digest must be that of the field, no path names one, and
 * what nobody compares with known values must not be what an attribute of a file may be.
 */
export function judgeBuffer(entry: JudgedEntry, rules: ImaRules | undefined, seen: Set<number>): Found[] {
  const { path, digest, field } = entry
  const algorithm = digest.slice(0, digest.indexOf(':'))
  const node = HASH_NAMES.find((name) => name === algorithm)
  const isOfField = node !== undefined && digest.slice(algorithm.length + 2) === hash(node, field, 'binary')
  if (!isOfField) return [noBuffer('a buffer that its digest is not of')]
  if (path.startsWith('/')) return [noBuffer('a buffer that is named like a file')]
  const under = (rules?.buffers ?? []).flatMap((rule, index) => (rule.name.matches(path) ? [{ rule, index }] : []))
  if (under.every(({ rule }) => rule.known === undefined) && ATTRIBUTES.includes(field[0])) {
    return [noBuffer('a buffer that may be the attribute of a file')]
  }
  if (rules === undefined || deviceMapperEvent(path) !== undefined) return []
  if (under.length === 0) return otherBuffer(entry, rules)
  return under.flatMap(({ rule, index }) => {
    const found = underRule(entry, rule)
    if (found === undefined || found.outcome === 'warn') seen.add(index)
    return found ?? []
  })
}

function noBuffer(actual: string): Found {
  return { check: 'ima.structure', outcome: 'fail', code: 'ima.structure', actual }
}

function otherBuffer(entry: JudgedEntry, { otherBuffers }: ImaRules): Found[] {
  if (otherBuffers === 'allow' || (otherBuffers === undefined && KERNEL_BUFFERS.test(entry.path))) return []
  const outcome = SEVERITY[otherBuffers ?? 'deny']
  return [{ check: 'ima.buffers', outcome, code: 'ima.buffer_unknown', actual: actualOf(entry) }]
}

function underRule(entry: JudgedEntry, { known, onFailure }: BufferRule): Found | undefined {
  if (known === undefined) return undefined
  return standingOf(valuesOf(entry), known, SEVERITY[onFailure], {
    check: 'ima.buffers',
    code: 'ima.buffer',
    actual: actualOf(entry),
  })
}

/** What references may call the buffer: its bytes as text, and their digests. */
function valuesOf({ field }: JudgedEntry): readonly string[] {
  return [field.toString('utf8'), ...HASH_NAMES.slice(0, 3).map((name) => `${name}:${hash(name, field, 'hex')}`)]
}

/** The worst of what is known of the values; `undefined`: fine. */
function standingOf(
  values: readonly string[],
  { entries, missing }: KnownTexts,
  failed: 'fail' | 'warn',
  found: Pick<Found, 'check' | 'code' | 'actual'>,
): Found | undefined {
  const states = values.flatMap((value) => entries.get(value)?.state ?? [])
  const first = states.reduce<Standing>((a, b) => (a === 'unknown' || outranks(b, a) ? b : a), 'unknown')
  if (first === 'revoked') return { ...found, outcome: 'fail', code: 'policy.revoked' }
  if (missing.length > 0) {
    return {
      ...found,
      outcome: 'indeterminate',
      code: 'policy.reference_missing',
      expected: { references: [...missing] },
    }
  }
  if (first === 'active') return undefined
  if (first === 'undetermined') return { ...found, outcome: 'indeterminate', code: 'policy.reference_undetermined' }
  if (first === 'deprecated') return { ...found, outcome: 'warn', code: 'policy.deprecated' }
  if (isNotMatching(first)) return { ...found, outcome: failed, code: NOT_MATCHING[first] }
  return { ...found, outcome: failed, expected: [...entries.keys()].slice(0, 4) }
}

function actualOf({ field, digest }: JudgedEntry): JsonValue {
  const text = field.subarray(0, SHOWN_BYTES).toString('utf8')
  // Keys and the like are not for reading.
  return { digest: digestText(digest), ...(/^[\x20-\x7e]+$/.test(text) ? { text } : { bytes: field.byteLength }) }
}

/**
 * A table of the device mapper, or a new name of a device. The required devices stay what they are: neither another table
 * nor another device may take the name of one.
 */
export function judgeTable(entry: JudgedEntry, rules: DeviceMapperRules | undefined, seen: Set<number>): Found[] {
  if (rules === undefined) return []
  const failed = SEVERITY[rules.onFailure]
  const refuse = (code: Found['code'], detail: Pick<Found, 'expected' | 'actual'>): Found[] => {
    return [{ check: 'ima.device-mapper', outcome: failed, code, ...detail }]
  }
  const text = entry.field.toString('utf8')
  if (entry.path === 'dm_device_rename') {
    const name = readDeviceRename(text)
    if (name === undefined) return refuse('ima.table', { actual: actualOf(entry) })
    return requiredOf(name, rules).length === 0 ? [] : refuse('ima.table_renamed', { actual: { device: name } })
  }
  if (entry.path !== 'dm_table_load') return []
  const table = readDeviceTable(text)
  if (table === undefined) return refuse('ima.table', { actual: actualOf(entry) })
  const { name, targets } = table
  const required = requiredOf(name, rules)
  const other = targets.find(({ type }) => type !== 'verity')?.type ?? (targets.length === 0 ? 'none' : undefined)
  if (required.length > 0 && other !== undefined) {
    const actual = { device: name, target: other }
    return refuse('ima.table_target', { expected: { targets: ['verity'] }, actual })
  }
  const found = [...targetsOf(table, rules, failed), ...rootHashesOf(table, rules, failed)]
  if (found.every(({ outcome }) => outcome === 'warn')) for (const index of required) seen.add(index)
  return found
}

/** Indices of the required names that are that of the device. */
function requiredOf(name: string, { required }: DeviceMapperRules): number[] {
  const bytes = Buffer.from(name, 'utf8').toString('latin1')
  return required.flatMap((wanted, index) => (wanted.matches(bytes) ? [index] : []))
}

function targetsOf({ name, targets }: DeviceTable, rules: DeviceMapperRules, outcome: 'fail' | 'warn'): Found[] {
  const allowed = rules.targets
  const other = allowed === undefined ? undefined : targets.find(({ type }) => !allowed.includes(type))
  if (allowed === undefined || other === undefined) return []
  const actual = { device: name, target: other.type }
  return [
    { check: 'ima.device-mapper', outcome, code: 'ima.table_target', expected: { targets: [...allowed] }, actual },
  ]
}

function rootHashesOf({ name, targets }: DeviceTable, rules: DeviceMapperRules, failed: 'fail' | 'warn'): Found[] {
  const { rootHashes } = rules
  if (rootHashes === undefined) return []
  return targets.flatMap(({ type, attributes }) => {
    if (type !== 'verity') return []
    const rootHash = attributes.get('root_digest') ?? ''
    const algorithm = attributes.get('verity_algorithm') ?? ''
    const actual = { device: name, rootHash, algorithm }
    const base = { check: 'ima.device-mapper', code: 'ima.table_root_hash', actual } as const
    return standingOf([rootHash, `${algorithm}:${rootHash}`], rootHashes, failed, base) ?? []
  })
}
