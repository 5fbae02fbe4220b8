import { equalBytes, isTouchstoneError, toHex } from '../core/index.ts'
import type { Check, JsonValue } from '../core/index.ts'
import { joinUserspaceLog, parseEventLog, parseUserspaceLog } from '../eventlog/index.ts'
import type { EventLog } from '../eventlog/index.ts'
import { equalSelections, formatPcrSelection, withoutRegister } from '../tpm/index.ts'
import type { HashName, PcrSelection } from '../tpm/index.ts'
import { batchLeaf, isInTree, ledgerLeaf, linkQualifyingData, MAX_GENERATION_LEAP } from '../wire/index.ts'
import type { LinkedEvidence } from '../wire/index.ts'
import { checkAttestationKey } from './attestation-key.ts'
import type { HostVerdict, KnownHost } from './known-host.ts'
import { indeterminate, judge } from './outcome.ts'
import { checkQuote } from './quote-checks.ts'
import { readQuote, readSignature } from './quote.ts'
import type { ReadQuote } from './quote.ts'
import { IMA_PCR, isReplayBank, replaySelection, selectionDigest } from './registers.ts'

export interface LinkInput {
  readonly link: LinkedEvidence
  /** UUID of the guest whose evidence came with it. */
  readonly guest: string
  /** Name of that guest's enrolled EK. */
  readonly ekName: Uint8Array
  /** The guest's own quote and its signature. */
  readonly quote: Uint8Array
  readonly signature: Uint8Array
  /** The highest generation of the guest that was seen or granted. */
  readonly generation: number
  /** NodeId of the node that the guest is placed on. */
  readonly placedOn: string | undefined
  /** The host that the link names, where the verifier knows it. */
  readonly host: KnownHost | undefined
}

/**
 * From the host inward: whose quote it is, of which boot and state, then that its ledger has this guest, then that it was
 * made over this very quote of the guest, which is judged elsewhere. What rests on a step that failed is indeterminate.
 */
export function checkLink(input: LinkInput): Check[] {
  const { link, guest, ekName, generation } = input
  const named = checkNamedHost(input)
  const host = named.outcome === 'pass' ? input.host : undefined
  const signed = host === undefined ? undefined : readHostQuote(link, host)
  const quoted = signed === undefined ? blocked('link.host-quote', 'the host that quoted is another one') : signed.check
  const genuine = quoted.outcome === 'pass' ? signed : undefined
  const unsigned = 'the quote of the host is not genuine'
  const { ledger, batch } = link
  const leaf = ledgerLeaf(ledger)
  const isOwn = ledger.guest === guest && equalBytes(ledger.ekName, ekName)
  return [
    named,
    quoted,
    checkBoot(genuine?.quote, host?.verdict),
    checkState(genuine, host),
    genuine === undefined
      ? blocked('link.ledger', unsigned)
      : judge(isOwn && isInTree(leaf, ledger.proof, ledger.root), 'link.ledger', 'link.ledger_leaf', {
          expected: { guest, ekName: toHex(ekName) },
          actual: { guest: ledger.guest, ekName: toHex(ledger.ekName), generation: ledger.generation },
        }),
    genuine === undefined ? blocked('link.generation', unsigned) : checkGeneration(ledger.generation, generation),
    genuine === undefined
      ? blocked('link.batch', unsigned)
      : judge(isInTree(batchLeaf(input), batch.proof, batch.root), 'link.batch', 'link.not_in_batch', {
          actual: { index: batch.proof.index, size: batch.proof.size },
        }),
  ]
}

/** Neither an older copy, nor so far ahead that no start, and no restore, could come after it. */
function checkGeneration(actual: number, least: number): Check {
  const name = 'link.generation'
  const most = least + MAX_GENERATION_LEAP
  if (actual > most) return judge(false, name, 'link.generation_leap', { expected: `at most ${most}`, actual })
  return judge(actual >= least, name, 'link.generation_old', { expected: `at least ${least}`, actual })
}

/** Whatever ran on another node than the one that it was placed on, was relayed from there. */
function checkNamedHost({ link, placedOn, host }: LinkInput): Check {
  const detail = { expected: placedOn ?? 'no placement', actual: link.host }
  if (host === undefined) return judge(false, 'link.host', 'link.host_unknown', detail)
  return judge(link.host === placedOn, 'link.host', 'link.relayed', detail)
}

