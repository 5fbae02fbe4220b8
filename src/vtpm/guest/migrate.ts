import { TouchstoneError, toRfc3339 } from '../../core/index.ts'
import { decodeBody, encodeBody, MEDIA, vtpmPackage, type VtpmPackage } from '../../wire/index.ts'
import { archiveDigest, openArchive, sealArchive } from './archive.ts'
import { identityOf, isSame, stoppedEntryOf, type GuestContext } from './context.ts'
import { openCurrent } from './current.ts'
import { exportGrant, importGrant } from './grants.ts'
import { prepare } from './prepare.ts'
import { destroy } from './retire.ts'
import { revive } from './revive.ts'
import { unwrapKey, wrapKey } from './wrap.ts'

/**
 * Gives a guest away under a grant: its state and key leave wrapped to the transport key that the grant names, and it is
 * retired here before anybody gets the package. The package is kept, so that one that was lost on the way can be had
 * again with the same grant.
 */
export async function exportGuest(context: GuestContext, guest: string, token: string): Promise<VtpmPackage> {
  const { files, ledger, options } = context
  await prepare(context, guest)
  const entry = ledger.get(guest) ?? stoppedEntryOf(context, guest)
  const { grant, isRepeated } = exportGrant(context, token, { guest, tenant: entry.tenant, entry })
  await options.confirmGrant?.(token)
  const name = `${guest}-${grant.jti}.json`
  if (isRepeated) return await packageAgain(context, name)
  stoppedEntryOf(context, guest)
  const settings = await files.readSettings(guest)
  const current = await openCurrent(context, entry, settings)
  try {
    const archived = sealArchive(current.tpm.blob, current.key, {
      guest,
      tenant: entry.tenant,
      generation: entry.generation,
      created: toRfc3339(options.clock.now()),
      ekName: entry.ekName,
      clean: entry.state === 'stopped' && entry.clean,
    })
    const transport = wrapKey(current.key, grant.transportKey, { purpose: 'transport', guest })
    const left: VtpmPackage = { format: 'touchstone/vtpm-migration/v1', ...archived, grant: grant.jti, transport }
    await files.writeExport(name, encodeBody(MEDIA.json, left))
    await ledger.update(guest, (now) => {
      if (!isSame(now, entry)) throw new TouchstoneError('guest.storage', 'the ledger changed under an export')
      return { ...identityOf(entry), generation: entry.generation, grant: grant.jti, state: 'retired' }
    })
    await destroy(context, guest, false)
    options.log.info({ guest, to: grant.node, grant: grant.jti }, 'exported and retired')
    return left
  } finally {
    current.close()
  }
}

async function packageAgain({ files }: GuestContext, name: string): Promise<VtpmPackage> {
  const bytes = await files.readExport(name)
  if (bytes === undefined) throw new TouchstoneError('guest.retired', 'the guest has left, and its package was removed')
  return vtpmPackage.parse(decodeBody(MEDIA.json, bytes))
}

/** Takes a guest in that another node gave away; it goes on here one generation later, under a key of its own. */
export async function importGuest(context: GuestContext, token: string, left: VtpmPackage): Promise<void> {
  const { ledger, live, options } = context
  const { guest, tenant, generation, ekName, clean } = left
  await prepare(context, guest)
  if (live.has(guest)) throw new TouchstoneError('guest.running', `${guest} runs`)
  const entry = ledger.get(guest)
  const grant = importGrant(context, token, { guest, tenant, entry })
  if (entry !== undefined && entry.state !== 'retired') {
    throw new TouchstoneError('guest.exists', `there is a guest ${guest} already`)
  }
  if (left.grant !== grant.jti) {
    throw new TouchstoneError('guest.grant_rejected', 'the package left its node under another grant')
  }
  archiveDigest(left)
  await options.confirmGrant?.(token)
  const { transportKey } = options.roots
  const purpose = { purpose: 'transport', guest } as const
  const key = await unwrapKey(left.transport, transportKey.spki, purpose, (peer) => transportKey.agree(peer))
  let blob: Buffer | undefined
  try {
    blob = openArchive(left, key)
    const least = grant.generation
    await revive(context, { guest, tenant, entry, from: generation, least, blob, ekName, clean, grant: grant.jti })
  } finally {
    key.fill(0)
    blob?.fill(0)
  }
  options.log.info({ guest, from: grant.source, grant: grant.jti }, 'imported')
}
