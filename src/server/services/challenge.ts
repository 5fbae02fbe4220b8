import { createHmac } from 'node:crypto'
import { makeNonce, selectionToAsk } from '../../attest/index.ts'
import { toHex } from '../../core/index.ts'
import type { NodeRecord } from '../../store/index.ts'
import { formatPcrSelection, type HashName, type PcrSelection } from '../../tpm/index.ts'
import type { Challenge, ChallengeRequest } from '../../wire/index.ts'
import type { VerifierDeps } from './deps.ts'
import { nameOfKnown, usableIma } from './ima-log.ts'
import { factsOf } from './node-facts.ts'
import type { PolicySnapshot, Subject } from './policies.ts'

const SALT_SIZE = 16

/** The scope of a nonce; see `makeNonce`. */
export const PURPOSE = 'attestation'

/**
 * A nonce, what to quote, and which logs the verifier has already. The answer to somebody unknown looks the same: what it
 * says of logs is made of a secret and of what was asked, so that it also stays the same.
 */
export async function challengeNode(
  deps: VerifierDeps,
  { nodeId, akName, pcrBanks, ima: withIma }: ChallengeRequest,
): Promise<Challenge> {
  const { store, clock, random, secrets } = deps
  const node = await store.nodes.byId(nodeId)
  // Only who knows a guest's AK is asked for what guests are; everybody else is asked for what machines are.
  const isKnown = node?.akName === toHex(akName)
  const subject = isKnown ? subjectOf(node) : 'node'
  const snapshot = await deps.policies.current()
  const pcrs = formatPcrSelection(selectionFor(snapshot, pcrBanks, subject))
  const pseudonym = createHmac('sha256', secrets.pseudonym).update(nodeId).update(akName).digest('hex')
  const knownIma =
    withIma && (await knownImaOf(deps, snapshot, { nodeId, akName: toHex(akName) }, isKnown ? node : undefined))
  const nonce = makeNonce(
    secrets.nonce,
    { purpose: PURPOSE, nodeId, akName, selection: pcrs },
    clock.now(),
    random(SALT_SIZE),
  )
  const known = isKnown ? node.eventLog : undefined
  return { nonce, pcrs, knownEventLog: known ?? pseudonym, ...(knownIma === undefined ? {} : { knownIma }) }
}

async function knownImaOf(
  deps: VerifierDeps,
  snapshot: PolicySnapshot,
  named: { readonly nodeId: string; readonly akName: string },
  node: NodeRecord | undefined,
): Promise<string> {
  if (node === undefined) return nameOfKnown(deps, named, undefined)
  const policy = snapshot.policyFor('attestation', subjectOf(node))
  // With all that evidence is judged by, or what was judged by a share of the fleet's references would be asked for anew.
  const judged = { policy, references: snapshot.references, now: deps.clock.now(), node: factsOf(node) }
  return nameOfKnown(deps, named, await usableIma(deps.store, node, judged))
}

/**
 * What a node quotes, the same in both rounds as long as the policy is. The challenge goes by the banks that are claimed,
 * so that it tells nothing of who is known; the evidence by those of the node's record.
 */
export function selectionFor(snapshot: PolicySnapshot, pcrBanks: readonly HashName[], subject: Subject): PcrSelection {
  return selectionToAsk(snapshot.policyFor('attestation', subject).pcrs, pcrBanks)
}

export function subjectOf({ guest }: Pick<NodeRecord, 'guest'>): Subject {
  return guest === undefined ? 'node' : 'guest'
}
