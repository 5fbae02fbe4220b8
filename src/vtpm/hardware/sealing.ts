import { encode } from '../../codec/index.ts'
import { isTouchstoneError, toHex, TouchstoneError, view } from '../../core/index.ts'
import { responseCodeOf } from '../../device/index.ts'
import {
  COMMANDS,
  digest,
  formatPcrSelection,
  nameOf,
  releaseKeyPublic,
  releaseMessage,
  releaseOperand,
  TPM2B_CREATION_DATA,
  TPM2B_PRIVATE,
  TPM2B_PUBLIC,
  TPM_RC,
  TPM_RH,
} from '../../tpm/index.ts'
import type { TpmtPublic } from '../../tpm/index.ts'
import { counterEntity } from './counters.ts'
import type { UsableRelease } from './releases.ts'
import type { CreatedBlob, LoadedObject, SealedBlob, TpmScope, TpmSession } from './types.ts'

const EMPTY = Buffer.alloc(0)
/** Of the newest; what is older is over. */
const MOST_TRIED = 32
/** Refusals in a message. */
const MOST_TOLD = 8

/** TPM2_Create under `parent` over a salted session, which hides the secret and proves that the TPM got this template. */
export async function createUnder(
  scope: TpmScope,
  parent: LoadedObject,
  template: TpmtPublic,
  secret: { readonly userAuth?: Uint8Array; readonly data?: Uint8Array },
): Promise<CreatedBlob> {
  const session = await scope.startSession('hmac', parent)
  const { userAuth = EMPTY, data = EMPTY } = secret
  const { outPrivate, outPublic, creationData, creationHash, creationTicket } = await scope.run(
    COMMANDS.Create,
    { parentHandle: parent },
    {
      inSensitive: { userAuth: Buffer.from(userAuth), data: Buffer.from(data) },
      inPublic: template,
      outsideInfo: EMPTY,
      creationPCR: [],
    },
    [session.use({ decrypt: true, last: true })],
  )
  return {
    public: encode(TPM2B_PUBLIC, outPublic),
    private: encode(TPM2B_PRIVATE, outPrivate),
    creation: { data: encode(TPM2B_CREATION_DATA, creationData), hash: creationHash, ticket: creationTicket },
  }
}

/** Loads a blob of ours. `vtpm.sealed_elsewhere` where this TPM, as it is now, did not make it. */
export async function loadUnder(scope: TpmScope, parent: LoadedObject, blob: SealedBlob): Promise<LoadedObject> {
  try {
    return await scope.load(parent, blob)
  } catch (error) {
    if (!isForeign(error)) throw error
    const problem = 'the TPM does not know this blob: another made it, or it is damaged'
    throw new TouchstoneError('vtpm.sealed_elsewhere', problem, { cause: error })
  }
}

/** Whatever the TPM says against a parameter of TPM2_Load, and what is no blob at all. */
function isForeign(error: unknown): boolean {
  const rc = responseCodeOf(error)
  if (rc !== undefined) return (rc & FORMAT_ONE) !== 0 && rc !== TPM_RC.HANDLE
  return isTouchstoneError(error) && String(error.details['path']).startsWith('TPM2B_')
}

/** Part 2 section 6.6.2: the code is about a handle, a parameter or a session. */
const FORMAT_ONE = 0x80

type Ticket = Awaited<ReturnType<typeof verifyInTpm>>

/** Tickets by policy: a TPM need not verify the same signature again until it is cleared. */
export type Tickets = Map<string, Ticket>

interface UnsealInput {
  readonly root: LoadedObject
  readonly blob: SealedBlob
  /** In the order in which they are tried. */
  readonly releases: readonly UsableRelease[]
  /** DER SubjectPublicKeyInfo. */
  readonly releaseKey: Uint8Array
  readonly tickets: Tickets
}

/**
 * TPM2_Unseal under the first release that the TPM finds satisfied. The session is salted by the root and encrypts, so that
 * neither the secret can be read nor another put in its place on the way.
 */
