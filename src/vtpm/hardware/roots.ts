import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { decode } from '../../codec/index.ts'
import { equalBytes, toHex, TouchstoneError, view } from '../../core/index.ts'
import { responseCodeOf } from '../../device/index.ts'
import type { Transport } from '../../device/index.ts'
import {
  agreementKeyTemplate,
  COMMANDS,
  releaseNodeRef,
  sealedPolicyDigest,
  TPM2B_PRIVATE,
  TPM2B_PUBLIC,
  TPM_RC,
} from '../../tpm/index.ts'
import { rootsBinding } from '../../wire/index.ts'
import { counterEntity, ensureCounter, hardwareCounter } from './counters.ts'
import { deriveKey, NODE_SECRET_SIZE, unwrapSealed, wrapSealed } from './node-secret.ts'
import { proveRoots } from './prove-roots.ts'
import { checkedRelease, keepRelease, readReleases } from './releases.ts'
import type { UsableRelease } from './releases.ts'
import { readRootsFile, writeRootsFile } from './roots-file.ts'
import type { RootsFile } from './roots-file.ts'
import { createUnder, loadUnder, unsealUnder } from './sealing.ts'
import type { Tickets } from './sealing.ts'
import { ensureStorageRoot } from './storage-root.ts'
import { sealedTemplate } from './templates.ts'
import { openTpmClient } from './tpm-client.ts'
import { transportKey } from './transport-key.ts'
import type { LoadedObject, Roots, SatisfiedRelease, SealedBlob, TpmClient, TpmScope } from './types.ts'

export interface RootsOptions {
  /** A bare TPM, or a client of the lane. Closed by {@link Roots.close}, and left open when opening fails. */
  readonly transport: Transport
  /** The broker's; `hardware/` and `releases/` below it are used. */
  readonly stateDir: string
  /** DER SubjectPublicKeyInfo, P-256. */
  readonly releaseKey: Uint8Array
}

/** How far a release may be ahead of the counter: going there is so many writes to NV memory, which wears. */
const MAX_AHEAD = 1000

const TRANSPORT_PURPOSE = 'touchstone transport key v1'

/**
 * Opens what the broker roots in hardware, and makes it at the first start: storage root, counters, node secret, transport
 * key. Needs no release; {@link Roots.unlock} does. Throws `vtpm.sealed_elsewhere`, `vtpm.storage_root_taken`,
 * `vtpm.counter_*`, `vtpm.owner_auth`, `vtpm.hardware_state`, `vtpm.release_key_changed`, `release.key`; the state is left as it was then.
 */
export async function openRoots({ transport, stateDir, releaseKey }: RootsOptions): Promise<Roots> {
  const client = openTpmClient(transport)
  const known = await readRootsFile(stateDir)
  if (known !== undefined && !equalBytes(known.releaseKey, releaseKey)) {
    throw new TouchstoneError('vtpm.release_key_changed')
  }
  const { root, file } = await asOwner(() =>
    client.scope(async (scope) => {
      const found = await ensureStorageRoot(scope, known?.storageRootName)
      for (const counter of ['ledger', 'release'] as const) {
        await ensureCounter(scope, found, counter, known === undefined)
      }
      return { root: found, file: known ?? (await provision(scope, found, releaseKey)) }
    }),
  )
  if (known === undefined) await writeRootsFile(stateDir, file)
  return rootsOf({ client, root, file, releaseKey, releasesDir: join(stateDir, 'releases') })
}

async function asOwner<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (responseCodeOf(error) !== TPM_RC.BAD_AUTH) throw error
    throw new TouchstoneError('vtpm.owner_auth', undefined, { cause: error })
  }
}

/** The first start. The secret is not kept: from here on, a release must allow the boot that uses it. */
async function provision(scope: TpmScope, root: LoadedObject, releaseKey: Uint8Array): Promise<RootsFile> {
  const policy = sealedPolicyDigest(releaseKey, releaseNodeRef(root.name))
  const secret = randomBytes(NODE_SECRET_SIZE)
  const userAuth = deriveKey(secret, TRANSPORT_PURPOSE)
  try {
    return {
      storageRootName: root.name,
      releaseKey: Buffer.from(releaseKey),
      nodeSecret: blobOf(await createUnder(scope, root, sealedTemplate(policy), { data: secret })),
      transportKey: await createUnder(scope, root, agreementKeyTemplate(), { userAuth }),
    }
  } finally {
    secret.fill(0)
    userAuth.fill(0)
  }
}

interface Opened {
  readonly client: TpmClient
  readonly root: LoadedObject
  readonly file: RootsFile
  readonly releaseKey: Uint8Array
  readonly releasesDir: string
}

