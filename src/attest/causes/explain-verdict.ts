import { counts, isTouchstoneError } from '../../core/index.ts'
import type { Check } from '../../core/index.ts'
import {
  diffLogs,
  joinUserspaceLog,
  parseEventLog,
  parseUserspaceLog,
  REPLAY_BANKS,
  replayEventLog,
} from '../../eventlog/index.ts'
import type { EventLog, LogDiff, ReplayBank } from '../../eventlog/index.ts'
import { toHex } from '../../core/index.ts'
import type { HashName } from '../../tpm/index.ts'
import { setsInForce } from '../lifecycle.ts'
import type { Circumstances } from '../lifecycle.ts'
import type { ReferenceSet } from '../policy.ts'
import { differencesOf } from './difference.ts'
import { summariseDiff } from './difference-summary.ts'
import type { DifferenceSummary } from './difference-summary.ts'
import { explainFailure } from './failure.ts'
import type { FailureExplanation } from './failure.ts'
import { findCauses } from './find-causes.ts'
import type { Cause } from './find-causes.ts'
import { releasesOf } from './known-release.ts'
import { disagreementOf } from './scene.ts'
import type { Scene } from './scene.ts'

/** What a boot left behind. */
interface BootLogs {
  readonly eventLog: Uint8Array
  /** systemd's, which goes on where the other ends. */
  readonly userspaceLog?: Uint8Array | undefined
}

export interface VerdictInput {
  readonly checks: readonly Check[]
  /** The log of the last good boot, or of any that is known to be good. */
  readonly before?: BootLogs | undefined
  /** The log that was judged. */
  readonly now?: BootLogs | undefined
  /** The judged bank. */
  readonly bank: HashName
  /** Registers of that bank that the quote covers. */
  readonly quoted: readonly number[]
  readonly references: readonly ReferenceSet[]
  /** When, and of which node: what states of references depend on. */
  readonly circumstances?: Circumstances
}

/** Why a verdict is what it is, as far as that can be said. JSON-able, and bounded whatever the logs hold. */
export interface VerdictExplanation {
  /** Likely causes, the first one first. Empty where nothing failed and nothing changed, or no pattern fits. */
  readonly causes: readonly Cause[]
  /** What no known pattern is about. */
  readonly unexplained: {
    readonly events: number
    readonly checks: readonly string[]
  }
  /** How this boot differs from the good one; absent with `notCompared`. */
  readonly differences?: DifferenceSummary
  /** The TPM signed, now, what the log of this boot leads to: otherwise `differences` are only what that log says. */
  readonly signed: boolean
  /** Why it cannot be said. */
  readonly notCompared?: string
  /** One for each check that counts and did not pass, but for those that an earlier failure made impossible. */
  readonly failures: readonly FailureExplanation[]
}

/** Real logs are 15 to 256 KiB, of 50 to 400 events; comparing two at these limits takes a quarter of a second. */
const MAX_LOG = 1 << 20
const MAX_EVENTS = 8192

/** Codes of checks that say nothing of the node themselves. */
const CONSEQUENCES = ['check.blocked', 'policy.unauthenticated']

/**
 * Likely causes of a verdict, from a table of patterns (docs/causes.md): what failed, and what differs from the last good
 * boot. Explains and never judges: nothing here can make a verdict better. Never throws for logs that cannot be read or
 * compared; it says why it did not. At most half a second for logs of anybody's making, some 5 ms for real ones.
 */
export function explainVerdict(input: VerdictInput): VerdictExplanation {
  const { checks, references, bank } = input
  const failures = checks.filter(
    (check) => check.outcome !== 'pass' && counts(check) && !CONSEQUENCES.includes(check.code ?? ''),
  )
  const compared = compare(input)
  const diff = 'diff' in compared ? compared.diff : undefined
  const isVouchedFor = VOUCHING.every((name) => isFine(name, checks)) && checks.some(({ check }) => check === DIGEST)
  const differences =
    diff === undefined ? [] : differencesOf(diff, (register) => isVouchedFor && input.quoted.includes(register))
  const scene: Scene = {
    failures,
    diff,
    differences,
    release: releasesOf(differences, setsInForce(references, input.circumstances ?? {})),
    disagreement: disagreementOf(checks, bank),
    lastGood: compared.lastGood,
  }
  const { causes, unexplained, unexplainedChecks } = findCauses(scene)
  return {
    causes,
    unexplained: {
      events: unexplained.length,
      checks: [...new Set(unexplainedChecks.map(({ check, claim }) => claim ?? check))],
    },
    ...(diff === undefined ? {} : { differences: summariseDiff(diff) }),
    signed: isVouchedFor,
    ...('why' in compared ? { notCompared: compared.why } : {}),
    failures: failures.map((check) => explainFailure(check, scene, causes)),
  }
}

