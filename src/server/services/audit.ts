import { uuidV7 } from '../../core/index.ts'
import type { Repositories } from '../../store/index.ts'
import type { VerifierDeps } from './deps.ts'

export interface Change {
  readonly actor: string
  readonly action: string
  readonly subject: string
  readonly detail?: Readonly<Record<string, string>>
}

/** Writes to the audit trail within the transaction of the change. */
export async function writeAudit(
  tx: Repositories,
  { clock, random }: Pick<VerifierDeps, 'clock' | 'random'>,
  { actor, action, subject, detail = {} }: Change,
): Promise<void> {
  const time = clock.now()
  await tx.audit.insert({ id: uuidV7(time, random(10)), time, actor, action, subject, detail })
}
