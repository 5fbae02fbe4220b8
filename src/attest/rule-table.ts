import type { EventRef, TrustClaim } from '../core/index.ts'
import { toHex } from '../core/index.ts'
import { eventRef } from '../eventlog/index.ts'
import type { AnnotatedEvent, BootClaims, BootFacts, CertificateFact, KeyDatabaseFact } from '../eventlog/index.ts'
import type { TpmsAttest } from '../tpm/index.ts'
import type { PolicySpec } from './policy-schema.ts'
import type { GivenMatcher } from './rule-schema.ts'

/** A boot that was authenticated: its facts, and what the registers were shown to hold. */
export interface AuthenticatedBoot {
  readonly facts: BootFacts
  /** Quoted registers of the judged bank that at least one event extended. */
  readonly registers: ReadonlyMap<number, Uint8Array>
  /** Events of quoted registers by their index, with their digests in the judged bank: made when a check points at one. */
  readonly events: () => ReadonlyMap<number, AnnotatedEvent>
  /** The facts as claims: derived when somebody asks, because most policies never do. */
  readonly claims: () => BootClaims
}

/** `prior`: what the last accepted quote of this AK said. */
export function quoteFacts(
  { clockInfo, firmwareVersion }: Pick<Extract<TpmsAttest, { type: 'quote' }>, 'clockInfo' | 'firmwareVersion'>,
  prior: { readonly resetCount: number } | undefined,
): QuoteFacts {
  const facts = { ...clockInfo, firmwareVersion }
  return prior === undefined ? facts : { ...facts, priorResetCount: prior.resetCount }
}

/** One value of a fact, and the event that shows it. */
export interface Observed {
  readonly value: string
  readonly event?: EventRef | undefined
  /** Nothing is known of it but its digest: it may be what the fact should have shown. */
  readonly unread?: true | undefined
  /** Of an authority: the certificate, where it is one that can be read. */
  readonly certificate?: CertificateFact | undefined
  /** Of a key database: its hashes and the fingerprints of its certificates, where it can be read. */
  readonly members?: () => readonly string[] | undefined
}

/** What a quote says of its TPM, and what the last accepted one said. */
export interface QuoteFacts {
  readonly clock: bigint
  readonly resetCount: number
  readonly restartCount: number
  readonly safe: boolean
  readonly firmwareVersion: bigint
  /** Absent for a node that was never seen. */
  readonly priorResetCount?: number
}

/** Everything the program knows of one rule. The order is that of the checks: what explains most comes first. */
export interface RuleRow {
  /** The fact that it reads, and the field of the policy that holds its matcher. */
  readonly fact: string
  /** Registers that the fact is made of. All must be quoted, or somebody else could have written it. */
  readonly pcrs: readonly number[]
  /** The claim of the trust vector that a failure falls on. */
  readonly claim: TrustClaim
  /** Values are digests in the judged bank. */
  readonly digests?: true
  readonly matcher: (spec: PolicySpec) => GivenMatcher | undefined
  /**
   * What `policy learn` writes of it: a flag, the one value, the values in any number, the exact list, or nothing. A flag
   * says which answer is the safe one, if one is.
   */
  readonly learn: 'safe-true' | 'safe-false' | 'flag' | 'value' | 'values' | 'list' | 'never'
  /** `undefined`: not known. An empty list: known to be nothing. */
  readonly observe: (boot: AuthenticatedBoot) => readonly Observed[] | undefined
  /** Why it is not known, where the facts say so. */
  readonly doubts?: (boot: AuthenticatedBoot) => readonly string[]
  /** Instead of `observe`, for what the quote says by itself, whatever the logs do; such rows read no register. */
  readonly ofQuote?: (quote: QuoteFacts) => readonly Observed[] | undefined
  /** Nothing that a log can hold says anything of it. */
  readonly unsupplied?: true
}

type Database = 'pk' | 'kek' | 'db' | 'dbx' | 'dbt' | 'dbr'
type Flag = 'enabled' | 'setupMode' | 'auditMode' | 'deployedMode'

const LEARNED_FLAGS: Readonly<Record<Flag, RuleRow['learn']>> = {
  enabled: 'safe-true',
  setupMode: 'safe-false',
  auditMode: 'safe-false',
  deployedMode: 'flag',
}

/** Variables that a mode is read from, the first that was measured. */
const VARIABLES: Readonly<Record<Flag, readonly string[]>> = {
  enabled: ['SecureBoot'],
  setupMode: ['SetupMode', 'PK'],
  auditMode: ['AuditMode'],
  deployedMode: ['DeployedMode'],
}

