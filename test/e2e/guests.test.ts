import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { parse } from 'yaml'
import { z } from 'zod'
import { askLocally } from '../../src/agent/local-socket.ts'
import { isEkKind } from '../../src/device/index.ts'
import {
  approvedReleaseList,
  encodeIssueRequest,
  localAttestationKey,
  obtainAnswer,
  placementAnswer,
  placementList,
} from '../../src/wire/index.ts'
import { openStage, runCommand } from '../../scripts/stage/processes.ts'
import { startVerifier, waitFor, writeNodeConfig } from '../../scripts/stage/fleet.ts'
import { manufactureBoxes, prepareFleet } from '../../scripts/stage/boxes.ts'
import { powerOn, readBoot } from '../../swtpm/index.ts'
import { guestEk, publicBytes } from '../ca/guest-keys.ts'
import { withBrokerRoots } from '../fixtures/node-roots.ts'

const guest = '6f1d0e5c-3f7e-4a55-9d0e-0c7b0f6f2a11'
const PCRS = 'sha256:0,2,4,7'

test('an operator places a guest and approves an update, and the node obtains both through its agent', async (t) => {
  const stage = await openStage()
  t.after(async () => {
    await stage.end()
    await stage.discard()
  })
  const [box] = await manufactureBoxes(stage, 1)
  assert.ok(box)
  const verifier = await startVerifier(stage, await prepareFleet(stage, [box]))
  const power = await powerOn({ directory: box.directory, boot: await readBoot('honest') })
  stage.onEnd(async () => {
    await power.powerOff()
  })
  const config = await writeNodeConfig(stage, verifier, { ...power, ...box })
  const operator = async (...args: readonly string[]): Promise<unknown> =>
    JSON.parse(await runCommand([...args, '--json'], verifier.environment))
  const agent = stage.start('agent', ['node', 'run', '--config', config])
  const { stateDir } = z.object({ stateDir: z.string() }).parse(parse(await readFile(config, 'utf8')))
  await waitFor('the agent to be ready', agent, async () => {
    const answer = await askLocally(stateDir, 'GET', '/readyz')
    return answer?.status === 200 ? true : undefined
  })
  const [node = ''] = await verifier.nodes()
  const obtain = async (kind: string, request: Buffer) => {
    const body = { kind, request: request.toString('base64url') }
    const answer = await askLocally(stateDir, 'POST', '/v1/obtain', body)
    assert.ok(answer !== undefined)
    return answer
  }

  await t.test('a guest has no certificate before it is placed, and has one afterwards', async () => {
    const ask = { guest, tenant: 'edge', generation: 1, ekPublic: publicBytes(guestEk()) }
    const request = encodeIssueRequest('guestEk', ask)
    const refused = await obtain('guestEk', request)
    assert.deepEqual([refused.status, Reflect.get(Object(refused.body), 'code')], [403, 'issue.not_placed'])
    placementAnswer.parse(await operator('place', guest, node, '--tenant', 'edge'))
    const { body } = await obtain('guestEk', request)
    assert.equal(obtainAnswer.parse(body).issued.kind, 'guestEk')
    const { items } = placementList.parse(await operator('placement', 'list', '--node', node))
    assert.deepEqual(
      items.map((item) => [item.guest, item.state, item.generation]),
      [[guest, 'placed', 1]],
    )
  })

  await t.test('an update that was approved comes with the next request for releases', async () => {
    const ak = localAttestationKey.parse((await askLocally(stateDir, 'GET', '/v1/attestation-key'))?.body)
    assert.ok(isEkKind(ak.ekKind))
    const { ekKind, akPublic, akPrivate } = ak
    const broker = { tcti: power.tcti, stateDir: join(stage.directory, 'broker'), ak: { ekKind, akPublic, akPrivate } }
    const ask = async () =>
      obtain(
        'release',
        encodeIssueRequest('release', await withBrokerRoots(broker, (open) => open.roots.releaseRequest(open, PCRS))),
      )
    assert.equal((await ask()).status, 200)
    const pcrs = join(stage.directory, 'update.json')
    const values = Object.fromEntries([0, 2, 4, 7].map((pcr) => [String(pcr), 'ab'.repeat(32)]))
    await writeFile(pcrs, JSON.stringify({ format: 'tcg2', pcrs: { sha256: values } }))
    const listed = approvedReleaseList.parse(
      await operator('release', 'approve', node, '--pcrs', pcrs, '--description', 'update'),
    )
    assert.deepEqual(
      listed.items.map(({ release, origin }) => [release, origin]),
      [
        [3, 'operator'],
        [2, 'verifier'],
      ],
    )
    assert.deepEqual(approvedReleaseList.parse(await operator('release', 'list', node)), listed)
    const { issued } = obtainAnswer.parse((await ask()).body)
    assert.ok(issued.kind === 'release')
    assert.deepEqual(
      issued.releases.map(({ release }) => release),
      [3, 2],
    )
  })

  await t.test('a guest that was removed obtains nothing any more', async () => {
    await operator('placement', 'remove', guest)
    const ask = { guest, tenant: 'edge', generation: 2, ekPublic: publicBytes(guestEk()) }
    const refused = await obtain('guestEk', encodeIssueRequest('guestEk', ask))
    assert.equal(refused.status, 403)
  })
})