interface HostQuote {
  readonly check: Check
  readonly quote: NonNullable<ReadQuote['quote']> | undefined
  /** Hash of its signature's scheme, and so of its digest. */
  readonly hash: HashName | undefined
}

/** What must hold of the host's quote before anything else in it means something. */
const GENUINE: readonly string[] = [
  'quote.magic',
  'quote.type',
  'quote.scheme',
  'quote.signature',
  'quote.nonce',
  'ak.attributes',
  'ak.qualified-name',
]

function readHostQuote(link: LinkedEvidence, host: KnownHost): HostQuote {
  const name = 'link.host-quote'
  try {
    const key = { kind: 'tpm', pub: host.ak } as const
    const quote = readQuote(link.hostQuote)
    const signature = readSignature(link.hostSignature, key)
    const nonce = linkQualifyingData(link.batch.root, link.ledger.root)
    const failed = [
      ...checkQuote(quote, signature, key, { nonce, selection: [] }),
      ...checkAttestationKey(key, 'enrolled', host.ek, quote.attest?.qualifiedSigner),
    ].filter(({ check, outcome }) => GENUINE.includes(check) && outcome !== 'pass')
    const actual: JsonValue = failed.map(({ check, code = '' }) => `${check}: ${code}`)
    const check = judge(failed.length === 0, name, 'link.host_quote', failed.length === 0 ? {} : { actual })
    return { check, quote: quote.quote, hash: signature.hash }
  } catch (error) {
    // What the host's broker sent cannot be read: a failed link, and not a reason to refuse the guest an answer.
    if (!isTouchstoneError(error)) throw error
    return {
      check: judge(false, name, 'link.host_quote', { actual: error.message }),
      quote: undefined,
      hash: undefined,
    }
  }
}

const NO_VERDICT = 'nothing is known of this boot of the host'

function checkBoot(quote: HostQuote['quote'], verdict: HostVerdict | undefined): Check {
  const name = 'link.host-boot'
  if (quote === undefined || verdict === undefined) return blocked(name, NO_VERDICT)
  const { resetCount } = quote.clockInfo
  const detail = { expected: verdict.resetCount, actual: resetCount }
  return judge(resetCount === verdict.resetCount, name, 'link.host_other_boot', detail)
}

/**
 * The registers are those of the host's verdict. PCR 10 may be left out, because it grows with every program that runs:
 * then the host's own log, which replayed to the verdict's quote, says what the others must hash to.
 */
function checkState(signed: HostQuote | undefined, host: KnownHost | undefined): Check {
  const name = 'link.host-state'
  const verdict = host?.verdict
  if (signed?.quote === undefined || signed.hash === undefined || verdict === undefined)
    return blocked(name, NO_VERDICT)
  const { pcrSelect, pcrDigest } = signed.quote.attested
  const actual = { selection: formatPcrSelection(pcrSelect), digest: toHex(pcrDigest) }
  const judged = (selection: PcrSelection, digest: Buffer | undefined): Check =>
    judge(digest !== undefined && equalBytes(digest, pcrDigest), name, 'link.host_state_changed', {
      expected: { selection: formatPcrSelection(selection), digest: digest === undefined ? null : toHex(digest) },
      actual,
    })
  const { selection, digest } = verdict.registers
  if (equalSelections(selection, pcrSelect)) return judged(selection, digest)
  const lasting = withoutRegister(selection, IMA_PCR)
  const expected = equalSelections(lasting, pcrSelect) ? replayedDigest(pcrSelect, signed.hash, host) : undefined
  return judged(lasting, expected)
}

function replayedDigest(selection: PcrSelection, hash: HashName, host: KnownHost | undefined): Buffer | undefined {
  if (host?.eventLog === undefined) return undefined
  const { registers } = replaySelection(selection, measuredBy(host.eventLog, host.userspace, selection))
  const values = registers.flatMap(({ replayed }) => (replayed === undefined ? [] : [replayed]))
  return values.length < registers.length ? undefined : selectionDigest(hash, values)
}

function measuredBy(eventLog: Buffer, userspace: KnownHost['userspace'], [judged]: PcrSelection): EventLog {
  const firmware = parseEventLog(eventLog)
  if (userspace === undefined || judged === undefined || !isReplayBank(judged.hash)) return firmware
  const { log, records } = userspace
  return joinUserspaceLog(firmware, parseUserspaceLog(log), { records, bank: judged.hash })
}

function blocked(name: string, reason: string): Check {
  return indeterminate(name, 'check.blocked', { actual: reason })
}
