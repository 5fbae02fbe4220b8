import type { Kysely } from 'kysely'
import { z } from 'zod'
import type { NodeId } from '../core/index.ts'
import { hex, integer, nodeId, readRow, readRows } from './columns.ts'
import type { Tables } from './tables.ts'

const STATES = ['placed', 'moving', 'removed'] as const

/** Which node a guest may run on. One row a guest for ever, so that what was learnt of it outlives its removal. */
export interface PlacementRecord {
  /** UUID. */
  readonly guest: string
  readonly nodeId: NodeId
  readonly tenant: string
  /** `moving`: an approved migration is under way, and `nodeId` is still where it comes from. */
  readonly state: (typeof STATES)[number]
  /** The highest generation that was seen or granted; 0 before the first. What is older is a copy. */
  readonly generation: number
  readonly destination?: NodeId
  /** SHA-256 of the SubjectPublicKeyInfo of the guest's EK, hex; absent until one was certified. */
  readonly ekSha256?: string
  /** Another EK that asked to be this guest's, and waits for an operator. */
  readonly askedEkSha256?: string
  readonly created: number
  readonly actor: string
}

export interface PlacementPage {
  readonly nodeId?: string
  readonly limit: number
  readonly after?: string
}

const row = z
  .object({
    guest: z.string(),
    nodeId,
    tenant: z.string(),
    state: z.enum(STATES),
    generation: integer,
    destination: nodeId.nullable(),
    ekSha256: hex.nullable(),
    askedEkSha256: hex.nullable(),
    created: integer,
    actor: z.string(),
  })
  .transform(({ destination, ekSha256, askedEkSha256, ...placement }) => ({
    ...placement,
    ...(destination === null ? {} : { destination }),
    ...(ekSha256 === null ? {} : { ekSha256 }),
    ...(askedEkSha256 === null ? {} : { askedEkSha256 }),
  }))

export function placementRepository(db: Kysely<Tables>) {
  const read = (found: unknown): PlacementRecord | undefined =>
    found === undefined ? undefined : readRow('placements', row, found)
  return {
    async byGuest(guest: string): Promise<PlacementRecord | undefined> {
      return read(await db.selectFrom('placements').selectAll().where('guest', '=', guest).executeTakeFirst())
    },

    /** The guest that this EK was certified for, removed ones included. */
    async byEk(ekSha256: string): Promise<PlacementRecord | undefined> {
      return read(await db.selectFrom('placements').selectAll().where('ekSha256', '=', ekSha256).executeTakeFirst())
    },

    /** By guest. */
    async list({ nodeId: node, limit, after }: PlacementPage): Promise<PlacementRecord[]> {
      let query = db.selectFrom('placements').selectAll().where('state', '!=', 'removed').orderBy('guest').limit(limit)
      if (node !== undefined) {
        query = query.where((eb) => eb.or([eb('nodeId', '=', node), eb('destination', '=', node)]))
      }
      if (after !== undefined) query = query.where('guest', '>', after)
      return readRows('placements', row, await query.execute())
    },

    /** Writes the whole row, new or not; what it replaces was read in the same transaction. */
    async put(placement: PlacementRecord): Promise<void> {
      const { guest, destination, ekSha256, askedEkSha256, ...rest } = placement
      const columns = {
        ...rest,
        destination: destination ?? null,
        ekSha256: ekSha256 ?? null,
        askedEkSha256: askedEkSha256 ?? null,
      }
      await db
        .insertInto('placements')
        .values({ guest, ...columns })
        .onConflict((conflict) => conflict.column('guest').doUpdateSet(columns))
        .execute()
    },

    /** Remembers that this generation ran; an older one changes nothing. */
    async sawGeneration(guest: string, generation: number): Promise<void> {
      await db
        .updateTable('placements')
        .set({ generation })
        .where('guest', '=', guest)
        .where('generation', '<', generation)
        .execute()
    },
  }
}
