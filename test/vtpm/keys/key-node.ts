import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { pino } from 'pino'
import { loadNodeAk, openRoots, openTpmClient, type Roots } from '../../../src/vtpm/hardware/index.ts'
import { openKeysClient, type KeysClient } from '../../../src/vtpm/keys/client.ts'
import type { KeyQuota, ObtainAppKey } from '../../../src/vtpm/keys/deps.ts'
import {
  DEFAULT_KEY_QUOTA,
  serveKeys,
  type KeyServiceOptions,
  type ServedKeys,
} from '../../../src/vtpm/keys/serve-keys.ts'
import type { NodeAttestation } from '../../../src/vtpm/keys/tpm-keys.ts'
import { type AuditLog, startLane, type RunningLane } from '../../../src/vtpm/lane/index.ts'
import { createEk, createKey, openTpmTools } from '../../../src/device/index.ts'
import { decode } from '../../../src/codec/index.ts'
import { TouchstoneError } from '../../../src/core/index.ts'
import { TPM2B_PUBLIC, type TpmtPublic } from '../../../src/tpm/index.ts'
import { makeBox, makeFleet, releaseFor, type Box, type Fleet } from '../hardware/fleet.ts'

export type AuditEntry = Parameters<AuditLog['append']>[0]

export interface TenantSettings {
  readonly quota?: Partial<KeyQuota>
  readonly obtain?: ObtainAppKey
  readonly loadedKeys?: number
  readonly uid?: number
}

export interface KeyNode {
  readonly box: Box
  readonly keysDir: string
  readonly audit: AuditEntry[]
  /** Whether the audit log takes entries, as a full disk makes it not. */
  readonly disk: { isFull: boolean }
  /** What the services see as the time, in milliseconds; it stands still. */
  readonly clock: { time: number; now(): number }
  /** The broker's key service for one tenant, over the lane, and a client of its socket. */
  serve(tenant: string, settings?: TenantSettings): Promise<{ readonly path: string; readonly client: KeysClient }>
  /** Ends the broker's process, in effect: sockets closed, secrets forgotten; `serve` starts another. */
  restart(): Promise<void>
  /** Another boot of the node, of an image that the fleet may have released or not. */
  reboot(image: string): Promise<void>
  release(release: number, image: string): Promise<void>
  /** The AK that the node's agent enrolled; without it keys cannot be attested. */
  enrol(): Promise<{ readonly ek: TpmtPublic; readonly ak: TpmtPublic }>
}

const QUIET = pino({ level: 'silent' })
const IMAGE = 'os 1'

/** A node with a TPM, the hardware lane over it, and roots that a release has unlocked. */
export async function keyNode(t: TestContext): Promise<KeyNode> {
  const dir = await mkdtemp(join(tmpdir(), 'ts-key-'))
  const fleet: Fleet = makeFleet()
  const audit: AuditEntry[] = []
  const disk = { isFull: false }
  const clock = { time: Date.parse('2026-11-23T10:00:00Z'), now: () => clock.time }
  const served: ServedKeys[] = []
  let lane: RunningLane | undefined
  let roots: Roots | undefined
  let ak: Parameters<typeof loadNodeAk>[1] | undefined

  // Before the box is made: what is registered first ends first, and the lane must let the TPM go before it is stopped.
  t.after(async () => {
    await stop()
    await rm(dir, { recursive: true, force: true })
  })
  const box = await makeBox(t)
  const stop = async () => {
    for (const service of served.splice(0)) await service.close()
    await roots?.close()
    await lane?.close()
    roots = lane = undefined
  }
  const start = async () => {
    for (const path of ['broker', 'run']) await mkdir(join(dir, path), { recursive: true, mode: 0o700 })
    const [stateDir, runDir] = [join(dir, 'broker'), join(dir, 'run')]
    lane ??= await startLane({ tpm: box.tcti, stateDir, runDir })
    roots ??= await openRoots({
      transport: lane.client({ tenant: 'broker', priority: 'unseal' }),
      stateDir,
      releaseKey: fleet.publicKey,
    })
    return { lane, roots, stateDir, runDir }
  }
  const attestation = async (): Promise<NodeAttestation> => {
    if (ak === undefined) throw new TouchstoneError('key.no_attestation')
    const client = openTpmClient((await start()).lane.client({ tenant: 'link', priority: 'attestation' }))
    return { client, ak: await loadNodeAk(client, ak), nodeId: NODE_ID, certificates: [] }
  }
  await box.boot(IMAGE)
  const node: KeyNode = {
    box,
    keysDir: join(dir, 'broker', 'keys'),
    audit,
    disk,
    clock,
    async serve(tenant, { quota, obtain, loadedKeys, uid } = {}) {
      const { lane: running, roots: opened, stateDir, runDir } = await start()
      await opened.unlock()
      const options: KeyServiceOptions = {
        stateDir,
        runDir,
        roots: opened,
        audit: {
          append: (entry) => audit.push(entry),
          get accepting() {
            return !disk.isFull
          },
        },
        clock,
        random: randomBytes,
        log: QUIET,
        version: '0.0.0-test',
        attestation,
        obtain,
      }
      const service = await serveKeys(options, {
        name: tenant,
        uid,
        quota: { ...DEFAULT_KEY_QUOTA, ...quota },
        client: openTpmClient(running.client({ tenant: `keys:${tenant}`, priority: 'apps' })),
        ...(loadedKeys === undefined ? {} : { loadedKeys }),
      })
      served.push(service)
      return { path: service.path, client: openKeysClient(service.path) }
    },
    restart: stop,
    async reboot(image) {
      await stop()
      await box.boot(image)
    },
    async release(number, image) {
      const { roots: opened } = await start()
      await opened.addRelease(await releaseFor(fleet, opened, number, image))
    },
    async enrol() {
      await stop()
      const tools = await openTpmTools(box.tcti)
      try {
        const ek = await createEk(tools, 'L-2')
        const blob = await createKey(tools, ek, 'attestation')
        ak = { ekKind: 'L-2', akPublic: blob.publicArea, akPrivate: blob.privateArea }
        return {
          ek: decode('EK', TPM2B_PUBLIC, ek.publicArea),
          ak: decode('AK', TPM2B_PUBLIC, blob.publicArea),
        }
      } finally {
        await tools.close()
      }
    },
  }
  await node.release(1, IMAGE)
  return node
}

export const NODE_ID = '01932a5b-7c00-7000-8000-00000000000a'
