import type { Kysely } from 'kysely'
import type { NodeId } from '../core/index.ts'
import { u64Text } from './columns.ts'
import type { AcceptedEvidence, NewNode, NodeKeys, NodeRecord, NodeStatus } from './node-record.ts'
import { readNode } from './node-row.ts'
import type { Tables } from './tables.ts'

export interface NodePage {
  readonly status?: NodeStatus
  readonly limit: number
  readonly after?: string
}

/** Of one guest's; it moves rarely, and older ones say nothing any more. */
const MAX_HOSTS = 64

export function nodeRepository(db: Kysely<Tables>) {
  const select = () =>
    db
      .selectFrom('nodes')
      .leftJoin('attestations', 'attestations.id', 'nodes.lastAttestation')
      .selectAll('nodes')
      .select([
        'attestations.time as attestedAt',
        'attestations.status as attestedStatus',
        'attestations.firstFailure as attestedFailure',
      ])

  return {
    async byId(nodeId: string): Promise<NodeRecord | undefined> {
      return readNode(await select().where('nodes.id', '=', nodeId).executeTakeFirst())
    },

    async byEk(spkiSha256: string): Promise<NodeRecord | undefined> {
      return readNode(
        await select()
          .innerJoin('nodeEks', 'nodeEks.nodeId', 'nodes.id')
          .where('nodeEks.spkiSha256', '=', spkiSha256)
          .executeTakeFirst(),
      )
    },

    /** The node that this model and serial belong to. */
    async byIdentity(model: string, serial: string): Promise<NodeRecord | undefined> {
      return readNode(
        await select()
          .where('nodes.model', '=', model)
          .where('nodes.serial', '=', serial)
          .where('nodes.holdsIdentity', '=', 1)
          .executeTakeFirst(),
      )
    },

    /** Records of that guest, newest first: one for each node that it enrolled on. */
    async byGuest(guestId: string): Promise<NodeRecord[]> {
      const rows = await select()
        .where('nodes.guestId', '=', guestId)
        .orderBy('nodes.id', 'desc')
        .limit(MAX_HOSTS)
        .execute()
      return rows.flatMap((row) => readNode(row) ?? [])
    },

    /** Newest first. */
    async list({ status, limit, after }: NodePage): Promise<NodeRecord[]> {
      let query = select().orderBy('nodes.id', 'desc').limit(limit)
      if (status !== undefined) query = query.where('nodes.status', '=', status)
      if (after !== undefined) query = query.where('nodes.id', '<', after)
      return (await query.execute()).flatMap((row) => readNode(row) ?? [])
    },

    async count(status: NodeStatus): Promise<number> {
      const row = await db
        .selectFrom('nodes')
        .select((eb) => eb.fn.countAll().as('count'))
        .where('status', '=', status)
        .executeTakeFirstOrThrow()
      return Number(row.count)
    },

    /** False when another node holds this model and serial. */
    async insert(node: NewNode, now: number): Promise<boolean> {
      const { nodeId, guest, labels, holdsIdentity, pcrBanks, ...columns } = node
      const result = await db
        .insertInto('nodes')
        .values({
          ...columns,
          id: nodeId,
          kind: guest === undefined ? 'node' : 'guest',
          guestId: guest?.guestId ?? null,
          hostNodeId: guest?.hostNodeId ?? null,
          labels: JSON.stringify(labels),
          pcrBanks: JSON.stringify(pcrBanks),
          holdsIdentity: holdsIdentity ? 1 : 0,
          created: now,
          enrolled: now,
        })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      return result.numInsertedOrUpdatedRows === 1n
    },

    /** False when the node is not in one of the states `from`. */
    async setStatus(nodeId: NodeId, from: readonly NodeStatus[], to: NodeStatus): Promise<boolean> {
      const result = await db
        .updateTable('nodes')
        .set({ status: to })
        .where('id', '=', nodeId)
        .where('status', 'in', from)
        .executeTakeFirst()
      return result.numUpdatedRows === 1n
    },

    async setLabels(nodeId: NodeId, labels: Readonly<Record<string, string>>): Promise<void> {
      await db
        .updateTable('nodes')
        .set({ labels: JSON.stringify(labels) })
        .where('id', '=', nodeId)
        .execute()
    },

    /** The node that a guest runs on from now on. */
    async setHost(nodeId: NodeId, hostNodeId: string): Promise<void> {
      await db.updateTable('nodes').set({ hostNodeId }).where('id', '=', nodeId).where('kind', '=', 'guest').execute()
    },

    async setIdentityHolder(nodeId: NodeId, holds: boolean): Promise<void> {
      await db
        .updateTable('nodes')
        .set({ holdsIdentity: holds ? 1 : 0 })
        .where('id', '=', nodeId)
        .execute()
    },

    /**
     * Binds other keys to the node. The counters start afresh: a new AK means that the TPM may have been cleared, which
     * sets them to zero. False when somebody else has changed the keys since `expectedAkName` was read.
     */
    async rebind(nodeId: NodeId, expectedAkName: string, keys: NodeKeys, now: number): Promise<boolean> {
      const result = await db
        .updateTable('nodes')
        .set({
          ekSha256: keys.ekSha256,
          ekPublic: keys.ekPublic,
          akPublic: keys.akPublic,
          akName: keys.akName,
          devicePublic: keys.devicePublic,
          deviceKeyName: keys.deviceKeyName,
          pcrBanks: JSON.stringify(keys.pcrBanks),
          enrolled: now,
          lastNonceIssued: null,
          lastClock: null,
          lastResetCount: null,
          lastRestartCount: null,
          lastSafe: null,
          lastFirmwareVersion: null,
          reenrolAkName: null,
          reenrolDeviceKeyName: null,
          reenrolRequested: null,
          reenrolApproved: null,
        })
        .where('id', '=', nodeId)
        .where('akName', '=', expectedAkName)
        .executeTakeFirst()
      return result.numUpdatedRows === 1n
    },

    /** Remembers who asks to take the node over. The same request again keeps its time and its approval. */
    async requestReEnrolment(nodeId: NodeId, akName: string, deviceKeyName: string, now: number): Promise<void> {
      await db
        .updateTable('nodes')
        .set({
          reenrolAkName: akName,
          reenrolDeviceKeyName: deviceKeyName,
          reenrolRequested: now,
          reenrolApproved: null,
        })
        .where('id', '=', nodeId)
        .where((eb) =>
          eb.or([
            eb('reenrolAkName', 'is', null),
            eb('reenrolAkName', '!=', akName),
            eb('reenrolDeviceKeyName', '!=', deviceKeyName),
          ]),
        )
        .execute()
    },

    /** Approves the request that the operator saw, and no later one. */
    async approveReEnrolment(nodeId: NodeId, akName: string, now: number): Promise<boolean> {
      const result = await db
        .updateTable('nodes')
        .set({ reenrolApproved: now })
        .where('id', '=', nodeId)
        .where('reenrolAkName', '=', akName)
        .where('reenrolApproved', 'is', null)
        .executeTakeFirst()
      return result.numUpdatedRows === 1n
    },

    /** What an enrolment's own evidence says, for the first attestation to be compared with. */
    async recordEnrolment(nodeId: NodeId, evidence: AcceptedEvidence): Promise<void> {
      await db
        .updateTable('nodes')
        .set(accepted(evidence))
        .where('id', '=', nodeId)
        .where('akName', '=', evidence.akName)
        .execute()
    },

    /**
     * Accepts evidence: one conditional UPDATE, so that a nonce serves once on any replica. It requires an active node,
     * the AK that the evidence was checked against, a nonce issued later than that of the last accepted evidence, and
     * counters that advance: resetCount; within one of its values clock and restartCount (TPM 2.0 Part 1, section 36.3).
     */
    async accept(nodeId: NodeId, evidence: AcceptedEvidence): Promise<boolean> {
      const { prior } = evidence
      const result = await db
        .updateTable('nodes')
        .set(accepted(evidence))
        .where('id', '=', nodeId)
        .where('status', '=', 'active')
        .where('akName', '=', evidence.akName)
        .where((eb) => eb.or([eb('lastNonceIssued', 'is', null), eb('lastNonceIssued', '<', prior.nonceIssued)]))
        .where((eb) =>
          eb.or([
            eb('lastResetCount', 'is', null),
            eb('lastResetCount', '<', prior.resetCount),
            eb.and([
              eb('lastResetCount', '=', prior.resetCount),
              eb('lastRestartCount', '<=', prior.restartCount),
              eb('lastClock', '<=', u64Text(prior.clock)),
            ]),
          ]),
        )
        .executeTakeFirst()
      return result.numUpdatedRows === 1n
    },
  }
}

function accepted({ prior, attestation, eventLog }: AcceptedEvidence) {
  return {
    lastNonceIssued: prior.nonceIssued,
    lastClock: u64Text(prior.clock),
    lastResetCount: prior.resetCount,
    lastRestartCount: prior.restartCount,
    lastSafe: prior.safe ? 1 : 0,
    lastFirmwareVersion: u64Text(prior.firmwareVersion),
    ...(attestation === undefined ? {} : { lastAttestation: attestation }),
    ...(eventLog === undefined ? {} : { lastEventLog: eventLog }),
  }
}
