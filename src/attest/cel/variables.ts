import type { TrustClaim } from '../../core/index.ts'
import { CLAIMS } from '../../eventlog/index.ts'
import type { ClaimType } from '../../eventlog/index.ts'

/** A named shape of values: its fields, and the types of those. */
export interface Shape {
  readonly name: string
  readonly fields: Readonly<Record<string, string>>
}

/** One claim that an expression may read. */
export interface ReadableClaim {
  /** `boot.secureBoot.enabled` */
  readonly path: string
  /** Of CEL: `bool`, `int`, `string`, a list or map of those, or a shape. */
  readonly type: string
  /** Registers that it is made of. All must be quoted, or somebody else could have written it. */
  readonly pcrs: readonly number[]
  /** The claim of the trust vector that it is about. */
  readonly claim: TrustClaim
  /** Known where nothing was measured, too. */
  readonly tellsOfNothing?: true
}

/** What claims of a boot are about, by their group; by themselves where the group is about more than one thing. */
const TRUST_CLAIMS: Readonly<Record<string, TrustClaim>> = {
  firmware: 'hardware',
  secureBoot: 'configuration',
  shim: 'configuration',
  platform: 'configuration',
  boot: 'executables',
  'boot.order': 'configuration',
  'boot.options': 'configuration',
  'boot.partitionTables': 'configuration',
  loader: 'executables',
  kernel: 'executables',
  rootfs: 'executables',
  eve: 'configuration',
  userspace: 'configuration',
  windows: 'configuration',
  'windows.modules': 'executables',
  drtm: 'executables',
  log: 'configuration',
}

/** Its events are those of all registers, so that it says that there are none. */
const UNREAD = 'log.unread'

/** What digests do not vouch for, and indices of events, are not for rules to read: see `boundClaims` of eventlog. */
function isReadable(field: string): boolean {
  return field !== 'event' && !field.startsWith('untrusted')
}

export function capital(word: string): string {
  return `${word.charAt(0).toUpperCase()}${word.slice(1)}`
}

/** The name of a shape is made of where it stands, and no expression can write it. */
function celType(type: ClaimType, place: string): string {
  if (type === 'boolean') return 'bool'
  if (type === 'number') return 'int'
  if (type === 'string') return 'string'
  if ('map' in type) return 'map<string, string>'
  return 'list' in type ? `list<${celType(type.list, place)}>` : place
}

function shapesWithin(type: ClaimType, place: string): Shape[] {
  if (typeof type === 'string' || 'map' in type) return []
  if ('list' in type) return shapesWithin(type.list, place)
  const fields = Object.entries(type.fields)
    .map(([name, of]) => ({ field: name.replace('?', ''), of }))
    .filter(({ field }) => isReadable(field))
    .map(({ field, of }) => ({ field, of, within: `${place}${capital(field)}` }))
  return [
    ...fields.flatMap(({ of, within }) => shapesWithin(of, within)),
    { name: place, fields: Object.fromEntries(fields.map(({ field, of, within }) => [field, celType(of, within)])) },
  ]
}

const CLAIMS_OF_BOOT = Object.entries(CLAIMS)
  .map(([name, row]) => ({ ...row, name, place: name.split('.').map(capital).join('') }))
  .filter(({ name }) => isReadable(name.split('.')[1] ?? ''))

/** What is within values of claims; inner ones first. */
export const SHAPES: readonly Shape[] = CLAIMS_OF_BOOT.flatMap(({ type, place }) => shapesWithin(type, place))

function claimOfBoot({ name, place, type, list, pcrs }: (typeof CLAIMS_OF_BOOT)[number]): ReadableClaim {
  const value = celType(type, place)
  return {
    path: `boot.${name}`,
    type: list === true ? `list<${value}>` : value,
    pcrs,
    claim: TRUST_CLAIMS[name] ?? TRUST_CLAIMS[name.split('.')[0] ?? ''] ?? 'configuration',
    ...(name === UNREAD ? { tellsOfNothing: true } : {}),
  }
}

function claimsOf(
  variable: string,
  claim: TrustClaim,
  pcrs: readonly number[],
  types: Readonly<Record<string, string>>,
): ReadableClaim[] {
  return Object.entries(types).map(([leaf, type]) => ({ path: `${variable}.${leaf}`, type, pcrs, claim }))
}

/** Everything that an expression may read, beside `pcrs`. */
export const READABLE: readonly ReadableClaim[] = [
  ...CLAIMS_OF_BOOT.map(claimOfBoot),
  // Of the quote itself; whatever the logs do.
  ...claimsOf('quote', 'instance-identity', [], {
    clock: 'int',
    resetCount: 'int',
    resetsSinceLast: 'int',
    restartCount: 'int',
    safe: 'bool',
  }),
  ...claimsOf('quote', 'hardware', [], { firmwareVersion: 'string' }),
  // Of the verifier's own record of the node: nothing that evidence could change.
  ...claimsOf('node', 'instance-identity', [], {
    ek: 'string',
    labels: 'map<string, string>',
    model: 'string',
    serial: 'string',
  }),
  ...claimsOf('ima', 'executables', [10], { entries: 'int', covered: 'int' }),
]

/** Values of registers in the judged bank, hex: `pcrs[7]`. */
export const REGISTERS = 'pcrs'

export const VARIABLES: readonly string[] = [
  ...new Set(READABLE.map(({ path }) => path.split('.')[0] ?? '')),
  REGISTERS,
]

const BY_PATH: ReadonlyMap<string, ReadableClaim> = new Map(READABLE.map((row) => [row.path, row]))

/** The claim that a path leads to or into; `undefined` where it stops at a group. */
export function claimAt(steps: readonly string[]): ReadableClaim | undefined {
  for (let length = steps.length; length > 0; length -= 1) {
    const row = BY_PATH.get(steps.slice(0, length).join('.'))
    if (row !== undefined) return row
  }
  return undefined
}
