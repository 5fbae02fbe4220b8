import type { Kysely } from 'kysely'
import { z } from 'zod'
import { bytes, hex, integer, json, PCR_BANKS, type PcrBank, readRow, readRows } from './columns.ts'
import type { Tables } from './tables.ts'

/** What the first round of onboarding established, kept for the second. `secret` never leaves the verifier in the clear. */
export interface OnboardingSession {
  readonly id: string
  readonly ekSha256: string
  readonly ekPublic: Buffer
  readonly ekCertificate?: Buffer
  readonly akPublic: Buffer
  readonly akName: string
  readonly model: string
  readonly serial: string
  readonly pcrs: string
  readonly pcrBanks: readonly PcrBank[]
  readonly secret: Buffer
  readonly created: number
  readonly expires: number
}

const row = z
  .object({
    id: z.string(),
    ekSha256: hex,
    ekPublic: bytes,
    ekCertificate: bytes.nullable(),
    akPublic: bytes,
    akName: hex,
    model: z.string(),
    serial: z.string(),
    pcrs: z.string(),
    pcrBanks: json(z.array(z.enum(PCR_BANKS))),
    secret: bytes,
    created: integer,
    expires: integer,
  })
  .transform(({ ekCertificate, ...session }) => ({
    ...session,
    ...(ekCertificate === null ? {} : { ekCertificate }),
  }))

/** How many may be pending: all together, and of one EK. */
export interface SessionCap {
  readonly total: number
  readonly perEk: number
}

export function onboardingSessionRepository(db: Kysely<Tables>) {
  const counted = (now: number) =>
    db
      .selectFrom('onboardingSessions')
      .select((eb) => eb.fn.countAll().as('count'))
      .where('consumed', 'is', null)
      .where('expires', '>', now)
      .where('ofNode', '=', 0)

  return {
    /**
     * Opens a session, or answers the pending one that is the same in everything but its id, secret and times: whoever
     * begins again and again, in whoever's name, adds nothing. Undefined when as many are pending as may be; newcomers
     * never displace those that came before. The sessions of enrolled nodes have no cap, because there are only so many
     * that differ, and do not count; for those `after` is when the node's last nonce was issued, and what was opened before
     * could not be finished any more. To be used in a transaction.
     */
    async open(
      session: OnboardingSession,
      bound: { readonly cap: SessionCap } | { readonly after: number },
    ): Promise<OnboardingSession | undefined> {
      const now = session.created
      await db.deleteFrom('onboardingSessions').where('expires', '<=', now).execute()
      const same = await pendingLike(session)
      const isOfNode = 'after' in bound
      if (same !== undefined && !(isOfNode && same.created <= bound.after)) return same
      if (same !== undefined) await db.deleteFrom('onboardingSessions').where('id', '=', same.id).execute()
      if (!isOfNode) {
        const total = await counted(now).executeTakeFirstOrThrow()
        if (Number(total.count) >= bound.cap.total) return undefined
        const ofEk = await counted(now).where('ekSha256', '=', session.ekSha256).executeTakeFirstOrThrow()
        if (Number(ofEk.count) >= bound.cap.perEk) return undefined
      }
      await db
        .insertInto('onboardingSessions')
        .values({
          ...session,
          pcrBanks: JSON.stringify(session.pcrBanks),
          ekCertificate: session.ekCertificate ?? null,
          consumed: null,
          ofNode: isOfNode ? 1 : 0,
        })
        .execute()
      return session
    },

    /** The session, still to be taken: for what is checked before it is. */
    async pending(id: string, now: number): Promise<OnboardingSession | undefined> {
      const found = await db
        .selectFrom('onboardingSessions')
        .selectAll()
        .where('id', '=', id)
        .where('consumed', 'is', null)
        .where('expires', '>', now)
        .executeTakeFirst()
      return found === undefined ? undefined : readRow('onboarding_sessions', row, found)
    },

    /** Takes the session, once. Undefined when it never was, is over, or was taken before: nobody learns which. */
    async consume(id: string, now: number): Promise<OnboardingSession | undefined> {
      const taken = await db
        .updateTable('onboardingSessions')
        .set({ consumed: now })
        .where('id', '=', id)
        .where('consumed', 'is', null)
        .where('expires', '>', now)
        .returningAll()
        .executeTakeFirst()
      return taken === undefined ? undefined : readRow('onboarding_sessions', row, taken)
    },
  }

  async function pendingLike(session: OnboardingSession): Promise<OnboardingSession | undefined> {
    const rows = await db
      .selectFrom('onboardingSessions')
      .selectAll()
      .where('ekSha256', '=', session.ekSha256)
      .where('akName', '=', session.akName)
      .where('consumed', 'is', null)
      .execute()
    return readRows('onboarding_sessions', row, rows).find((pending) => isSameClaim(pending, session))
  }
}

/** Everything that the claimant said or that follows from it: one who says something else has a session of its own. */
function isSameClaim(a: OnboardingSession, b: OnboardingSession): boolean {
  const noCertificate = Buffer.alloc(0)
  return (
    a.model === b.model &&
    a.serial === b.serial &&
    a.pcrs === b.pcrs &&
    a.pcrBanks.join() === b.pcrBanks.join() &&
    a.ekPublic.equals(b.ekPublic) &&
    a.akPublic.equals(b.akPublic) &&
    (a.ekCertificate ?? noCertificate).equals(b.ekCertificate ?? noCertificate)
  )
}
