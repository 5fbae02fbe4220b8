import { createHmac } from 'node:crypto'
import { type AppraisalInput, imaBasis, type ImaState, readImaState } from '../../attest/index.ts'
import { decode } from '../../codec/index.ts'
import { isAsciiImaLog } from '../../eventlog/index.ts'
import type { AttestationRow, ImaGrowth, NodeRecord, Repositories, StoredImaLog } from '../../store/index.ts'
import { TPMS_ATTEST } from '../../tpm/index.ts'
import type { Evidence, OnboardingFinish } from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import type { VerifierDeps } from './deps.ts'

type Judged = Pick<AppraisalInput, 'policy' | 'references' | 'now' | 'node'>
type Named = Pick<NodeRecord, 'nodeId' | 'akName'>

/**
 * What the verifier calls the part of a node's IMA log that it has. It tells nothing to whoever does not have the name from
 * the answer to the evidence that made it, and one is told for nodes that there are not, too.
 */
export function nameOfKnown(
  { secrets }: Pick<VerifierDeps, 'secrets'>,
  { nodeId, akName }: { readonly nodeId: string; readonly akName: string },
  known: Pick<StoredImaLog, 'boot' | 'bytes' | 'state'> | undefined,
): string {
  const mac = createHmac('sha256', secrets.pseudonym).update('ima log').update(nodeId).update(akName)
  return mac.update(known === undefined ? 'none' : `${known.boot} ${known.bytes} ${known.state}`).digest('hex')
}

/** The part that can be gone on from under these rules: as it was judged, or because all of it is kept. */
export async function usableIma(
  store: Pick<Repositories, 'imaLogs'>,
  node: Named,
  judged: Judged,
): Promise<StoredImaLog | undefined> {
  const stored = await store.imaLogs.ofNode(node.nodeId)
  if (stored?.boot.startsWith(`${node.akName}:`) !== true) return undefined
  return stored.isWhole || stateUnder(stored, judged) !== undefined ? stored : undefined
}

function stateUnder(stored: StoredImaLog, judged: Judged): ImaState | undefined {
  const state = readImaState(stored.state)
  return state?.basis === imaBasis(judged) ? state : undefined
}

export type ImaEvidence = Pick<AppraisalInput, 'imaLog' | 'imaState' | 'imaIsPart'>

/** What came of a node's IMA log, and what it goes on from. */
export interface ReceivedIma {
  readonly evidence: ImaEvidence
  /** What is kept of the log, where all of it is judged anew. */
  readonly kept: readonly Buffer[]
  /** Bytes of the log before what came. */
  readonly from: number
  readonly part: Buffer
  readonly boot: string
}

/**
 * The IMA log of this evidence: what came, behind what is known of this boot. After a change of policy or references all of
 * it is judged anew, from what is kept. `unknown`: it goes on from something that there is not (any more).
 */
export async function receivedIma(
  deps: Pick<VerifierDeps, 'store' | 'secrets'>,
  node: Named,
  { ima, imaLog, quote }: Pick<Evidence, 'ima' | 'imaLog' | 'quote'>,
  judged: Judged,
): Promise<ReceivedIma | 'unknown' | undefined> {
  if (ima === undefined && imaLog === undefined) return undefined
  const part = imaLog ?? Buffer.alloc(0)
  const boot = bootOf(node, quote)
  const isPart = ima?.more === true ? { imaIsPart: true } : {}
  if (ima?.known === undefined) return { evidence: { imaLog: part, ...isPart }, kept: [], from: 0, part, boot }
  const stored = await usableIma(deps.store, node, judged)
  const isKnown = stored?.boot === boot && nameOfKnown(deps, node, stored) === ima.known
  if (!isKnown) return 'unknown'
  const imaState = stateUnder(stored, judged)
  const kept = imaState === undefined ? await deps.store.imaLogs.content(node.nodeId) : []
  // Other evidence of the node came in between.
  if (imaState === undefined && sizeOf(kept) !== stored.bytes) return 'unknown'
  const evidence = imaState === undefined ? { imaLog: [...kept, part] } : { imaLog: part, imaState }
  return { evidence: { ...evidence, ...isPart }, kept, from: stored.bytes, part, boot }
}

