import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import { storageKeyTemplate } from '../../../src/tpm/index.ts'
import { openRoots, openTpmClient } from '../../../src/vtpm/hardware/index.ts'
import { startLane } from '../../../src/vtpm/lane/index.ts'
import { makeBox, makeFleet, releaseFor } from './fleet.ts'

const QUOTA = { objects: 16, sessions: 8, nvBytes: 0, commandsPerSecond: 1e6, burst: 1e6, nvWritesPerHour: 1e6 }

test('the roots share the lane with a tenant whose parent key they made', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  const lane = await startLane({ tpm: box.tcti, stateDir: box.stateDir, runDir: join(box.stateDir, '..', 'run') })
  try {
    const transport = lane.client({ tenant: 'broker', priority: 'unseal' })
    const roots = await openRoots({ transport, stateDir: box.stateDir, releaseKey: fleet.publicKey })
    await roots.addRelease(await releaseFor(fleet, roots, 1, 'system'))
    assert.equal((await roots.unlock()).release, 1)
    const parent = roots.parentLoader(await roots.createChild(storageKeyTemplate()))
    const config = {
      name: 'app',
      class: 'app',
      priority: 'apps',
      quota: QUOTA,
      nvRange: undefined,
      persistentRange: undefined,
      idleTimeoutMs: 60_000,
    } as const
    const { path } = await lane.serve({ config, uid: undefined, parent })
    const env = { TPM2TOOLS_TCTI: `swtpm:path=${path}`, TSS2_LOG: 'all+none' }
    const file = (name: string) => join(box.stateDir, name)
    const tenant = async () => {
      const create = ['-C', '0x81000001', '-G', 'ecc', '-u', file('pub'), '-r', file('priv'), '-a', ATTRIBUTES]
      await execa('tpm2_create', create, { env })
      await execa('tpm2_load', ['-C', '0x81000001', '-u', file('pub'), '-r', file('priv'), '-c', file('ctx')], { env })
      await execa('tpm2_sign', ['-c', file('ctx'), '-o', file('signature'), file('pub')], { env })
    }
    const broker = async () => {
      const blob = await roots.seal(Buffer.from('key of a guest'))
      for (let round = 0n; round < 10n; round++) {
        assert.equal(await roots.ledgerCounter.increment(), 2n + round)
        assert.equal((await roots.unseal(blob)).toString(), 'key of a guest')
      }
    }
    await Promise.all([tenant(), broker()])
    const other = openTpmClient(lane.client({ tenant: 'attestation', priority: 'attestation' }))
    await other.scope(async (scope) => {
      const session = await scope.startSession('hmac', roots.storageRoot)
      assert.ok('session' in session.use())
    })
    await other.close()
    await roots.close()
  } finally {
    await lane.close()
  }
})

const ATTRIBUTES = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign'
