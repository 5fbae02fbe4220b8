import { z } from 'zod'
import type { Appraisal, AppraisalInput } from '../../attest/index.ts'
import { type JsonValue, type NodeId, toHex } from '../../core/index.ts'
import type { AttestationRow, Repositories } from '../../store/index.ts'
import { sha256 } from '../../wire/index.ts'
import type { VerifierDeps } from './deps.ts'

/** How a verdict pins the log of systemd: which one, and how many of its records the quote covers. */
const pinnedUserspace = z.object({
  userspaceLog: z.object({ digest: z.string(), records: z.number().int().nonnegative() }),
})

/** For the inputs of a verdict; nothing where none came, as in verdicts of earlier versions. */
export function userspaceInputs(
  { userspaceLog }: AppraisalInput,
  { userspace }: Pick<Appraisal, 'userspace'>,
): Readonly<Record<string, JsonValue>> {
  if (userspaceLog === undefined) return {}
  return { userspaceLog: { digest: toHex(sha256(userspaceLog)), records: userspace?.covered ?? 0 } }
}

/** The log of systemd behind a verdict, and how many records of it count; `undefined`: none came, or it is gone. */
export async function userspaceOf(
  logs: Pick<Repositories['logs'], 'byDigest'>,
  { inputs }: Pick<AttestationRow, 'inputs'>,
): Promise<{ readonly log: Buffer; readonly records: number } | undefined> {
  const pinned = pinnedUserspace.safeParse(inputs)
  if (!pinned.success) return undefined
  const { digest, records } = pinned.data.userspaceLog
  const log = await logs.byDigest(digest)
  return log && { log, records }
}

/**
 * In the transaction that accepts the evidence: the logs behind it, which replayed. That of the firmware is the newest one,
 * because it is the same at most boots and that of systemd never is.
 */
export async function keepLogs(
  { settings, clock }: Pick<VerifierDeps, 'settings' | 'clock'>,
  tx: Pick<Repositories, 'logs'>,
  nodeId: NodeId,
  { eventLog, userspaceLog }: Pick<AppraisalInput, 'eventLog' | 'userspaceLog'>,
): Promise<void> {
  const { logsPerNode: logs, logBytesPerNode: bytes } = settings.limits
  for (const log of userspaceLog === undefined ? [eventLog] : [userspaceLog, eventLog]) {
    await tx.logs.put(nodeId, toHex(sha256(log)), Buffer.from(log), { logs, bytes }, clock.now())
  }
}
