import { equalBytes, TouchstoneError, toHex, toRfc3339 } from '../../core/index.ts'
import type { VtpmBackup } from '../../wire/index.ts'
import { sealArchive } from './archive.ts'
import type { LedgerEntry } from '../ledger/index.ts'
import { entryOf, type GuestContext } from './context.ts'
import { openCurrent, openSpare, type CurrentState } from './current.ts'
import { prepare } from './prepare.ts'

/**
 * A guest's TPM in a file that opens with this node's TPM and with the fleet's recovery key. A running guest is backed up
 * as a power cut would leave it.
 */
export async function backup(context: GuestContext, guest: string): Promise<VtpmBackup> {
  const { files, live, options } = context
  await prepare(context, guest)
  const entry = entryOf(context, guest)
  const settings = await files.readSettings(guest)
  const current = live.has(guest) ? await snapshot(context, entry) : await openCurrent(context, entry, settings)
  try {
    const { tenant, generation, ekName } = entry
    if (!current.tpm.eks.some(({ name }) => equalBytes(name, ekName))) throw new TouchstoneError('guest.state_foreign')
    const archived = sealArchive(current.tpm.blob, current.key, {
      guest,
      tenant,
      generation,
      created: toRfc3339(options.clock.now()),
      ekName,
      clean: entry.state === 'stopped' && entry.clean,
    })
    const { sealed, escrow } = current.file
    return {
      format: 'touchstone/vtpm-backup/v1',
      ...archived,
      sealed: { nodeRef: toHex(options.roots.nodeRef), ...sealed },
      ...(escrow === undefined ? {} : { escrow }),
    }
  } finally {
    current.close()
  }
}

/** swtpm replaces its state by renaming, so what lies there is whole while it runs. */
async function snapshot(context: GuestContext, { guest, generation }: LedgerEntry): Promise<CurrentState> {
  const dir = context.files.generationDir(guest, generation)
  const opened = await openSpare(context, guest, { dir, generation }, await context.files.readSettings(guest))
  if (opened === undefined) throw new TouchstoneError('guest.state_damaged', `the state of ${guest} does not open`)
  return opened
}
