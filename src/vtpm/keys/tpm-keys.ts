import { encode } from '../../codec/index.ts'
import { TouchstoneError } from '../../core/index.ts'
import { responseCodeOf } from '../../device/index.ts'
import {
  COMMANDS,
  padCoordinate,
  storageKeyTemplate,
  TPM_RH,
  TPM_ST_TICKET,
  TPM2B_PRIVATE,
  TPM2B_PUBLIC,
  TPMT_PUBLIC,
} from '../../tpm/index.ts'
import type { PcrSelection, TpmtPublic, TpmtSignature } from '../../tpm/index.ts'
import type { LoadedObject, NodeAk, Roots, SealedBlob, TpmClient } from '../hardware/index.ts'
import type { KeyHardware, KeyLabel, WrappedKey } from './key-hardware.ts'
import { KINDS, sealedUnder } from './kinds.ts'
import { type TpmTurn, tpmTurns } from './tpm-turns.ts'

/** The node's attestation key, and what a relying party is told of it. */
export interface NodeAttestation {
  /** Where the AK is loaded. */
  readonly client: TpmClient
  readonly ak: Pick<NodeAk, 'key' | 'certify'>
  readonly nodeId: string | undefined
  /** PEM of the AK's certificate and those above it; empty where there is none. */
  readonly certificates: readonly string[]
}

export interface TpmKeysOptions {
  readonly tenant: string
  /** Of this tenant alone: the lane gives turns by client, and handles are the client's. */
  readonly client: TpmClient
  readonly roots: Pick<Roots, 'storageRoot' | 'createChild' | 'loadChild' | 'derive'>
  /** Rejects with `key.no_attestation` as long as the node has none. */
  readonly attestation: () => Promise<NodeAttestation>
  /** How many keys stay in the TPM; the lane swaps them, so that this bounds its memory and not the TPM's. */
  readonly capacity?: number
  readonly sessionIdleMs?: number
}

const EMPTY = Buffer.alloc(0)
const CAPACITY = 64
const SESSION_IDLE_MS = 2_000
/** MAX_DIGEST_BUFFER: what one command takes of a message. */
const CHUNK = 1024
const NO_TICKET = { tag: TPM_ST_TICKET.hashcheck, hierarchy: TPM_RH.null, digest: EMPTY }

/** Response codes without the position in them; see `responseCodeOf`. */
const RC = {
  value: 0x84,
  size: 0x95,
  policyFail: 0x9d,
  integrity: 0x9f,
  curve: 0xa6,
  pcrChanged: 0x128,
  failure: 0x101,
} as const

