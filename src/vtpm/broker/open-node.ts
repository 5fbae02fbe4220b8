import type { FastifyBaseLogger } from 'fastify'
import type { Logger } from 'pino'
import { isTouchstoneError, toHex, TouchstoneError, type Clock } from '../../core/index.ts'
import { openGuests, openSwtpmInstances, type Guests, type KeeperNews } from '../guest/index.ts'
import { openRoots, openTpmClient, provisionedReleaseKey, type Roots } from '../hardware/index.ts'
import { DEFAULT_KEY_QUOTA, serveKeys } from '../keys/index.ts'
import { tenantChain, type RunningLane } from '../lane/index.ts'
import type { AgentClient } from './agent-client.ts'
import { derOf } from './certificate-file.ts'
import type { BrokerConfig } from './config.ts'
import { grantConfirmation } from './confirm-grant.ts'
import { grantKeyFile, readPublicKey } from './fleet-keys.ts'
import { hostAttestation, type HostAttestation } from './host-attestation.ts'
import { serveLinks } from './links.ts'
import { parentOf } from './raw-parent.ts'
import { refusalRecorder } from './refusals.ts'
import type { BrokerStatus } from './status.ts'

export interface OpenNodeOptions {
  readonly config: BrokerConfig
  readonly lane: RunningLane
  readonly agent: AgentClient | undefined
  readonly logger: Logger
  readonly clock: Clock
  readonly random: (size: number) => Buffer
  readonly version: string
  /** Told before a release is looked for: who signs one elsewhere needs to know. */
  readonly onRoots: (roots: NonNullable<BrokerStatus['roots']>) => void
  readonly onKeeper: (news: KeeperNews) => void
}

/** Everything that hangs on the node's secrets. */
export interface OpenNode {
  readonly roots: Roots
  readonly guests: Guests
  status(): Pick<BrokerStatus, 'release' | 'guests'>
  /** After a boot that the verifier found good: older releases are dead from then on. Now and then, fetches new ones. */
  round(): Promise<void>
  /** Nothing is left for the next rounds but to look for news. */
  readonly isSettled: boolean
  /** Fetches releases now; answers their numbers. */
  fetchReleases(): Promise<readonly number[]>
  /** Guests go on running. */
  close(): Promise<void>
}

/** Registers that secrets are bound to: what boots, and not what a person changes in the firmware's setup. */
const RELEASE_REGISTERS = 'sha256:0,2,4,7,8,9'
const FETCH_MS = 300_000
const REFETCH_MS = 30_000
/** A release is missing, or none of those that are here allows this boot: the verifier may have another. */
const WANTS_RELEASE = new Set(['vtpm.release_missing', 'vtpm.release_not_satisfied'])

/**
 * Opens the node's secrets under a release, and what works with them: guests, keys of apps, raw sockets of tenants, links.
 * Rejects as {@link Roots.unlock} does, with `broker.agent`, and with what the verifier refused. Nothing is left open then.
 */
export async function openNode(options: OpenNodeOptions): Promise<OpenNode> {
  /** In the order of their making; undone in the other. */
  const undo: (() => Promise<void>)[] = []
  const close = async (): Promise<void> => {
    const failures: unknown[] = []
    for (const step of undo.splice(0).reverse()) await step().catch((error: unknown) => failures.push(error))
    if (failures.length > 0) throw failures[0]
  }
  try {
    const parts = await openParts(options, (step) => undo.push(step))
    return {
      ...parts,
      // Accessors do not survive a spread.
      get isSettled() {
        return parts.isSettled
      },
      close,
    }
  } catch (error) {
    await close().catch(() => undefined)
    throw error
  }
}

