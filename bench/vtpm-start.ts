import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { openTransport, startSwtpm } from '../src/device/index.ts'
import { parsePcrSelection, pcrDigestOf, signRelease } from '../src/tpm/index.ts'
import { openGuests, openSwtpmInstances } from '../src/vtpm/guest/index.ts'
import { openRoots, type Roots } from '../src/vtpm/hardware/index.ts'
import type { Stage } from '../scripts/stage/processes.ts'
import { against, type Bench } from './framework.ts'

const GUESTS = 21
/** For the pool to be full again: it fills behind whatever else there is to do. */
const REFILL = 400

/** A node's own TPM, a swtpm here, with the release that it runs signed for it. */
async function rootsOf(stage: Stage): Promise<Roots> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signer = {
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    sign: (message: Buffer) => sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' as const }),
  }
  const tpm = await startSwtpm({ stateDir: join(stage.directory, 'hardware'), startup: 'clear' })
  stage.onEnd(async () => {
    await tpm.stop()
  })
  const transport = await openTransport(tpm.tcti)
  const stateDir = join(stage.directory, 'state')
  const roots = await openRoots({ transport, stateDir, releaseKey: signer.publicKey })
  stage.onEnd(() => roots.close())
  const terms = {
    nodeRef: roots.nodeRef,
    release: 1,
    pcrs: parsePcrSelection('sha256:4'),
    pcrDigest: pcrDigestOf('sha256', [Buffer.alloc(32)]),
    counterName: roots.releaseCounterName,
  }
  await roots.addRelease(await signRelease(terms, signer, 'bench'))
  await roots.unlock()
  return roots
}

/**
 * From the request to start a guest to its socket being there: its key unsealed by the node's TPM, its state written under
 * the next generation's key, the ledger anchored. First with state from the pool, then with state that a stop left.
 */
export const vtpmStart: Bench = async (stage) => {
  const roots = await rootsOf(stage)
  const instances = await openSwtpmInstances({ runDir: join(stage.directory, 'run'), poolSize: 2 })
  const guests = await openGuests({
    stateDir: join(stage.directory, 'state'),
    roots,
    instances,
    recoveryKey: undefined,
    grantKey: () => undefined,
    withoutGrant: 'refuse',
    nodeId: () => undefined,
    certificatePolicy: 'later',
    obtainEkCertificate: () => Promise.resolve('pending'),
    clock: { now: () => Date.now() },
    log: { info: () => undefined, warn: () => undefined },
  })
  stage.onEnd(async () => {
    for (const { guest, state } of await guests.list()) {
      if (state === 'running') await guests.stop(guest, { force: true })
    }
    await guests.close()
    await instances.close()
  })
  const first: number[] = []
  const again: number[] = []
  const timed = async (samples: number[], guest: string) => {
    const begin = performance.now()
    await guests.start(guest)
    samples.push(performance.now() - begin)
  }
  for (let index = 0; index < GUESTS; index += 1) {
    const { guest } = await guests.create({ tenant: `t${randomBytes(2).toString('hex')}`, attachment: 'socket' })
    await delay(REFILL)
    await timed(first, guest)
    await guests.stop(guest)
    await timed(again, guest)
  }
  return [against('vtpm-start', first), against('vtpm-restart', again)]
}