/** The keys of one tenant in the TPM behind `client`. */
export function openTpmKeys(options: TpmKeysOptions): KeyHardware {
  const { tenant, client, roots, attestation } = options
  const turns = tpmTurns({
    client,
    saltKey: roots.storageRoot,
    capacity: options.capacity ?? CAPACITY,
    sessionIdleMs: options.sessionIdleMs ?? SESSION_IDLE_MS,
  })
  const parentAuth = roots.derive('touchstone app key parent v1', 32, Buffer.from(tenant, 'ascii'))
  const authOf = ({ name, version }: KeyLabel) =>
    roots.derive('touchstone app key v1', 32, Buffer.from(`${tenant}\0${name}\0${version}`, 'ascii'))
  let parent: SealedBlob | undefined
  let curves: readonly number[] = []

  const parentBlob = (): SealedBlob => {
    if (parent === undefined) throw new TouchstoneError('key.internal', 'the parent key was not prepared')
    return parent
  }
  const parentObject = async (turn: TpmTurn): Promise<LoadedObject> => {
    const { loaded } = turn
    const blob = parentBlob()
    const known = loaded.find(blob)
    if (known !== undefined) return known
    await loaded.makeRoom()
    const object = await turn.withRoom(() =>
      client.scope(async (scope) => {
        const made = await roots.loadChild(scope, blob)
        scope.keep(made.handle)
        return made
      }),
    )
    loaded.add(blob, object)
    return object
  }
  const keyObject = async (turn: TpmTurn, key: WrappedKey): Promise<LoadedObject> => {
    const { loaded } = turn
    const known = loaded.find(key.blob)
    if (known !== undefined) return known
    const above = await parentObject(turn)
    await loaded.makeRoom()
    const object = await turn
      .withRoom(async () => {
        // Before the scope: beginning a session takes one of its own.
        const auth = await turn.use({ authValue: parentAuth })
        return await client.scope(async (scope) => {
          const made = await scope.load(above, key.blob, [auth])
          scope.keep(made.handle)
          return made
        })
      })
      .catch(refuseForeign)
    loaded.add(key.blob, object)
    return object
  }
  const make = (label: KeyLabel, inPublic: TpmtPublic, data: Uint8Array): Promise<WrappedKey> =>
    turns.run(async (turn) => {
      const above = await parentObject(turn)
      const { outPrivate, outPublic } = await turn.withRoom(async () =>
        client.run(
          COMMANDS.Create,
          { parentHandle: above },
          {
            inSensitive: { userAuth: authOf(label), data: Buffer.from(data) },
            inPublic,
            outsideInfo: EMPTY,
            creationPCR: [],
          },
          [await turn.use({ authValue: parentAuth, decrypt: true })],
        ),
      )
      return {
        blob: { public: encode(TPM2B_PUBLIC, outPublic), private: encode(TPM2B_PRIVATE, outPrivate) },
        publicArea: outPublic,
      }
    })

  return {
    async prepare(known) {
      curves = await readCurves(client)
      // Its authorisation value comes from the node secret, so that the blobs below it are of no use to another operating
      // system on the same TPM.
      parent = known ?? (await roots.createChild(storageKeyTemplate(), parentAuth))
      // At once, so that a parent of another TPM is known before any key is asked for.
      await turns.run(parentObject)
      return known === undefined ? parent : undefined
    },
    async create(label, kind, uses) {
      const { curve, template } = KINDS[kind]
      if (curve !== undefined && !curves.includes(curve)) throw new TouchstoneError('key.kind')
      return await make(label, template(uses), EMPTY)
    },
    async seal(label, secret, pcrs) {
      if (pcrs === undefined) return await make(label, KINDS.secret.template([]), secret)
      const policy = await turns.run(() => currentPolicy(client, pcrs))
      return await make(label, sealedUnder(policy), secret)
    },
    unseal: (label, key, pcrs) =>
      turns.run(async (turn) => {
        const itemHandle = await keyObject(turn, key)
        if (pcrs === undefined) {
          const auth = await turn.use({ authValue: authOf(label), encrypt: true })
          return (await client.run(COMMANDS.Unseal, { itemHandle }, {}, [auth])).outData
        }
        return await client.scope(async (scope) => {
          const policy = await scope.startSession('policy', roots.storageRoot)
          await scope.run(COMMANDS.PolicyPCR, { policySession: policy.handle }, { pcrDigest: EMPTY, pcrs })
          // The policy does not ask for the value; hiding the answer takes it all the same (Part 1 section 21.2).
          const auth = policy.use({ authValue: authOf(label), encrypt: true, last: true })
          return (await scope.run(COMMANDS.Unseal, { itemHandle }, {}, [auth]).catch(refuseRegisters)).outData
        })
      }),
    sign: (label, key, digest) =>
      turns.run(async (turn) => {
        const keyHandle = await keyObject(turn, key)
        const { signature } = await client.run(
          COMMANDS.Sign,
          { keyHandle },
          { digest: Buffer.from(digest), inScheme: signingScheme(key.publicArea), validation: NO_TICKET },
          [await turn.use({ authValue: authOf(label) })],
        )
        return rawSignature(key.publicArea, signature)
      }),
    hmac: (label, key, message) => turns.run((turn) => computeHmac(turn, label, key, Buffer.from(message))),
    decrypt: (label, key, ciphertext) =>
      turns.run(async (turn) => {
        const keyHandle = await keyObject(turn, key)
        const auth = await turn.use({ authValue: authOf(label), encrypt: true })
        const parameters = {
          cipherText: Buffer.from(ciphertext),
          inScheme: decryptionScheme(key.publicArea),
          label: EMPTY,
        }
        try {
          return (await client.run(COMMANDS.RSA_Decrypt, { keyHandle }, parameters, [auth])).message
        } catch (error) {
          throw await ciphertextProblem(client, error)
        }
      }),
    agree: (label, key, inPoint) =>
      turns.run(async (turn) => {
        const keyHandle = await keyObject(turn, key)
        const auth = await turn.use({ authValue: authOf(label), encrypt: true })
        const { outPoint } = await client.run(COMMANDS.ECDH_ZGen, { keyHandle }, { inPoint }, [auth])
        return padCoordinate(outPoint.x, fieldSizeOf(key.publicArea))
      }),
    random: (size) =>
      turns.run(async (turn) => {
        const parts: Buffer[] = []
        for (let left = size; left > 0; left -= parts.at(-1)?.byteLength ?? 0) {
          const auth = await turn.use({ encrypt: true })
          const { randomBytes } = await client.run(COMMANDS.GetRandom, {}, { bytesRequested: left }, [auth])
          if (randomBytes.byteLength === 0) throw new TouchstoneError('device.protocol', 'the TPM gave no random bytes')
          parts.push(randomBytes)
        }
        return Buffer.concat(parts).subarray(0, size)
      }),
    async certify(label, key, qualifyingData) {
      const { client: akClient, ak, nodeId, certificates } = await attestation()
      const { attest, signature } = await akClient.scope(async (scope) => {
        const above = await roots.loadChild(scope, parentBlob())
        const session = await scope.startSession('hmac', roots.storageRoot)
        const object = await scope.load(above, key.blob, [session.use({ authValue: parentAuth })]).catch(refuseForeign)
        return await ak.certify(object, qualifyingData, session.use({ authValue: authOf(label) }))
      })
      const akPublic = encode(TPMT_PUBLIC, ak.key.publicArea)
      return { attest, signature, akPublic, nodeId, akCertificate: certificates }
    },
    forget: (key) => turns.run(({ loaded }) => loaded.drop(key.blob)),
    close: () => turns.close(),
  }

  async function computeHmac(turn: TpmTurn, label: KeyLabel, key: WrappedKey, message: Buffer): Promise<Buffer> {
    const handle = await keyObject(turn, key)
    if (message.byteLength <= CHUNK) {
      const auth = await turn.use({ authValue: authOf(label) })
      return (await client.run(COMMANDS.HMAC, { handle }, { buffer: message, hashAlg: 'null' }, [auth])).outHMAC
    }
    const { sequenceHandle } = await turn.withRoom(async () =>
      client.run(COMMANDS.HMAC_Start, { handle }, { auth: EMPTY, hashAlg: 'null' }, [
        await turn.use({ authValue: authOf(label) }),
      ]),
    )
    return await client.scope(async (scope) => {
      scope.flushLater(sequenceHandle)
      let at = 0
      for (; message.byteLength - at > CHUNK; at += CHUNK) {
        await scope.run(COMMANDS.SequenceUpdate, { sequenceHandle }, { buffer: message.subarray(at, at + CHUNK) })
      }
      const rest = { buffer: message.subarray(at), hierarchy: TPM_RH.null }
      const { result } = await scope.run(COMMANDS.SequenceComplete, { sequenceHandle }, rest)
      // The TPM has flushed it with that.
      scope.keep(sequenceHandle)
      return result
    })
  }
}

