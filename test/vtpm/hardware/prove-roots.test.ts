import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { z } from 'zod'
import { checkRootsProof } from '../../../src/attest/index.ts'
import { decode } from '../../../src/codec/index.ts'
import { createEk, createKey, openTpmTools } from '../../../src/device/index.ts'
import { TPM2B_PUBLIC, TPMS_ATTEST } from '../../../src/tpm/index.ts'
import { loadNodeAk } from '../../../src/vtpm/hardware/index.ts'
import type { ReleaseRequest } from '../../../src/wire/index.ts'
import { makeBox, makeFleet, releaseFor } from './fleet.ts'

async function enrolled(tcti: string) {
  const tools = await openTpmTools(tcti)
  try {
    const ek = await createEk(tools, 'H-3')
    const { publicArea, privateArea } = await createKey(tools, ek, 'attestation')
    return {
      ek: decode('ek', TPM2B_PUBLIC, ek.publicArea),
      ak: decode('ak', TPM2B_PUBLIC, publicArea),
      blob: { ekKind: 'H-3', akPublic: publicArea, akPrivate: privateArea },
    } as const
  } finally {
    await tools.close()
  }
}

/** The counters of the TPM when the last part was attested stand for those of the quote. */
function check({ ek, ak }: Awaited<ReturnType<typeof enrolled>>, ask: ReleaseRequest): void {
  const { attest } = ask.proof?.transportKey ?? assert.fail()
  checkRootsProof({ ek, ak, ask, quoted: decode('attest', TPMS_ATTEST, attest).clockInfo })
}

test('the roots are proven before a release opens anything, after a restart, and as the counter moves', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  const node = await enrolled(box.tcti)
  for (const start of ['first', 'second', 'after a release']) {
    const roots = await box.start(fleet)
    const ak = await loadNodeAk(roots.client, node.blob)
    const ask = await roots.releaseRequest({ client: roots.client, ak }, 'sha256:4')
    check(node, ask)
    assert.equal(ask.counter, start === 'after a release' ? 2 : 1)
    await ak.close()
    if (start !== 'second') continue
    await roots.addRelease(await releaseFor(fleet, roots, 2, 'system'))
    await roots.unlock()
    await roots.commitRelease()
  }
  await box.boot('system')
  const roots = await box.start(fleet)
  const ak = await loadNodeAk(roots.client, node.blob)
  check(node, await roots.releaseRequest({ client: roots.client, ak }, 'sha256:4'))
  await ak.close()
})

test('roots of a version that could not prove them, and creation data that were changed, are not used', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  const node = await enrolled(box.tcti)
  await box.start(fleet)
  await box.stop()
  const file = join(box.stateDir, 'hardware', 'roots.json')
  const kept = await readFile(file, 'utf8')
  await writeFile(file, kept.replace('hardware/v2', 'hardware/v1'))
  await assert.rejects(box.start(fleet), { code: 'vtpm.hardware_state' })
  const { creationData } = z
    .looseObject({ transportKey: z.looseObject({ creationData: z.string() }) })
    .parse(JSON.parse(kept)).transportKey
  const data = Buffer.from(creationData, 'base64url')
  data.writeUInt8(data.readUInt8(data.byteLength - 5) ^ 1, data.byteLength - 5)
  await writeFile(file, kept.replace(creationData, data.toString('base64url')))
  const roots = await box.start(fleet)
  const ak = await loadNodeAk(roots.client, node.blob)
  await assert.rejects(roots.releaseRequest({ client: roots.client, ak }, 'sha256:4'), { code: 'device.tpm' })
  await ak.close()
})
