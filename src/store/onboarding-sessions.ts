import type { Kysely } from 'kysely'
import { z } from 'zod'
import { bytes, hex, integer, json, PCR_BANKS, type PcrBank, readRow } from './columns.ts'
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

export function onboardingSessionRepository(db: Kysely<Tables>) {
  const pending = (now: number) =>
    db
      .selectFrom('onboardingSessions')
      .select((eb) => eb.fn.countAll().as('count'))
      .where('consumed', 'is', null)
      .where('expires', '>', now)

  return {
    /**
     * Opens a session, unless as many are pending as may be: all together, and for this EK where `perEk` is given.
     * Newcomers never displace those that came before. To be used in a transaction.
     */
    async open(session: OnboardingSession, cap: { readonly total: number; readonly perEk?: number }): Promise<boolean> {
      const now = session.created
      await db.deleteFrom('onboardingSessions').where('expires', '<=', now).execute()
      const total = await pending(now).executeTakeFirstOrThrow()
      if (Number(total.count) >= cap.total) return false
      if (cap.perEk !== undefined) {
        const ofEk = await pending(now).where('ekSha256', '=', session.ekSha256).executeTakeFirstOrThrow()
        if (Number(ofEk.count) >= cap.perEk) return false
      }
      await db
        .insertInto('onboardingSessions')
        .values({
          ...session,
          pcrBanks: JSON.stringify(session.pcrBanks),
          ekCertificate: session.ekCertificate ?? null,
          consumed: null,
        })
        .execute()
      return true
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
}
