import { TouchstoneError, toHex } from '../../core/index.ts'
import type { GuestRestore, VtpmBackup } from '../../wire/index.ts'
import { archiveDigest, openArchive } from './archive.ts'
import type { GuestContext } from './context.ts'
import { openSpare, restorable } from './current.ts'
import { restoreGrant } from './grants.ts'
import { openGuestKey } from './guest-key.ts'
import { prepare } from './prepare.ts'
import { revive } from './revive.ts'
import { spkiDigest, unwrapKey } from './wrap.ts'

/** State that may come back, before anybody opened it. */
interface Source {
  readonly tenant: string | undefined
  readonly generation: number
  /** What a grant must name. */
  readonly digest: string
  open(): Promise<{ readonly blob: Buffer; readonly ekName: Buffer; readonly clean: boolean }>
}

/**
 * Makes an older state of a guest the current one, which is a rollback: it takes a grant of the verifier that names this
 * very state, or an operator's word where the broker was configured so. The source is a backup, or a generation that
 * still lies on this node.
 */
export async function restore(context: GuestContext, guest: string, asked: GuestRestore): Promise<void> {
  const { ledger, live, options } = context
  await prepare(context, guest)
  if (live.has(guest)) throw new TouchstoneError('guest.running', `${guest} runs`)
  const entry = ledger.get(guest)
  const sources =
    asked.backup === undefined
      ? await fromDisk(context, guest, asked.generation)
      : [fromBackup(context, guest, asked.backup)]
  const { source, grant } = choose(context, guest, sources, asked)
  if (asked.grant !== undefined) await options.confirmGrant?.(asked.grant)
  const { blob, ekName, clean } = await source.open()
  try {
    await revive(context, {
      guest,
      tenant: source.tenant ?? grant?.tenant ?? 'default',
      entry,
      from: source.generation,
      least: grant?.generation ?? 0,
      blob,
      ekName,
      clean,
      grant: grant?.jti,
    })
  } finally {
    blob.fill(0)
  }
  options.log.warn({ guest, from: source.generation, digest: source.digest, grant: grant?.jti }, 'restored')
}

function choose(
  context: GuestContext,
  guest: string,
  sources: readonly Source[],
  { grant: token, confirm }: GuestRestore,
) {
  const { ledger, options } = context
  const [first] = sources
  if (first === undefined) throw new TouchstoneError('guest.state_missing', `nothing of ${guest} lies on this node`)
  if (token === undefined) {
    if (options.withoutGrant === 'refuse' || !confirm) {
      throw new TouchstoneError('guest.grant_needed', `to restore generation ${first.generation} is a rollback`)
    }
    return { source: first, grant: undefined }
  }
  const entry = ledger.get(guest)
  const grant = restoreGrant(context, token, { guest, tenant: first.tenant, entry })
  const source = sources.find(({ digest }) => digest === grant.digest)
  if (source !== undefined) return { source, grant }
  throw new TouchstoneError('guest.grant_rejected', `the grant is for state ${grant.digest}, this is ${first.digest}`)
}

function fromBackup(context: GuestContext, guest: string, backup: VtpmBackup): Source {
  if (backup.guest !== guest) throw new TouchstoneError('guest.backup_invalid', `the backup is of ${backup.guest}`)
  const { generation, ekName, clean } = backup
  return {
    tenant: context.ledger.get(guest)?.tenant ?? backup.tenant,
    generation,
    digest: archiveDigest(backup),
    async open() {
      const key = await keyOf(context, backup)
      try {
        return { blob: openArchive(backup, key), ekName, clean }
      } finally {
        key.fill(0)
      }
    },
  }
}

/** Sealed here, or wrapped to here by whoever holds the recovery key. */
async function keyOf(context: GuestContext, { guest, sealed, transport }: VtpmBackup): Promise<Buffer> {
  const { nodeRef, transportKey } = context.options.roots
  if (sealed.nodeRef === toHex(nodeRef)) return await openGuestKey(context, { sealed })
  if (transport?.recipient === spkiDigest(transportKey.spki)) {
    const purpose = { purpose: 'transport', guest } as const
    return await unwrapKey(transport, transportKey.spki, purpose, (peer) => transportKey.agree(peer))
  }
  throw new TouchstoneError('guest.key_locked', `the key of ${guest} was sealed by another TPM`)
}

async function fromDisk(context: GuestContext, guest: string, generation: number | undefined): Promise<Source[]> {
  const entry = context.ledger.get(guest)
  const settings = await context.files.readSettings(guest)
  const found = await restorable(context, guest, entry?.generation ?? Infinity)
  return found
    .filter((spare) => spare.authentic === true && (generation === undefined || spare.generation === generation))
    .map((spare) => ({
      tenant: entry?.tenant,
      generation: spare.generation,
      digest: spare.digest,
      async open() {
        const opened = await openSpare(context, guest, spare, settings)
        if (opened === undefined)
          throw new TouchstoneError('guest.state_damaged', `generation ${spare.generation} does not open`)
        opened.key.fill(0)
        const { blob, eks } = opened.tpm
        return { blob, ekName: entry?.ekName ?? eks[0].name, clean: false }
      },
    }))
}