async function readCurves(client: TpmClient): Promise<readonly number[]> {
  const asked = { capability: 'ecc_curves', property: 0, propertyCount: 64 } as const
  const { capabilityData } = await client.run(COMMANDS.GetCapability, {}, asked)
  return capabilityData.capability === 'ecc_curves' ? capabilityData.curves : []
}

/** The digest of a policy that wants these registers as they are now. */
async function currentPolicy(client: TpmClient, pcrs: PcrSelection): Promise<Buffer> {
  return await client.scope(async (scope) => {
    const { handle: policySession } = await scope.startSession('policy')
    await scope.run(COMMANDS.PolicyPCR, { policySession }, { pcrDigest: EMPTY, pcrs })
    return (await scope.run(COMMANDS.PolicyGetDigest, { policySession }, {})).policyDigest
  })
}

/** A key of one use has its scheme in itself; see `kinds.ts`. */
function signingScheme(publicArea: TpmtPublic) {
  const isOpen = publicArea.type === 'rsa' && publicArea.parameters.scheme.scheme === 'null'
  return isOpen ? ({ scheme: 'rsassa', hashAlg: 'sha256' } as const) : ({ scheme: 'null' } as const)
}

function decryptionScheme(publicArea: TpmtPublic) {
  const isOpen = publicArea.type === 'rsa' && publicArea.parameters.scheme.scheme === 'null'
  return isOpen ? ({ scheme: 'oaep', hashAlg: 'sha256' } as const) : ({ scheme: 'null' } as const)
}

const FIELD_SIZES: Readonly<Record<string, number>> = { nist_p256: 32, nist_p384: 48 }

function fieldSizeOf(publicArea: TpmtPublic): number {
  const size = publicArea.type === 'ecc' ? FIELD_SIZES[publicArea.parameters.curveID] : undefined
  if (size === undefined) throw new TouchstoneError('key.internal', 'a key on a curve that no kind has')
  return size
}

function rawSignature(publicArea: TpmtPublic, signature: TpmtSignature): Buffer {
  if (signature.sigAlg === 'rsassa' || signature.sigAlg === 'rsapss') return signature.sig
  if (signature.sigAlg !== 'ecdsa') {
    throw new TouchstoneError('device.protocol', `the TPM signed with ${signature.sigAlg}`)
  }
  const size = fieldSizeOf(publicArea)
  return Buffer.concat([padCoordinate(signature.signatureR, size), padCoordinate(signature.signatureS, size)])
}

function refuseForeign(error: unknown): never {
  if (responseCodeOf(error) === RC.integrity) throw new TouchstoneError('key.elsewhere', undefined, { cause: error })
  throw error
}

function refuseRegisters(error: unknown): never {
  const rc = responseCodeOf(error)
  if (rc !== RC.policyFail && rc !== RC.pcrChanged) throw error
  throw new TouchstoneError('key.registers', undefined, { cause: error })
}

/**
 * libtpms answers TPM_RC_FAILURE where a ciphertext has no valid padding, as if the TPM had failed. One that has refuses
 * everything from then on, so another command tells the two apart.
 */
async function ciphertextProblem(client: TpmClient, error: unknown): Promise<unknown> {
  const rc = responseCodeOf(error)
  if (rc === RC.failure) await client.run(COMMANDS.GetRandom, {}, { bytesRequested: 1 })
  else if (rc !== RC.value && rc !== RC.size) return error
  return new TouchstoneError('key.ciphertext', undefined, { cause: error })
}
