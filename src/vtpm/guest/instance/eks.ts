import { encode } from '../../../codec/index.ts'
import { equalBytes, TouchstoneError } from '../../../core/index.ts'
import { responseCodeOf } from '../../../device/index.ts'
import {
  COMMANDS,
  ekTemplatePublic,
  handleName,
  matchEkTemplate,
  nameOf,
  qualifiedName,
  TPM2B_PUBLIC,
  TPM_RH,
  type TpmtPublic,
} from '../../../tpm/index.ts'
import type { TpmClient, TpmScope } from '../../hardware/index.ts'
import type { GuestEk } from './types.ts'

/** Everything of an EK that a guest may have. The certificate's index is the EK Credential Profile's, section 2.2.1.4. */
interface EkRow {
  readonly certificateIndex: number
  /** Where it is kept, when making it again takes time: TCG Registry of Reserved TPM 2.0 Handles, section 3.2. */
  readonly persistentHandle?: number
}

export const EKS: Readonly<Record<GuestEk['kind'], EkRow>> = {
  'L-2': { certificateIndex: 0x01c0000a },
  'L-1': { certificateIndex: 0x01c00002, persistentHandle: 0x81010001 },
}

/** P-256 first: it is the guest's identity, and made in a millisecond. */
export const IDENTITY_KIND = 'L-2'
const RSA_KIND = 'L-1'

const EMPTY = Buffer.alloc(0)
/** The owner, by the empty value, and lockout by the same. */
const TPM_RC_BAD_AUTH = 0x0a2
const TPM_RC_AUTH_FAIL = 0x08e

/** TPM2_CreatePrimary with the template: the same key each time, as long as the endorsement seed lasts. */
export async function makeEk(scope: TpmScope, kind: GuestEk['kind']): Promise<GuestEk & { readonly handle: number }> {
  const inPublic = ekTemplatePublic(kind)
  if (inPublic === undefined) throw new TouchstoneError('tpm.algorithm_unsupported', `there is no template ${kind}`)
  const made = await scope.run(
    COMMANDS.CreatePrimary,
    { primaryHandle: TPM_RH.endorsement },
    { inSensitive: { userAuth: EMPTY, data: EMPTY }, inPublic, outsideInfo: EMPTY, creationPCR: [] },
  )
  scope.flushLater(made.objectHandle)
  return { ...ekOf(kind, made.outPublic), handle: made.objectHandle }
}

/**
 * The EKs of a TPM that may have lived: its owner may have set an authorisation for the endorsement hierarchy, and put
 * something else where the RSA EK was. Only for a copy that is thrown away, because the first is undone by TPM2_Clear: the
 * endorsement seed outlives that (Part 3, 24.6).
 */
export async function readEks(copy: TpmClient): Promise<readonly [GuestEk, ...GuestEk[]]> {
  return await copy.scope(async (scope) => {
    const rsa = await readRsaEk(scope)
    const { kind, publicArea, name } = await makeEk(scope, IDENTITY_KIND).catch(async (error: unknown) => {
      if (!isRefusedAuthorisation(error)) throw error
      await scope.run(COMMANDS.ClearControl, { auth: TPM_RH.platform }, { disable: false })
      await scope.run(COMMANDS.Clear, { authHandle: TPM_RH.platform }, {})
      return await makeEk(scope, IDENTITY_KIND)
    })
    return rsa === undefined ? [{ kind, publicArea, name }] : [{ kind, publicArea, name }, rsa]
  })
}

async function readRsaEk({ run }: TpmScope): Promise<GuestEk | undefined> {
  const { persistentHandle } = EKS[RSA_KIND]
  if (persistentHandle === undefined) return undefined
  try {
    const read = await run(COMMANDS.ReadPublic, { objectHandle: persistentHandle }, {})
    const match = matchEkTemplate(read.outPublic)
    const expected = qualifiedName(handleName(TPM_RH.endorsement), 'sha256', nameOf(read.outPublic))
    const isEk = 'name' in match && match.name === RSA_KIND && equalBytes(expected, read.qualifiedName)
    return isEk ? ekOf(RSA_KIND, read.outPublic) : undefined
  } catch (error) {
    if (responseCodeOf(error) === undefined) throw error
    return undefined
  }
}

function ekOf(kind: GuestEk['kind'], publicArea: TpmtPublic): GuestEk {
  return { kind, publicArea: encode(TPM2B_PUBLIC, publicArea), name: nameOf(publicArea) }
}

function isRefusedAuthorisation(error: unknown): boolean {
  const rc = responseCodeOf(error)
  return rc === TPM_RC_BAD_AUTH || rc === TPM_RC_AUTH_FAIL
}