async function openParts(
  options: OpenNodeOptions,
  onClose: (step: () => Promise<void>) => void,
): Promise<Omit<OpenNode, 'close'>> {
  const { config, lane, agent, logger, clock, random, version } = options
  const { stateDir, runDir } = config
  const releaseKey = await releaseKeyOf(config, agent)
  const transport = lane.client({ tenant: 'broker', priority: 'unseal' })
  const roots = await openRoots({ transport, stateDir, releaseKey }).catch(async (error: unknown) => {
    await transport.close()
    throw error
  })
  onClose(() => roots.close())
  options.onRoots({ nodeRef: toHex(roots.nodeRef), counterName: toHex(roots.releaseCounterName) })
  const host = hostAttestation(lane, agent)
  onClose(() => host.close())
  const fetch = releaseFetcher(roots, agent, host)
  const release = await unlock(roots, () => fetch.fetch())
  const auditKey = roots.derive('audit checkpoints v1')
  lane.audit.authenticate(auditKey)
  auditKey.fill(0)
  const grantKey = grantKeyFile(stateDir, roots)
  let known = fetch.grantKey() ?? (await grantKey.read())

  const instances = await openSwtpmInstances({
    runDir,
    poolSize: config.guests.pool,
    control: config.guests.control,
    build: version,
    onRefused: refusalRecorder(lane.audit),
    onReset: (guest, count) => logger.info({ guest, count }, 'a virtual machine was reset'),
    onKeeper: options.onKeeper,
  })
  onClose(() => instances.close())
  const links = serveLinks({ host, uid: config.guests.hypervisorUid, clock, logger })
  onClose(() => links.close())
  const guests = await openGuests({
    stateDir,
    roots,
    instances,
    recoveryKey: config.recoveryKey === undefined ? undefined : await readPublicKey(config.recoveryKey),
    grantKey: () => known,
    withoutGrant: agent === undefined ? 'confirm' : 'refuse',
    nodeId: () => host.nodeId,
    certificatePolicy: config.guests.certificate,
    confirmGrant: grantConfirmation(agent, logger),
    obtainEkCertificate: async ({ guest, tenant, generation, ekPublic }) => {
      if (agent === undefined) return 'pending'
      const { certificate } = await agent.obtain('guestEk', { guest, tenant, generation, ekPublic })
      return derOf(certificate)
    },
    ...(config.guests.uidBase === undefined ? {} : { uidBase: config.guests.uidBase }),
    ...(config.guests.hypervisorUid === undefined
      ? {}
      : { owner: { uid: config.guests.hypervisorUid, gid: config.guests.hypervisorUid } }),
    clock,
    log: logger,
    onStarted: (guest, instance) => links.open(guest, instance),
    onEnded: (guest) => links.end(guest),
  })
  onClose(() => guests.close())
  links.follow(guests)

  for (const tenant of config.tenants.filter(({ lane: { class: of } }) => of === 'app')) {
    const { name } = tenant.lane
    if (tenant.serve.includes('tpm')) {
      const parent = await parentOf(roots, stateDir, name)
      const served = await lane.serve({ config: tenant.lane, uid: tenant.uid, parent, auditBytes: tenant.auditBytes })
      onClose(() => served.close())
      logger.info({ tenant: name, path: served.path }, 'serving a TPM')
    }
    if (!tenant.serve.includes('keys')) continue
    const audit = await lane.audit.of(tenantChain(name), tenant.auditBytes)
    const client = openTpmClient(lane.client({ tenant: `keys-${name}`, priority: 'apps', audit }))
    const log: FastifyBaseLogger = logger
    const service = {
      ...{ stateDir, runDir, roots, audit, clock, random, log, version },
      attestation: async () => {
        const { client: attesting, ak, of } = await host.key()
        return { client: attesting, ak, nodeId: of.nodeId, certificates: [of.akCertificate, ...of.chain] }
      },
      obtain: agent === undefined ? undefined : (kind: 'appKey', request: Buffer) => agent.obtainEncoded(kind, request),
    }
    const quota = { ...DEFAULT_KEY_QUOTA, keys: tenant.keys }
    const keys = await serveKeys(service, { name, uid: tenant.uid, quota, client })
    onClose(() => keys.close())
    logger.info({ tenant: name, path: keys.path }, 'serving keys')
  }

  let counter = Number(await roots.releaseCounter.read())
  let fetchAt = clock.now() + FETCH_MS
  const fetchReleases = async () => {
    fetchAt = clock.now() + REFETCH_MS
    const numbers = await fetch.fetch()
    fetchAt = clock.now() + FETCH_MS
    const answered = fetch.grantKey()
    if (answered !== undefined) {
      known = answered
      await grantKey.write(answered)
    }
    return numbers
  }
  if (known !== undefined) await grantKey.write(known)
  return {
    roots,
    guests,
    status: () => {
      const { guests: all, running } = guests.node()
      return { release: { number: release.release, ...described(release), counter }, guests: { all, running } }
    },
    get isSettled() {
      return agent === undefined || (counter >= release.release && host.nodeId !== undefined)
    },
    async round() {
      if (agent === undefined) return
      // Guests that leave are told by it which node they leave.
      if (host.nodeId === undefined) await host.learn()
      if (counter < release.release && (await agent.look()).ready) {
        counter = Number(await roots.commitRelease())
        logger.info({ release: counter }, 'a good boot: older releases are dead')
      }
      if (clock.now() >= fetchAt) await fetchReleases()
    },
    fetchReleases,
  }
}

function described({ description }: { readonly description: string | undefined }) {
  return description === undefined ? {} : { description }
}

/** What the configuration says, or what this node was set up with, or what the verifier says. */
async function releaseKeyOf(config: BrokerConfig, agent: AgentClient | undefined): Promise<Buffer> {
  if (config.releaseKey !== undefined) return await readPublicKey(config.releaseKey)
  const provisioned = await provisionedReleaseKey(config.stateDir)
  if (provisioned !== undefined) return provisioned
  if (agent === undefined) {
    throw new TouchstoneError('broker.config', 'neither releaseKey nor agent is configured: nobody could sign releases')
  }
  return (await agent.obtain('fleet', {})).releaseKey
}

function releaseFetcher(roots: Roots, agent: AgentClient | undefined, host: Pick<HostAttestation, 'use'>) {
  let grantKey: Buffer | undefined
  return {
    grantKey: () => grantKey,
    async fetch(): Promise<readonly number[]> {
      if (agent === undefined) return []
      const request = await host.use((attesting) => roots.releaseRequest(attesting, RELEASE_REGISTERS))
      const answer = await agent.obtain('release', request)
      for (const release of answer.releases) await roots.addRelease(release)
      grantKey = answer.grantKey
      return answer.releases.map(({ release }) => release)
    },
  }
}

/** Why the verifier gives none does not hide why one is needed. */
async function unlock(roots: Roots, fetch: () => Promise<readonly number[]>) {
  try {
    return await roots.unlock()
  } catch (error) {
    if (!isTouchstoneError(error) || !WANTS_RELEASE.has(error.code)) throw error
    const fetched = await fetch().catch((cause: unknown) => {
      if (!isTouchstoneError(cause)) throw cause
      const { code, message, hint } = error
      throw new TouchstoneError(code, `${message}; and none can be fetched: ${cause.message} [${cause.code}]`, {
        cause,
        hint: `${hint} ${cause.hint}`,
      })
    })
    if (fetched.length === 0) throw error
    return await roots.unlock()
  }
}