/** The claim that each register speaks of: AR4SI has no finer one. Registers that are not here are configuration. */
const CLAIM_OF_PCR: ReadonlyMap<number, TrustClaim> = new Map([
  [0, 'hardware'],
  [2, 'hardware'],
  [4, 'executables'],
  [8, 'executables'],
  [9, 'executables'],
  [10, 'executables'],
  [11, 'executables'],
  [13, 'executables'],
])

/** Application and debug registers: no firmware, loader or kernel measures into them, so no log records them. */
const UNRECORDED_PCRS: readonly number[] = [16, 23]

/** Registers that stay as the boot left them; IMA goes on extending 10. */
const LEARNED_PCRS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15]

/** Those of which facts say too little, or nothing on most machines: a learned policy leaves their empty lists out. */
export const BARE_PCRS: readonly number[] = [0, 2, 3, 6, 11, 12, 13, 14, 15]

export const RULES: readonly RuleRow[] = [
  ...(['enabled', 'setupMode', 'auditMode', 'deployedMode'] as const).map(secureBootFlag),
  ...(['pk', 'kek', 'db', 'dbx', 'dbt', 'dbr'] as const).map(keyDatabase),
  {
    fact: 'secureBoot.authorities',
    pcrs: [7],
    claim: 'configuration',
    digests: true,
    learn: 'list',
    matcher: (spec) => spec.secureBoot?.authorities,
    observe: (boot) => {
      const found = boot.facts.secureBoot.authorities.map(({ digest, event, certificate }) => ({
        value: digest,
        event,
        certificate,
      }))
      return withUnread(boot, [7], found, 'digest')
    },
  },
  {
    fact: 'kernel.commandLine',
    pcrs: [8, 12],
    claim: 'executables',
    learn: 'values',
    matcher: (spec) => spec.kernel?.commandLine,
    // A parameter that must not be there may be in a line that was made unreadable: no other line stands for it.
    observe: (boot) => (unreadIn(boot, [8, 12]).length > 0 ? undefined : boot.facts.kernel.commandLines.map(textValue)),
    doubts: (boot) => unreadIn(boot, [8, 12]).map(({ event }) => `event ${event.index} of PCR ${event.pcr} is no text`),
  },
  {
    fact: 'grub.commands',
    pcrs: [8],
    claim: 'executables',
    learn: 'list',
    matcher: (spec) => spec.grub?.commands,
    observe: (boot) => withUnread(boot, [8], boot.facts.grub.commands.map(textValue), 'text'),
  },
  {
    fact: 'boot.applications',
    pcrs: [4],
    claim: 'executables',
    digests: true,
    learn: 'list',
    matcher: (spec) => spec.boot?.applications,
    observe: (boot) => boot.facts.bootApplications.map((image) => placedDigest(boot, image)),
  },
  {
    fact: 'boot.files',
    pcrs: [9],
    claim: 'executables',
    digests: true,
    learn: 'list',
    matcher: (spec) => spec.boot?.files,
    observe: (boot) => boot.facts.bootFiles.map((file) => placedDigest(boot, file)),
  },
  {
    fact: 'boot.exitBootServices',
    pcrs: [5],
    claim: 'executables',
    learn: 'safe-true',
    matcher: (spec) => spec.boot?.exitBootServices,
    observe: ({ facts }) =>
      facts.exitBootServices === undefined ? undefined : [{ value: 'true', event: facts.exitBootServices.event }],
  },
  {
    fact: 'boot.attempts',
    pcrs: [4, 5],
    claim: 'executables',
    learn: 'value',
    matcher: (spec) => spec.boot?.attempts,
    observe: ({ facts }) => [{ value: String(facts.bootAttempts.length), event: facts.bootAttempts.at(-1)?.event }],
  },
  {
    fact: 'boot.order',
    pcrs: [1, 5],
    claim: 'configuration',
    learn: 'value',
    matcher: (spec) => spec.boot?.order,
    observe: ({ facts: { bootOptions } }) =>
      bootOptions.order && [
        { value: bootOptions.order.numbers.map(bootNumber).join(), event: bootOptions.order.event },
      ],
  },
  {
    fact: 'boot.options',
    pcrs: [1, 5],
    claim: 'configuration',
    digests: true,
    learn: 'list',
    matcher: (spec) => spec.boot?.options,
    observe: (boot) => {
      const options = boot.facts.bootOptions.options.map(({ event }) => eventDigest(boot, event))
      return withUnread(boot, [1, 5], options, 'digest')
    },
  },
  {
    fact: 'boot.partitionTables',
    pcrs: [5],
    claim: 'configuration',
    digests: true,
    learn: 'list',
    matcher: (spec) => spec.boot?.partitionTables,
    observe: (boot) => {
      const tables = boot.facts.partitionTables.map(({ event }) => eventDigest(boot, event))
      return withUnread(boot, [5], tables, 'digest')
    },
  },
  {
    fact: 'firmware.version',
    pcrs: [0],
    claim: 'hardware',
    learn: 'value',
    matcher: (spec) => spec.firmware?.version,
    observe: ({ facts }) => facts.firmware.version && [textValue(facts.firmware.version)],
  },
  {
    fact: 'firmware.drivers',
    pcrs: [2],
    claim: 'hardware',
    digests: true,
    learn: 'list',
    matcher: (spec) => spec.firmware?.drivers,
    observe: (boot) => boot.facts.drivers.map((image) => placedDigest(boot, image)),
  },
  {
    fact: 'firmware.actions',
    pcrs: [1, 2, 4, 5, 6, 7],
    claim: 'configuration',
    learn: 'list',
    matcher: (spec) => spec.firmware?.actions,
    observe: ({ facts }) => facts.actions.map(textValue),
  },
  {
    fact: 'shim.sbatLevel',
    pcrs: [7],
    claim: 'configuration',
    learn: 'value',
    matcher: (spec) => spec.shim?.sbatLevel,
    observe: ({ facts }) => facts.shim.sbatLevel && [textValue(facts.shim.sbatLevel)],
  },
  {
    fact: 'shim.mokListTrusted',
    pcrs: [7],
    claim: 'configuration',
    learn: 'flag',
    matcher: (spec) => spec.shim?.mokListTrusted,
    observe: ({ facts: { shim } }) =>
      shim.mokListTrusted && [{ value: String(shim.mokListTrusted.value), event: shim.mokListTrusted.event }],
  },
  {
    fact: 'eve.config',
    pcrs: [14],
    claim: 'configuration',
    digests: true,
    learn: 'list',
    matcher: (spec) => spec.eve?.config,
    observe: (boot) => {
      const files = boot.facts.eve.config.map(({ event }) => eventDigest(boot, event))
      return withUnread(boot, [14], files, 'digest')
    },
  },
  {
    fact: 'eve.rootfs',
    pcrs: [13],
    claim: 'executables',
    learn: 'list',
    matcher: (spec) => spec.eve?.rootfs,
    observe: (boot) => {
      const images = boot.facts.eve.rootfs.map(({ hash, event }) => ({ value: hash, event }))
      return withUnread(boot, [13], images, 'text')
    },
  },
  quoteRow(
    'clock.safe',
    (spec) => spec.clock?.safe,
    ({ safe }) => [{ value: String(safe) }],
  ),
  quoteRow(
    'clock.resetsSinceLast',
    (spec) => spec.clock?.resetsSinceLast,
    ({ resetCount, priorResetCount }) => {
      // Of a node that is new there is no last time. A counter that went back is quote.counters' to judge.
      if (priorResetCount === undefined) return []
      return resetCount < priorResetCount ? undefined : [{ value: String(resetCount - priorResetCount) }]
    },
  ),
  quoteRow(
    'clock.restarts',
    (spec) => spec.clock?.restarts,
    ({ restartCount }) => [{ value: String(restartCount) }],
  ),
  quoteRow(
    'tpm.firmwareVersion',
    (spec) => spec.tpm?.firmwareVersion,
    ({ firmwareVersion }) => [{ value: firmwareVersionText(firmwareVersion) }],
    'hardware',
  ),
  ...Array.from({ length: 24 }, (_, pcr) => wholeRegister(pcr)),
]

