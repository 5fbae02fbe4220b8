import { equalBytes, TouchstoneError } from '../../core/index.ts'
import { responseCodeOf } from '../../device/index.ts'
import { COMMANDS, nameOf, storageRootTemplate, TPM_RC, TPM_RH } from '../../tpm/index.ts'
import type { LoadedObject, TpmScope } from './types.ts'

/** Of the owner's persistent handles, apart from those that the TCG and other software use. */
const HANDLE = 0x81010050

const NO_SECRET = { userAuth: Buffer.alloc(0), data: Buffer.alloc(0) } as const
const NO_DATA = Buffer.alloc(0)

/**
 * Makes sure that the storage root is at its handle, and answers it. `pinnedName` is that of the first start: with another
 * seed, after TPM2_Clear or in another TPM, `vtpm.sealed_elsewhere` is thrown. Evicted, it is made again. What the bus says
 * here is not believed for long: the first salted session fails unless the TPM holds this very key.
 */
export async function ensureStorageRoot(scope: TpmScope, pinnedName: Buffer | undefined): Promise<LoadedObject> {
  const there = await readPersistent(scope)
  if (there !== undefined && pinnedName !== undefined && equalBytes(there.name, pinnedName)) return there
  const made = await scope.run(
    COMMANDS.CreatePrimary,
    { primaryHandle: TPM_RH.owner },
    { inSensitive: NO_SECRET, inPublic: storageRootTemplate(), outsideInfo: NO_DATA, creationPCR: [] },
  )
  scope.flushLater(made.objectHandle)
  const publicArea = made.outPublic
  const name = nameOf(publicArea)
  if (pinnedName !== undefined && !equalBytes(name, pinnedName)) {
    throw new TouchstoneError('vtpm.sealed_elsewhere', 'the storage root of this TPM is not the one of the first start')
  }
  if (there === undefined) {
    const handles = { auth: TPM_RH.owner, objectHandle: { handle: made.objectHandle, name } }
    await scope.run(COMMANDS.EvictControl, handles, { persistentHandle: HANDLE })
  } else if (!equalBytes(there.name, name)) {
    throw new TouchstoneError('vtpm.storage_root_taken')
  }
  return { handle: HANDLE, name, publicArea }
}

async function readPersistent(scope: TpmScope): Promise<LoadedObject | undefined> {
  try {
    const { outPublic } = await scope.run(COMMANDS.ReadPublic, { objectHandle: HANDLE }, {})
    return { handle: HANDLE, name: nameOf(outPublic), publicArea: outPublic }
  } catch (error) {
    if (responseCodeOf(error) === TPM_RC.HANDLE) return undefined
    throw error
  }
}
