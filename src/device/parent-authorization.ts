import type { LoadedEk } from './create-ek.ts'
import { ekRow } from './ek-templates.ts'
import { withEndorsementSession } from './endorsement-session.ts'
import type { RunTool } from './tool-runner.ts'

/** The arguments that authorise one command with `ek`: a policy session in the low range, its empty auth value else. */
export async function withEkAuthorization<T>(
  run: RunTool,
  scratch: string,
  ek: LoadedEk,
  flag: string,
  work: (args: readonly string[]) => Promise<T>,
): Promise<T> {
  if (!ekRow(ek.kind).needsPolicySession) return await work([])
  return await withEndorsementSession(run, scratch, (authorization) => work([flag, authorization]))
}
