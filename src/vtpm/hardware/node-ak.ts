import { encode } from '../../codec/index.ts'
import { TouchstoneError } from '../../core/index.ts'
import { responseCodeOf } from '../../device/index.ts'
import type { EkKind } from '../../device/index.ts'
import { COMMANDS, ekTemplatePublic, nameOf, TPM_RC, TPM_RH, TPMT_SIGNATURE } from '../../tpm/index.ts'
import type { CommandAuth, TpmtSignature } from '../../tpm/index.ts'
import type { Attestation, Authorisations, Entity, NodeAk, SealedBlob, TpmClient, TpmScope } from './types.ts'

export interface NodeAkBlob {
  readonly ekKind: EkKind
  /** TPM2B_PUBLIC and TPM2B_PRIVATE, as the node agent keeps them. */
  readonly akPublic: Buffer
  readonly akPrivate: Buffer
}

const EMPTY = Buffer.alloc(0)
const NO_PASSWORD: CommandAuth = { password: EMPTY }
/** The AK's own scheme. */
const OWN_SCHEME = { scheme: 'null' } as const

/**
 * Loads the AK that the node agent enrolled, under the EK that it is a child of: made again from its template, and flushed
 * as soon as the AK is there. Throws `vtpm.node_key`.
 */
export async function loadNodeAk(client: TpmClient, { ekKind, akPublic, akPrivate }: NodeAkBlob): Promise<NodeAk> {
  const inPublic = ekTemplatePublic(ekKind)
  if (inPublic === undefined) throw new TouchstoneError('vtpm.node_key', `there is no EK template ${ekKind}`)
  const key = await client.scope(async (scope) => {
    const parent = await createEk(scope, inPublic)
    const authorisations = await ekAuthorisation(scope, inPublic.objectAttributes.userWithAuth)
    const loaded = await loadAk(scope, parent, { public: akPublic, private: akPrivate }, authorisations)
    scope.keep(loaded.handle)
    return loaded
  })
  const attestation = (attest: Buffer, signature: TpmtSignature): Attestation => ({
    attest,
    signature: encode(TPMT_SIGNATURE, signature),
  })
  return {
    key,
    async quote(selection, qualifyingData) {
      const { quoted, signature } = await client.run(
        COMMANDS.Quote,
        { signHandle: key },
        { qualifyingData: Buffer.from(qualifyingData), inScheme: OWN_SCHEME, PCRselect: selection },
      )
      return attestation(quoted, signature)
    },
    async certify(object, qualifyingData, authorisation = NO_PASSWORD) {
      const { certifyInfo, signature } = await client.run(
        COMMANDS.Certify,
        { objectHandle: object, signHandle: key },
        { qualifyingData: Buffer.from(qualifyingData), inScheme: OWN_SCHEME },
        [authorisation, NO_PASSWORD],
      )
      return attestation(certifyInfo, signature)
    },
    async certifyCreation(object, qualifyingData, { hash, ticket }) {
      const { certifyInfo, signature } = await client.run(
        COMMANDS.CertifyCreation,
        { signHandle: key, objectHandle: object },
        {
          qualifyingData: Buffer.from(qualifyingData),
          creationHash: hash,
          inScheme: OWN_SCHEME,
          creationTicket: ticket,
        },
      )
      return attestation(certifyInfo, signature)
    },
    async certifyNv(index, size, qualifyingData) {
      const { certifyInfo, signature } = await client.run(
        COMMANDS.NV_Certify,
        { signHandle: key, authHandle: index, nvIndex: index },
        { qualifyingData: Buffer.from(qualifyingData), inScheme: OWN_SCHEME, size, offset: 0 },
      )
      return attestation(certifyInfo, signature)
    },
    async close() {
      await client.run(COMMANDS.FlushContext, {}, { flushHandle: key.handle })
    },
  }
}

async function createEk(scope: TpmScope, inPublic: NonNullable<ReturnType<typeof ekTemplatePublic>>): Promise<Entity> {
  const { objectHandle, outPublic } = await scope.run(
    COMMANDS.CreatePrimary,
    { primaryHandle: TPM_RH.endorsement },
    { inSensitive: { userAuth: EMPTY, data: EMPTY }, inPublic, outsideInfo: EMPTY, creationPCR: [] },
  )
  scope.flushLater(objectHandle)
  return { handle: objectHandle, name: nameOf(outPublic) }
}

/** Low-range EKs are used by PolicySecret(TPM_RH_ENDORSEMENT) alone, high-range ones by their empty value too. */
async function ekAuthorisation(scope: TpmScope, userWithAuth: boolean): Promise<Authorisations> {
  if (userWithAuth) return [NO_PASSWORD]
  const session = await scope.startSession('policy')
  const nothing = { nonceTPM: EMPTY, cpHashA: EMPTY, policyRef: EMPTY, expiration: 0 }
  const handles = { authHandle: TPM_RH.endorsement, policySession: session.handle }
  await scope.run(COMMANDS.PolicySecret, handles, nothing)
  return [session.use({ last: true })]
}

async function loadAk(scope: TpmScope, parent: Entity, blob: SealedBlob, authorisations: Authorisations) {
  try {
    return await scope.load(parent, blob, authorisations)
  } catch (error) {
    // Another parent wrapped it, or the same before TPM2_Clear.
    if (responseCodeOf(error) !== TPM_RC.INTEGRITY) throw error
    throw new TouchstoneError('vtpm.node_key', "this TPM does not know the node's attestation key", { cause: error })
  }
}
