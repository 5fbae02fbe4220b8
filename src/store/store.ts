import { CamelCasePlugin, Kysely } from 'kysely'
import { attestationRepository } from './attestations.ts'
import { auditRepository } from './audit.ts'
import { certificateRepository } from './certificates.ts'
import { ekRepository } from './eks.ts'
import type { Engine } from './engine.ts'
import { evidenceLogRepository } from './evidence-logs.ts'
import { imaLogRepository } from './ima-logs.ts'
import { migrate } from './migrate.ts'
import { MIGRATIONS } from './migrations.ts'
import { nodeRepository } from './nodes.ts'
import { onboardingSessionRepository } from './onboarding-sessions.ts'
import { placementRepository } from './placements.ts'
import { releaseRepository } from './releases.ts'
import { resourceRepository } from './resources.ts'
import { secretRepository } from './secrets.ts'
import type { Tables } from './tables.ts'
import { tokenRepository } from './tokens.ts'

function repositories(db: Kysely<Tables>) {
  return {
    nodes: nodeRepository(db),
    eks: ekRepository(db),
    sessions: onboardingSessionRepository(db),
    logs: evidenceLogRepository(db),
    imaLogs: imaLogRepository(db),
    attestations: attestationRepository(db),
    certificates: certificateRepository(db),
    placements: placementRepository(db),
    releases: releaseRepository(db),
    resources: resourceRepository(db),
    tokens: tokenRepository(db),
    audit: auditRepository(db),
    secrets: secretRepository(db),
  }
}

export type Repositories = ReturnType<typeof repositories>

export interface Store extends Repositories {
  /**
   * All of `work` or nothing of it; durable when the promise resolves. `work` uses the repositories that it is given and
   * no others: those of the store would wait for the transaction to end.
   */
  transaction<T>(work: (repositories: Repositories) => Promise<T>): Promise<T>
  /** Rejects when the database does not answer. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** Opens the database and brings its schema up to date. Throws `store.*`. */
export async function openStore(engine: Engine, now: number): Promise<Store> {
  const db = new Kysely<Tables>({ dialect: engine.dialect, plugins: [new CamelCasePlugin()] })
  try {
    await migrate(db, engine, MIGRATIONS, now)
  } catch (error) {
    await db.destroy()
    throw error
  }
  return {
    ...repositories(db),
    transaction: (work) =>
      db
        .transaction()
        .setIsolationLevel('serializable')
        .execute((tx) => work(repositories(tx))),
    ping: async () => {
      await db.selectFrom('schemaVersion').select('version').limit(1).execute()
    },
    close: () => db.destroy(),
  }
}