function rootsOf({ client, root, file, releaseKey, releasesDir }: Opened): Roots {
  const nodeRef = releaseNodeRef(root.name)
  const policy = sealedPolicyDigest(releaseKey, nodeRef)
  const releaseCounter = hardwareCounter(client, root, 'release')
  const expected = { releaseKey, node: { nodeRef, counterName: counterEntity('release').name } }
  const tickets: Tickets = new Map()
  let unlocked: { readonly secret: Buffer; readonly release: UsableRelease } | undefined
  let unlocking: Promise<SatisfiedRelease> | undefined

  const secretOf = (): Buffer => {
    if (unlocked === undefined) throw new TouchstoneError('vtpm.locked')
    return unlocked.secret
  }
  const unsealWith = async (blob: SealedBlob, first: UsableRelease | undefined) => {
    const { usable } = await readReleases(releasesDir, expected)
    // The one that held a moment ago most likely still does, and saves the TPM the others.
    const releases =
      first === undefined ? usable : [first, ...usable.filter(({ release }) => release !== first.release)]
    return await client.scope((scope) => unsealUnder(scope, { root, blob, releases, releaseKey, tickets }))
  }
  const unlock = async (): Promise<SatisfiedRelease> => {
    const { secret, release } = await unsealWith(file.nodeSecret, undefined)
    if (secret.byteLength !== NODE_SECRET_SIZE) {
      throw new TouchstoneError('vtpm.hardware_state', 'what is sealed is not a node secret')
    }
    unlocked = { secret, release }
    return satisfied(release)
  }
  const transport = transportKey(client, root, file.transportKey, () => deriveKey(secretOf(), TRANSPORT_PURPOSE))
  return {
    client,
    nodeRef,
    storageRoot: root,
    storageRootName: root.name,
    releaseCounterName: releaseCounter.name,
    ledgerCounter: hardwareCounter(client, root, 'ledger'),
    releaseCounter,
    transportKey: transport,

    async unlock() {
      if (unlocked !== undefined) return satisfied(unlocked.release)
      unlocking ??= unlock().finally(() => (unlocking = undefined))
      return await unlocking
    },
    derive: (purpose, size, salt) => deriveKey(secretOf(), `touchstone derived: ${purpose}`, size, salt),

    async seal(secret) {
      const data = wrapSealed(secretOf(), secret)
      return blobOf(await client.scope((scope) => createUnder(scope, root, sealedTemplate(policy), { data })))
    },
    async unseal(blob) {
      const nodeSecret = secretOf()
      const { secret: sealed } = await unsealWith(blob, unlocked?.release)
      try {
        return unwrapSealed(nodeSecret, sealed)
      } finally {
        sealed.fill(0)
      }
    },

    async addRelease(untrusted) {
      const checked = checkedRelease(untrusted, expected)
      requireNear(checked.terms.release, await releaseCounter.read())
      await keepRelease(releasesDir, checked)
      return checked.release
    },
    async releases() {
      const { usable, refused } = await readReleases(releasesDir, expected)
      return { usable: usable.map(({ release }) => release), refused }
    },
    async commitRelease() {
      if (unlocked === undefined) throw new TouchstoneError('vtpm.locked')
      const { release } = unlocked.release.terms
      let count = await releaseCounter.read()
      requireNear(release, count)
      while (count < BigInt(release)) count = await releaseCounter.increment()
      return count
    },

    async releaseRequest(host, pcrs) {
      const claim = {
        nodeRef: toHex(nodeRef),
        storageRootName: toHex(root.name),
        counterName: toHex(releaseCounter.name),
        counter: Number(await releaseCounter.read()),
        pcrs,
        transportKey: transport.spki,
      }
      return { ...claim, proof: await proveRoots(host, { root, transportKey: file.transportKey }, rootsBinding(claim)) }
    },

    async createChild(template, authValue) {
      const secret = authValue === undefined ? {} : { userAuth: authValue }
      return blobOf(await client.scope((scope) => createUnder(scope, root, template, secret)))
    },
    loadChild: (scope, blob) => loadUnder(scope, root, blob),
    parentLoader: (blob) => ({
      async load(execute) {
        const executing = { send: (command: Uint8Array) => execute(view(command)), close: () => Promise.resolve() }
        const inPublic = decode('TPM2B_PUBLIC', TPM2B_PUBLIC, blob.public)
        const inPrivate = decode('TPM2B_PRIVATE', TPM2B_PRIVATE, blob.private)
        const handles = { parentHandle: root }
        const { objectHandle } = await openTpmClient(executing).run(COMMANDS.Load, handles, { inPrivate, inPublic })
        return objectHandle
      },
    }),
    async close() {
      unlocked?.secret.fill(0)
      unlocked = undefined
      await client.close()
    },
  }
}

function blobOf({ public: publicArea, private: privateArea }: SealedBlob): SealedBlob {
  return { public: publicArea, private: privateArea }
}

function satisfied({ release }: UsableRelease): SatisfiedRelease {
  return { release: release.release, description: release.description }
}

function requireNear(release: number, counter: bigint): void {
  if (BigInt(release) <= counter + BigInt(MAX_AHEAD)) return
  throw new TouchstoneError('vtpm.release_ahead', `the counter is at ${counter}, the release at ${release}`)
}