function quoteRow(
  fact: string,
  matcher: RuleRow['matcher'],
  ofQuote: (quote: QuoteFacts) => readonly Observed[] | undefined,
  claim: TrustClaim = 'instance-identity',
): RuleRow {
  return { fact, pcrs: [], claim, learn: 'never', matcher, observe: () => undefined, ofQuote }
}

/** TPM_PT_FIRMWARE_VERSION_1 and 2 as vendors print them: four numbers of 16 bits. Part 2, 6.13. */
export function firmwareVersionText(version: bigint): string {
  return [48n, 32n, 16n, 0n].map((shift) => String((version >> shift) & 0xffffn)).join('.')
}

function secureBootFlag(flag: Flag): RuleRow {
  return {
    fact: `secureBoot.${flag}`,
    pcrs: [7],
    claim: 'configuration',
    learn: LEARNED_FLAGS[flag],
    matcher: (spec) => spec.secureBoot?.[flag],
    ...(flag === 'enabled' ? { doubts: ({ facts }: AuthenticatedBoot) => facts.secureBoot.doubts } : {}),
    observe: (boot) => {
      const value = boot.facts.secureBoot[flag]
      return value === undefined ? undefined : [shownBy(String(value), () => variableEvent(boot, VARIABLES[flag]))]
    },
  }
}

function variableEvent({ events }: AuthenticatedBoot, names: readonly string[]): EventRef | undefined {
  for (const name of names) {
    for (const annotated of events().values()) {
      const { binding, content } = annotated
      if (binding === 'bound' && content?.kind === 'variable' && content.variable.name === name)
        return eventRef(annotated)
    }
  }
  return undefined
}

