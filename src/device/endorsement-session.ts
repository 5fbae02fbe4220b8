import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunTool } from './tool-runner.ts'

/**
 * Runs `work` with an authorisation for an EK whose policy is PolicySecret(TPM_RH_ENDORSEMENT): the low-range templates
 * (TCG EK Credential Profile 2.5, B.2 and B.3). One session serves one command, since a policy is used up by it. The
 * session is flushed whatever happens; a TPM has three of them loaded at most.
 */
export async function withEndorsementSession<T>(
  run: RunTool,
  scratch: string,
  work: (authorization: string) => Promise<T>,
): Promise<T> {
  const session = join(scratch, `session-${randomUUID()}`)
  await run('tpm2_startauthsession', ['--policy-session', '--session', session])
  try {
    await run('tpm2_policysecret', ['--session', session, '--object-context', 'endorsement'])
    return await work(`session:${session}`)
  } finally {
    // Best effort: it must not hide why the work failed, and a slot that stays taken is freed by the next command that
    // finds none.
    await run('tpm2_flushcontext', [session]).catch(() => undefined)
    await rm(session, { force: true })
  }
}