/**
 * Stored evidence for judging it by other rules: with all of the IMA log where these judge entries otherwise, if it is kept.
 * Where it is not, the appraisal says so.
 */
export async function underOtherRules(
  store: Pick<Repositories, 'imaLogs'>,
  { nodeId, akName, resetCount }: Pick<AttestationRow, 'nodeId' | 'akName' | 'resetCount'>,
  input: AppraisalInput,
): Promise<AppraisalInput> {
  const { imaState, imaLog = [], ...rest } = input
  if (imaState === undefined || imaState.basis === imaBasis(input)) return input
  const stored = await store.imaLogs.ofNode(nodeId)
  const isKept = stored?.isWhole === true && stored.boot === `${akName}:${resetCount}` && stored.bytes >= imaState.bytes
  if (!isKept) return input
  const before = Buffer.concat(await store.imaLogs.content(nodeId)).subarray(0, imaState.bytes)
  if (before.byteLength < imaState.bytes) return input
  return { ...rest, imaLog: [before, ...(imaLog instanceof Uint8Array ? [imaLog] : imaLog)] }
}

/** A log from its beginning, as it comes with an enrolment. */
export function firstIma(
  akName: string,
  resetCount: number,
  { imaLog, imaMore }: Pick<OnboardingFinish, 'imaLog' | 'imaMore'>,
): ReceivedIma | undefined {
  if (imaLog === undefined) return undefined
  const evidence = imaMore === true ? { imaLog, imaIsPart: true } : { imaLog }
  return { evidence, kept: [], from: 0, part: imaLog, boot: `${akName}:${resetCount}` }
}

function sizeOf(parts: readonly Buffer[]): number {
  return parts.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

/** resetCount says which boot it is: PCR 10 begins anew with it, and with nothing else. */
function bootOf({ akName }: Named, quote: Buffer): string {
  return `${akName}:${decode('TPMS_ATTEST', TPMS_ATTEST, quote).clockInfo.resetCount}`
}

/** What is to be kept of it, once it was judged; `undefined`: nothing, so that all of it is asked for again. */
export function growthOf({ from, part, boot }: ReceivedIma, state: ImaState | undefined): ImaGrowth | undefined {
  // The text form counts other bytes than the state does.
  if (state === undefined || state.bytes < from || (from === 0 && isAsciiImaLog(part))) return undefined
  return { boot, state: JSON.stringify(state), from, part: part.subarray(0, state.bytes - from) }
}

/** The evidence as a verdict pins it: without entries behind the quote, which it does not depend on. */
export function coveredIma({ evidence, kept }: ReceivedIma, growth: ImaGrowth | undefined): ImaEvidence {
  if (growth === undefined) return evidence
  return { ...evidence, imaLog: kept.length === 0 ? growth.part : [...kept, growth.part] }
}

/**
 * In the transaction that accepts the evidence. Throws `attestation.ima_unknown`, and so undoes it, where other evidence of
 * the node came in between.
 */
export async function recordIma(
  deps: Pick<VerifierDeps, 'settings' | 'clock' | 'secrets'>,
  tx: Repositories,
  node: NodeRecord,
  growth: ImaGrowth | undefined,
): Promise<{ readonly known: string; readonly bytes: number } | undefined> {
  if (growth === undefined) {
    await tx.imaLogs.drop(node.nodeId)
    return undefined
  }
  const { logBytesPerNode } = deps.settings.limits
  if (!(await tx.imaLogs.grow(node.nodeId, growth, logBytesPerNode, deps.clock.now()))) {
    throw new Refusal('attestation.ima_unknown')
  }
  const bytes = growth.from + growth.part.byteLength
  return { known: nameOfKnown(deps, node, { ...growth, bytes }), bytes }
}