function keyDatabase(name: Database): RuleRow {
  return {
    fact: `secureBoot.${name}`,
    pcrs: [7],
    claim: 'configuration',
    digests: true,
    learn: 'value',
    matcher: (spec) => spec.secureBoot?.[name],
    observe: ({ facts }) => {
      const database = facts.secureBoot[name]
      return database && [{ value: database.digest, event: database.event, members: () => membersOf(database) }]
    },
  }
}

/** Where it is proved that Secure Boot verified whatever was started. */
const VERIFIED_BOOT_PCRS = [7]

/** Registers that a rule's answer rests on. */
export function registersOf(row: RuleRow, { verifiedBy }: GivenMatcher): readonly number[] {
  return verifiedBy === undefined ? row.pcrs : [...row.pcrs, ...VERIFIED_BOOT_PCRS]
}

/** The claim of the trust vector that a register speaks of. */
export function claimOfRegister(pcr: number): TrustClaim {
  return CLAIM_OF_PCR.get(pcr) ?? 'configuration'
}

function membersOf({ hashes, certificates }: KeyDatabaseFact): readonly string[] | undefined {
  if (hashes === undefined || certificates === undefined) return undefined
  return [...hashes, ...certificates.map(({ fingerprint }) => fingerprint)]
}

function wholeRegister(pcr: number): RuleRow {
  return {
    ...(UNRECORDED_PCRS.includes(pcr) ? { unsupplied: true } : {}),
    fact: `pcr.${pcr}`,
    pcrs: [pcr],
    claim: claimOfRegister(pcr),
    digests: true,
    learn: LEARNED_PCRS.includes(pcr) ? 'value' : 'never',
    matcher: (spec) => spec.pcr?.[String(pcr)],
    observe: ({ registers }) => {
      const value = registers.get(pcr)
      // A register that nothing was measured into says nothing, whatever it holds.
      return value && [{ value: toHex(value) }]
    },
  }
}

/**
 * The values of a list together with the events of its registers that nothing reads, in the order of measurement. Such an
 * event may be one of the list that somebody made unreadable, so a rule has to know it: by its digest among digests,
 * as `unknown:<digest>` among texts.
 */
function withUnread(
  boot: AuthenticatedBoot,
  pcrs: readonly number[],
  read: readonly Observed[],
  values: 'digest' | 'text',
): readonly Observed[] {
  const unread = unreadIn(boot, pcrs)
  if (unread.length === 0) return read
  const placed = [
    ...read.map((observed) => ({ observed, at: observed.event?.index ?? 0 })),
    ...unread.map(({ digest, event }) => {
      const value = values === 'digest' ? digest : `unknown:${digest}`
      const observed = shownBy(value, () => describedEvent(boot, event.index), { unread: true })
      return { observed, at: event.index }
    }),
  ]
  return placed.sort((a, b) => a.at - b.at).map(({ observed }) => observed)
}

function unreadIn({ facts }: AuthenticatedBoot, pcrs: readonly number[]): BootFacts['unread'] {
  return facts.unread.filter(({ event }) => pcrs.includes(event.pcr))
}

function textValue({ text, event }: { readonly text: string; readonly event: EventRef }): Observed {
  return { value: text, event }
}

function placedDigest(
  boot: AuthenticatedBoot,
  fact: { readonly digest: string; readonly event: { readonly index: number } },
): Observed {
  return shownBy(fact.digest, () => describedEvent(boot, fact.event.index))
}

function describedEvent({ events }: AuthenticatedBoot, index: number): EventRef | undefined {
  const annotated = events().get(index)
  return annotated && eventRef(annotated)
}

function shownBy(value: string, describe: () => EventRef | undefined, more: Pick<Observed, 'unread'> = {}): Observed {
  return new Shown(value, describe, more.unread)
}

/**
 * A value whose event is described when somebody asks: only failures show theirs, and a summary costs as much as a rule. A
 * class, because a getter in an object literal is kept by the shape of the object, and with it the boot, until memory is
 * collected as a whole.
 */
class Shown implements Observed {
  readonly value: string
  readonly unread: true | undefined
  readonly #describe: () => EventRef | undefined

  constructor(value: string, describe: () => EventRef | undefined, unread: true | undefined) {
    this.value = value
    this.unread = unread
    this.#describe = describe
  }

  get event(): EventRef | undefined {
    return this.#describe()
  }
}

function eventDigest(boot: AuthenticatedBoot, event: EventRef): Observed {
  return { value: toHex(boot.events().get(event.index)?.digest ?? Buffer.alloc(0)), event }
}

function bootNumber(number: number): string {
  return number.toString(16).padStart(4, '0')
}