const DIGEST = 'quote.digest'

/** Only where all of these hold did the node's TPM sign, now, what its log leads to. */
const VOUCHING = [
  'quote.magic',
  'quote.type',
  'quote.scheme',
  'quote.signature',
  'quote.nonce',
  'quote.selection',
  'ak.attributes',
  'ak.qualified-name',
  DIGEST,
]

function isFine(name: string, checks: readonly Check[]): boolean {
  return checks.every(({ check, outcome }) => check !== name || outcome === 'pass' || outcome === 'warn')
}

type Compared = { readonly lastGood: ReadonlyMap<number, string> } & (
  { readonly diff: LogDiff } | { readonly why: string }
)

const NOTHING: ReadonlyMap<number, string> = new Map()

function compare({ before, now, bank }: VerdictInput): Compared {
  const replayed = REPLAY_BANKS.find((known) => known === bank)
  if (before === undefined) return { lastGood: NOTHING, why: 'no earlier good boot is known' }
  if (replayed === undefined) return { lastGood: NOTHING, why: `the bank ${bank} cannot be replayed` }
  const good = read(before.eventLog, 'the log of the good boot')
  if (typeof good === 'string') return { lastGood: NOTHING, why: good }
  if (!good.banks.includes(replayed))
    return { lastGood: NOTHING, why: `the log of the good boot has no ${bank} digests` }
  const wholeGood = continued(good, before, replayed)
  const lastGood = valuesOf(wholeGood ?? good, replayed)
  if (now === undefined)
    return { lastGood, why: 'the log of this boot was not kept, because it does not lead to what the TPM signed' }
  const log = read(now.eventLog, 'the log of this boot')
  if (typeof log === 'string') return { lastGood, why: log }
  // What systemd measured is no difference where one of the two boots has no log of it.
  const whole = continued(log, now, replayed)
  const [from, to] = wholeGood === undefined || whole === undefined ? [good, log] : [wholeGood, whole]
  try {
    return { lastGood, diff: diffLogs(from, to, replayed) }
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    return { lastGood, why: `the logs cannot be compared: ${error.message}` }
  }
}

function read(bytes: Uint8Array, name: string): EventLog | string {
  if (bytes.byteLength > MAX_LOG) return `${name} has ${bytes.byteLength} bytes; up to ${MAX_LOG} are compared`
  try {
    const log = parseEventLog(bytes)
    const { length } = log.events
    return length > MAX_EVENTS ? `${name} has ${length} events; up to ${MAX_EVENTS} are compared` : log
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    return `${name} cannot be read: ${error.message}`
  }
}

/** With what systemd logged behind it, where there is such a log and it can be read. */
function continued(log: EventLog, { userspaceLog }: BootLogs, bank: ReplayBank): EventLog | undefined {
  if (userspaceLog === undefined) return undefined
  try {
    const userspace = parseUserspaceLog(userspaceLog)
    const records = Math.min(userspace.events.length, Math.max(0, MAX_EVENTS - log.events.length))
    return joinUserspaceLog(log, userspace, { records, bank })
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    return undefined
  }
}

/** PCR 10 is the kernel's to extend: whatever the firmware's log says of it is not believed. */
function valuesOf(log: EventLog, bank: ReplayBank): ReadonlyMap<number, string> {
  const values = [...replayEventLog(log, bank).values].filter(([register]) => register !== 10)
  return new Map(values.map(([register, value]) => [register, toHex(value)]))
}
