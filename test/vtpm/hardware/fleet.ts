import { generateKeyPairSync, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { openTransport, startSwtpm } from '../../../src/device/index.ts'
import type { Swtpm, Transport } from '../../../src/device/index.ts'
import {
  COMMANDS,
  decodeResponse,
  digest,
  encodeCommand,
  parsePcrSelection,
  pcrDigestOf,
  signRelease,
} from '../../../src/tpm/index.ts'
import type { ReleaseText } from '../../../src/tpm/index.ts'
import { openRoots } from '../../../src/vtpm/hardware/index.ts'
import type { Roots } from '../../../src/vtpm/hardware/index.ts'

/** The register that the tests' releases are about, in which firmware would measure what it boots. */
const PCR = 4
const PCRS = parsePcrSelection(`sha256:${PCR}`)

/** Who signs releases. */
export interface Fleet {
  readonly publicKey: Buffer
  readonly sign: (message: Buffer) => Buffer
  readonly privateKey: KeyObject
}

export function makeFleet(): Fleet {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    privateKey,
    sign: (message) => sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
  }
}

/** A release for the boot that measures `image`, and nothing else, into the register. */
export async function releaseFor(
  fleet: Fleet,
  node: Pick<Roots, 'nodeRef' | 'releaseCounterName'>,
  release: number,
  image: string,
): Promise<ReleaseText> {
  const value = digest('sha256', Buffer.alloc(32), digest('sha256', Buffer.from(image)))
  const terms = {
    nodeRef: node.nodeRef,
    release,
    pcrs: PCRS,
    pcrDigest: pcrDigestOf('sha256', [value]),
    counterName: node.releaseCounterName,
  }
  return await signRelease(terms, fleet, image)
}

export interface Box {
  readonly stateDir: string
  readonly tcti: string
  /** A power cycle, after which the firmware measures `image`. */
  boot(image: string): Promise<void>
  /** A broker's start: the roots over a connection of their own, closed before the next boot. */
  start(fleet: Fleet, wrap?: (transport: Transport) => Transport): Promise<Roots>
  /** Ends the broker, so that tpm2-tools or another broker can have the TPM. */
  stop(): Promise<void>
  /** Another board behind the same disk. */
  replaceTpm(): Promise<void>
}

/** A node: a disk and a TPM, not booted. */
export async function makeBox(t: TestContext): Promise<Box> {
  const dir = await mkdtemp(join(tmpdir(), 'ts-hw-'))
  let board = 0
  let tpm: Swtpm | undefined
  let roots: Roots | undefined
  const stop = async (): Promise<void> => {
    await roots?.close()
    roots = undefined
  }
  const off = async (): Promise<void> => {
    await stop()
    await tpm?.stop()
    tpm = undefined
  }
  t.after(async () => {
    await off()
    await rm(dir, { recursive: true, force: true })
  })
  const tcti = `swtpm:path=${join(dir, 'sock')}`
  return {
    stateDir: join(dir, 'broker'),
    tcti,
    async boot(image) {
      await off()
      tpm = await startSwtpm({ stateDir: join(dir, `tpm${board}`), socket: join(dir, 'sock'), startup: 'clear' })
      const transport = await openTransport(tcti)
      const digests = [{ hashAlg: 'sha256', digest: digest('sha256', Buffer.from(image)) }] as const
      const command = encodeCommand(COMMANDS.PCR_Extend, { pcrHandle: PCR }, { digests })
      decodeResponse(COMMANDS.PCR_Extend, await transport.send(command))
      await transport.close()
    },
    async start(fleet, wrap = (transport) => transport) {
      await stop()
      const transport = wrap(await openTransport(tcti))
      try {
        roots = await openRoots({ transport, stateDir: join(dir, 'broker'), releaseKey: fleet.publicKey })
      } catch (error) {
        await transport.close()
        throw error
      }
      return roots
    },
    stop,
    async replaceTpm() {
      await off()
      board += 1
    },
  }
}
