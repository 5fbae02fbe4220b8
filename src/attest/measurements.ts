import type { Check } from '../core/index.ts'
import type { HashName, PcrSelection, TpmsAttest } from '../tpm/index.ts'
import { blockedIma, checkIma } from './ima.ts'
import type { ImaCoverage, ImaMatch } from './ima-replay.ts'
import type { JudgedBy } from './ima-rules.ts'
import type { ImaState } from './ima-state.ts'
import { viewOf } from './judged-log.ts'
import type { JudgedLog } from './judged-log.ts'
import { indeterminate } from './outcome.ts'
import type { Policy } from './policy.ts'
import { checkBanks, checkStrength, checkZero } from './register-checks.ts'
import { compareDigest } from './quote-digest.ts'
import type { ImaLogInput } from './quote-digest.ts'
import { IMA_PCR } from './registers.ts'
import type { ClaimedPcrs } from './registers.ts'
import type { RuleMemory } from './remembered-rules.ts'
import type { AuthenticatedBoot } from './rule-table.ts'
import { blockedUserspace, checkUserspace } from './userspace-check.ts'
import { joinUserspace } from './userspace-log.ts'
import type { JoinedUserspace } from './userspace-log.ts'
import type { BeforeUserspace } from './userspace-rules.ts'

export interface MeasurementInput {
  readonly policy: Policy
  /** What was asked for; its first bank is judged. */
  readonly asked: PcrSelection
  /** What was signed. `undefined`: no genuine signature over a readable quote, so that no log is worth reading. */
  readonly signed: Extract<TpmsAttest, { type: 'quote' }>['attested'] | undefined
  /** Hash of the signature's scheme, which is that of the signed digest too. */
  readonly hash: HashName | undefined
  /** Read when it is needed and not before, by the signed digest over the registers. Throws what `parseEventLog` throws. */
  readonly eventLog: (signed: Uint8Array) => JudgedLog
  /** systemd's log, which goes on where the other ends; `undefined`: none came. */
  readonly userspaceLog: Uint8Array | undefined
  /** `undefined`: no log came, and none of this boot is known. */
  readonly ima: ImaLogInput | undefined
  readonly imaBy: JudgedBy
  readonly claimed: ClaimedPcrs | undefined
}

export interface Measurements {
  readonly checks: readonly Check[]
  /** Registers of the judged bank that the quote covers; of no genuine one, those that were asked for. */
  readonly quoted: readonly number[]
  /** What the logs say, once they replay to exactly what was signed; else `undefined`. */
  readonly boot: AuthenticatedBoot | undefined
  /** What rules said of this boot before. */
  readonly memory: RuleMemory
  readonly ima: ImaCoverage | undefined
  /** What to keep of the IMA log for the next quote of this boot. */
  readonly imaState: ImaState | undefined
  readonly userspace: UserspaceCoverage | undefined
  readonly beforeUserspace: BeforeUserspace | undefined
}

/** How far a quote covers the log of systemd, which may have grown since. */
export interface UserspaceCoverage {
  readonly covered: number
  readonly records: number
}

/** Everything that compares logs with the signed digest. Nothing in a log is a fact before that agrees. */
export function checkMeasurements(input: MeasurementInput): Measurements {
  const { signed, hash, asked, policy } = input
  const [judged] = asked
  if (signed === undefined || hash === undefined || judged === undefined) {
    return {
      checks: blockedChecks(input),
      // What was asked for, and not nothing: rules are not to say that a register is missing where a signature is.
      quoted: judged?.pcrs ?? [],
      boot: undefined,
      memory: [],
      ima: undefined,
      imaState: undefined,
      userspace: undefined,
      beforeUserspace: undefined,
    }
  }
  const { ima, imaBy, claimed, userspaceLog } = input
  const firmware = input.eventLog(signed.pcrDigest)
  const joined =
    userspaceLog &&
    joinUserspace({
      firmware,
      bytes: userspaceLog,
      signed,
      judged: judged.hash,
      hash,
      hasIma: ima !== undefined,
      claimed,
    })
  const view = viewOf(joined?.judged ?? firmware, signed.pcrSelect, judged.hash)
  const { replay, quoted, visible } = view
  // What systemd measures says nothing on whether the firmware does.
  const ofFirmware = joined?.firmware.replay ?? replay
  const digest = { hash, signed: signed.pcrDigest }
  const comparison = compareDigest({ replay, judged: judged.hash, digest, ima, imaBy, claimed })
  const match = comparison.ima?.match
  const believed = comparison.agrees && visible.registers === 'pcr'
  const boot = believed ? withIma(view.boot(), match) : undefined
  return {
    checks: [
      comparison.check,
      checkStrength(judged.hash),
      checkBanks(policy, asked, ofFirmware, boot),
      view.structure(policy),
      checkZero(policy, quoted, joined === undefined ? boot : withoutUserspace(boot, joined, judged.hash)),
      ...(joined === undefined ? [] : [checkUserspace({ joined, judged: judged.hash, quoted, agrees: believed })]),
      ...checkIma({
        required: requiresIma(policy),
        rules: imaBy.rules,
        hasLog: ima !== undefined,
        signed: signed.pcrSelect,
        judged: judged.hash,
        result: comparison.ima,
        agrees: comparison.agrees,
        alone: comparison.alone,
        firmware: ofFirmware.banks,
      }),
    ],
    quoted,
    boot,
    memory: view.rules,
    ima: match && { covered: match.covered, entries: match.entries },
    imaState: comparison.ima?.state,
    userspace: joined && coverageOf(joined),
    beforeUserspace: boot && joined?.before(),
  }
}

function coverageOf({ covered, userspace }: JoinedUserspace): UserspaceCoverage {
  const records = userspace.events.length
  return { covered: covered ?? records, records }
}

/** The boot with the registers alone that the firmware extended. */
function withoutUserspace(
  boot: AuthenticatedBoot | undefined,
  { firmware }: JoinedUserspace,
  judged: HashName,
): AuthenticatedBoot | undefined {
  if (boot === undefined) return undefined
  const extended = firmware.replay.banks.get(judged)?.extended
  return { ...boot, registers: new Map([...boot.registers].filter(([pcr]) => extended?.has(pcr) === true)) }
}

function requiresIma({ log, ima }: Policy): boolean {
  return log.ima === 'required' || ima?.required === true
}

/** With PCR 10, where entries of an IMA log account for it. */
function withIma(boot: AuthenticatedBoot | undefined, ima: ImaMatch | undefined): AuthenticatedBoot | undefined {
  if (boot === undefined || ima === undefined || ima.covered === 0) return boot
  return { ...boot, registers: new Map(boot.registers).set(IMA_PCR, ima.value) }
}

/** The checks that need a signature, where there is none: none of them vanishes. */
function blockedChecks(input: MeasurementInput): Check[] {
  const reason = 'no genuine signature over a readable quote'
  const names = ['quote.digest', 'bank.strength', 'bank.unmeasured', 'log.structure', 'pcr.zero']
  const isAsked = requiresIma(input.policy) || input.ima !== undefined
  const ima = isAsked ? blockedIma(input.imaBy.rules, 'check.blocked', reason) : []
  const userspace = input.userspaceLog === undefined ? [] : [blockedUserspace(reason)]
  return [...names.map((name) => blocked(name, reason)), ...userspace, ...ima]
}

function blocked(name: string, reason: string): Check {
  return indeterminate(name, 'check.blocked', { actual: reason })
}