export async function unsealUnder(
  scope: TpmScope,
  { root, blob, releases, releaseKey, tickets }: UnsealInput,
): Promise<{ readonly secret: Buffer; readonly release: UsableRelease }> {
  if (releases.length === 0) throw new TouchstoneError('vtpm.release_missing')
  const object = await loadUnder(scope, root, blob)
  const key = releaseKeyPublic(releaseKey)
  const refusals: string[] = []
  const session = await scope.startSession('policy', root)
  for (const release of releases.slice(0, MOST_TRIED)) {
    const refusal = await satisfy(scope, session, release, key, tickets)
    if (refusal !== undefined) {
      refusals.push(`release ${release.terms.release}: ${refusal}`)
      await scope.run(COMMANDS.PolicyRestart, { sessionHandle: session.handle }, {})
      continue
    }
    try {
      const authorisation = session.use({ encrypt: true, last: true })
      const { outData } = await scope.run(COMMANDS.Unseal, { itemHandle: object }, {}, [authorisation])
      return { secret: outData, release }
    } catch (error) {
      // The policy of the object is not PolicyAuthorize of this release key and node: it is not one of ours.
      if (responseCodeOf(error) !== TPM_RC.POLICY_FAIL) throw error
      throw new TouchstoneError('vtpm.sealed_elsewhere', 'it was sealed for another release key', { cause: error })
    }
  }
  throw new TouchstoneError(
    'vtpm.release_not_satisfied',
    `no release allows this boot: ${refusals.slice(0, MOST_TOLD).join('; ')}`,
  )
}

/** Brings the session's policy to what was approved, or says why that cannot be. */
async function satisfy(
  scope: TpmScope,
  { handle: policySession }: TpmSession,
  { terms, policy, signature }: UsableRelease,
  key: TpmtPublic,
  tickets: Tickets,
): Promise<string | undefined> {
  const { pcrs, pcrDigest, nodeRef } = terms
  try {
    await scope.run(COMMANDS.PolicyPCR, { policySession }, { pcrDigest: view(pcrDigest), pcrs })
  } catch (error) {
    if (responseCodeOf(error) !== TPM_RC.VALUE) throw error
    return `the registers ${formatPcrSelection(pcrs)} are not those that it wants`
  }
  const counter = counterEntity('release')
  try {
    await scope.run(
      COMMANDS.PolicyNV,
      { authHandle: counter, nvIndex: counter, policySession },
      { operandB: releaseOperand(terms.release), offset: 0, operation: 'unsigned_le' },
    )
  } catch (error) {
    if (responseCodeOf(error) !== TPM_RC.POLICY) throw error
    return 'it is over, a later one was committed'
  }
  const id = toHex(policy)
  const checkTicket = tickets.get(id) ?? (await verifyInTpm(scope, key, releaseMessage(policy, nodeRef), signature))
  tickets.set(id, checkTicket)
  await scope.run(
    COMMANDS.PolicyAuthorize,
    { policySession },
    { approvedPolicy: policy, policyRef: view(nodeRef), keySign: nameOf(key), checkTicket },
  )
  return undefined
}

/** The TPM's own word that the release key signed this; the owner's hierarchy, because tickets of the null one are empty. */
async function verifyInTpm(scope: TpmScope, key: TpmtPublic, message: Buffer, signature: Buffer) {
  const { objectHandle } = await scope.run(
    COMMANDS.LoadExternal,
    {},
    { inPrivate: EMPTY, inPublic: key, hierarchy: TPM_RH.owner },
  )
  scope.flushLater(objectHandle)
  const { validation } = await scope.run(
    COMMANDS.VerifySignature,
    { keyHandle: objectHandle },
    {
      digest: digest('sha256', message),
      signature: {
        sigAlg: 'ecdsa',
        hash: 'sha256',
        signatureR: signature.subarray(0, 32),
        signatureS: signature.subarray(32),
      },
    },
  )
  return validation
}
