import { createHmac } from 'node:crypto'
import { TouchstoneError } from '../../../core/index.ts'
import { responseCodeOf } from '../../../device/index.ts'
import { COMMANDS, nvAttributes, TPM_RH } from '../../../tpm/index.ts'
import type { TpmClient, TpmScope } from '../../hardware/index.ts'
import { EKS, makeEk } from './eks.ts'
import type { GuestEk } from './types.ts'

/** What a manufacturer, and then a platform's firmware, does with a TPM. */

/** libtpms begins with SHA-1, 256, 384 and 512; a bank that nobody measures into proves nothing and costs time. */
const PCR_BANKS = [{ hash: 'sha256', pcrs: Array.from({ length: 24 }, (_, index) => index) }] as const
const BANKS_OFF = [
  { hash: 'sha1', pcrs: [] },
  { hash: 'sha384', pcrs: [] },
  { hash: 'sha512', pcrs: [] },
] as const

const EMPTY = Buffer.alloc(0)
const TPM_RC_HANDLE = 0x08b
/** TPM2_Startup did not come yet; and what swtpm answers for a TPM that is off. */
const NOT_STARTED: readonly (number | undefined)[] = [0x100, 0x101]
/** MAX_NV_BUFFER_SIZE of libtpms. */
const NV_CHUNK = 1024
/** MAX_NV_INDEX_SIZE of libtpms. */
const LARGEST_CERTIFICATE = 2048

/**
 * Readable by anybody, written and undefined by the platform alone, and a wrong guess at nothing counts: TCG PC Client
 * Platform TPM Profile, section 4.5.1.
 */
const CERTIFICATE_ATTRIBUTES = nvAttributes('PPWRITE', 'PPREAD', 'OWNERREAD', 'AUTHREAD', 'NO_DA', 'PLATFORMCREATE')

/** A TPM that was just initialised for the first time gets its EKs, one PCR bank, and is shut down in order. */
export async function manufactureTpm(tpm: TpmClient, kinds: readonly GuestEk['kind'][]): Promise<readonly GuestEk[]> {
  await startUp(tpm)
  const eks = await tpm.scope(async (scope) => {
    const made: GuestEk[] = []
    for (const kind of kinds) {
      const { handle, ...ek } = await makeEk(scope, kind)
      made.push(ek)
      const { persistentHandle } = EKS[kind]
      if (persistentHandle === undefined) continue
      await scope.run(COMMANDS.EvictControl, { auth: TPM_RH.owner, objectHandle: handle }, { persistentHandle })
    }
    await scope.run(
      COMMANDS.PCR_Allocate,
      { authHandle: TPM_RH.platform },
      { pcrAllocation: [...PCR_BANKS, ...BANKS_OFF] },
    )
    return made
  })
  await shutDown(tpm)
  return eks
}

/** TPM2_Startup(CLEAR). Right after it, and never later, the platform hierarchy has the empty authorisation. */
export async function startUp(tpm: TpmClient): Promise<void> {
  await tpm.run(COMMANDS.Startup, {}, { startupType: 'clear' })
}

/** TPM2_Shutdown(CLEAR). Where the TPM was not started, there is nothing to shut down. */
export async function shutDown(tpm: TpmClient): Promise<void> {
  try {
    await tpm.run(COMMANDS.Shutdown, {}, { shutdownType: 'clear' })
  } catch (error) {
    if (!NOT_STARTED.includes(responseCodeOf(error))) throw error
  }
}

/**
 * The value that the platform hierarchy gets where no firmware of the guest's own closes it: whoever has that hierarchy
 * can change the endorsement seed and remove certificates. It follows from the state's key, so that it survives the broker.
 */
export function platformAuthOf(key: Buffer): Buffer {
  return createHmac('sha256', key).update('touchstone guest platform authorisation v1').digest()
}

export async function closePlatform(tpm: TpmClient, auth: Buffer): Promise<void> {
  await tpm.run(COMMANDS.HierarchyChangeAuth, { authHandle: TPM_RH.platform }, { newAuth: auth })
}

/** Puts a certificate where readers of EK certificates look for it, in the place of an older one. */
export async function writeCertificate(
  tpm: TpmClient,
  { kind, certificate, platformAuth }: { kind: GuestEk['kind']; certificate: Buffer; platformAuth: Buffer },
): Promise<void> {
  const { byteLength: dataSize } = certificate
  if (dataSize === 0 || dataSize > LARGEST_CERTIFICATE) {
    throw new TouchstoneError('guest.certificate_wrong', `a certificate of ${dataSize} bytes has no room in NV`)
  }
  const nvIndex = EKS[kind].certificateIndex
  const platform = [{ password: platformAuth }]
  const handles = { authHandle: TPM_RH.platform }
  await tpm.scope(async ({ run }) => {
    const old = await nvEntity({ run }, nvIndex)
    if (old !== undefined) await run(COMMANDS.NV_UndefineSpace, { ...handles, nvIndex: old }, {}, platform)
    const publicInfo = {
      nvIndex,
      nameAlg: 'sha256',
      attributes: CERTIFICATE_ATTRIBUTES,
      authPolicy: EMPTY,
      dataSize,
    } as const
    await run(COMMANDS.NV_DefineSpace, handles, { auth: EMPTY, publicInfo }, platform)
    for (let offset = 0; offset < dataSize; offset += NV_CHUNK) {
      const data = certificate.subarray(offset, offset + NV_CHUNK)
      await run(COMMANDS.NV_Write, { ...handles, nvIndex }, { data, offset }, platform)
    }
  })
}

async function nvEntity({ run }: Pick<TpmScope, 'run'>, nvIndex: number): Promise<number | undefined> {
  try {
    await run(COMMANDS.NV_ReadPublic, { nvIndex }, {})
    return nvIndex
  } catch (error) {
    if (responseCodeOf(error) === TPM_RC_HANDLE) return undefined
    throw error
  }
}
