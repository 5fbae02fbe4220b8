import { syncPath } from '../../ledger/index.ts'
import { withState } from './state-dir.ts'

/** swtpm renames without fsync: what it acknowledged is safe from a killed process only, until this was done. */
export async function syncState(dir: string): Promise<void> {
  await withState(dir, (file) => file.sync())
  await syncPath(dir)
}
