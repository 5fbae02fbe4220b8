import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { z } from 'zod'
import { guestNv } from '../../scripts/chaos/guest-nv.ts'
import { manufactureBoxes, prepareFleet } from '../../scripts/stage/boxes.ts'
import { brokerNode } from '../../scripts/stage/broker-node.ts'
import type { Broker } from '../../scripts/stage/broker.ts'
import { startVerifier, waitFor, writeNodeConfig, type Verifier } from '../../scripts/stage/fleet.ts'
import { openStage, runCommand } from '../../scripts/stage/processes.ts'
import type { ErrorCode } from '../../src/core/index.ts'
import { nodeList } from '../../src/wire/index.ts'
import { measureIntoTpm, powerOn, readBoot } from '../../swtpm/index.ts'

/** A refusal as an operator sees it: exit 1, the code, and the hint of that code. */
const refusesWith = (code: ErrorCode) => (error: unknown) =>
  error instanceof Error && error.message.includes(`[${code}]`) && error.message.includes('hint: ')

test('guests move and come back between two nodes, and nothing of them runs twice', async (t) => {
  const stage = await openStage()
  t.after(async () => {
    await stage.end()
    await stage.discard()
  })
  const at = (name: string) => join(stage.directory, name)
  const boxes = await manufactureBoxes(stage, 2)
  const verifier = await startVerifier(stage, { ...(await prepareFleet(stage, boxes)), interval: 3 })
  await writeFile(at('recovery.pass'), 'a passphrase of the recovery key', { mode: 0o600 })
  const recoveryKey = ['--key', at('recovery.pem'), '--passphrase-file', at('recovery.pass')]
  await runCommand(['recovery', 'create', ...recoveryKey, '--public', at('recovery.pub')])
  const start = async (name: string, box: (typeof boxes)[number] | undefined) => {
    assert.ok(box)
    const power = await powerOn({ directory: box.directory, boot: await readBoot('honest') })
    stage.onEnd(async () => {
      await power.powerOff()
    })
    const also = { recoveryKey: at('recovery.pub') }
    const node = brokerNode(stage, { verifier, box, power, name, tenants: ['web'], also })
    await node.start()
    return { node, id: await node.nodeId() }
  }
  const [one, two] = await Promise.all([start('1', boxes[0]), start('2', boxes[1])])
  const operator = (...args: readonly string[]) => runCommand(args, verifier.environment)
  const grant = async (name: string, ...args: readonly string[]) => {
    await writeFile(at(name), await operator(...args))
    return ['--grant', at(name)]
  }
  const guest = randomUUID()
  let counted: bigint

  await t.test('a backup comes back on another node with the recovery key and a grant', async () => {
    const lost = randomUUID()
    await operator('place', lost, one.id, '--tenant', 'web')
    await one.node.broker.create(lost, 'web')
    const { running } = await one.node.broker.start(lost)
    const nv = await guestNv(running?.data ?? '', { define: true })
    await nv.write(4711n)
    await nv.close()
    await one.node.broker.stop(lost)
    const backup = z
      .object({ digest: z.string(), generation: z.int(), escrowed: z.literal(true) })
      .parse(await one.node.broker.run('vtpm', 'backup', lost, '--out', at('backup')))
    const { transportKey } = z.object({ transportKey: z.string() }).parse(await two.node.broker.run('vtpm', 'node'))
    const rewrap = ['recovery', 'rewrap', ...recoveryKey, '--backup', at('backup'), '--to', transportKey]
    await runCommand([...rewrap, '--out', at('rewrapped')])

    const state = ['--digest', backup.digest, '--generation', String(backup.generation)]
    await assert.rejects(
      two.node.broker.run('vtpm', 'restore', lost, '--backup', at('rewrapped'), '--yes'),
      refusesWith('guest.grant_needed'),
    )
    const allowed = await grant('restore', 'placement', 'restore', lost, two.id, ...state)
    await assert.rejects(
      one.node.broker.run('vtpm', 'restore', lost, '--backup', at('backup'), ...allowed),
      refusesWith('guest.grant_rejected'),
    )
    await assert.rejects(
      two.node.broker.run('vtpm', 'restore', lost, '--backup', at('backup'), ...allowed),
      refusesWith('guest.key_locked'),
    )
    await two.node.broker.run('vtpm', 'restore', lost, '--backup', at('rewrapped'), ...allowed)
    await assert.rejects(
      two.node.broker.run('vtpm', 'restore', lost, '--backup', at('rewrapped'), ...allowed),
      refusesWith('guest.grant_rejected'),
    )
    const back = await two.node.broker.start(lost)
    assert.ok(back.generation > backup.generation)
    const there = await guestNv(back.running?.data ?? '', { define: false })
    assert.equal(await there.read(), 4711n)
    await there.close()
    await two.node.broker.stop(lost)
  })

  await t.test('a guest moves under one grant, once, and its source refuses it from then on', async () => {
    await operator('place', guest, one.id, '--tenant', 'web')
    await one.node.broker.create(guest, 'web')
    const { running } = await one.node.broker.start(guest)
    const nv = await guestNv(running?.data ?? '', { define: true })
    counted = await nv.increment()
    await nv.close()
    await one.node.broker.stop(guest)
    await cp(one.node.broker.stateDir, at('copy'), { recursive: true })

    const moving = await grant('move', 'place', guest, two.id)
    await one.node.broker.run('vtpm', 'export', guest, ...moving, '--out', at('package'))
    await assert.rejects(one.node.broker.run('vtpm', 'start', guest), refusesWith('guest.retired'))
    await assert.rejects(
      one.node.broker.run('vtpm', 'import', at('package'), ...moving),
      refusesWith('guest.grant_rejected'),
    )
    await two.node.broker.run('vtpm', 'import', at('package'), ...moving)
    await assert.rejects(
      two.node.broker.run('vtpm', 'import', at('package'), ...moving),
      refusesWith('guest.grant_rejected'),
    )
    const broker = two.node.broker
    const arrived = await waitFor('a certificate of its new node', broker.command, async () => {
      const detail = await broker.describe(guest)
      return detail.certificate === 'pending' ? undefined : detail
    })
    assert.equal(arrived.state, 'stopped')
    const started = await broker.start(guest)
    assert.equal(started.certificate, 'written')
    const there = await guestNv(started.running?.data ?? '', { define: false })
    assert.equal(await there.count(), counted)
    await there.close()
    assert.equal((await placementOf(verifier, guest))?.node, two.id)
  })

  await t.test('on its new node it attests as that guest, linked to the hardware there', async () => {
    const { running } = await two.node.broker.describe(guest)
    const tcti = `swtpm:path=${running?.data ?? ''}`
    const booted = await measureIntoTpm({ tcti, boot: await readBoot('honest'), logs: at('guest-logs') })
    const link = `unix:${join(running?.data ?? '', '..', 'link.sock')}`
    const inside = { ...booted, model: 'Virtual machine', serial: guest, link }
    const config = await writeNodeConfig(stage, verifier, inside, 'inside')
    const agent = stage.start('inside', ['node', 'run', '--config', config])
    const id = await waitFor('the guest to be admitted', agent, async () => {
      const { items } = nodeList.parse(await verifier.get('/v1/nodes'))
      return items.find((item) => item.guest?.guest === guest)?.nodeId
    })
    const [verdict] = await verifier.attestations(id, '', 1, agent)
    assert.equal(verdict?.status, 'affirming')
    const linked = verdict.checks.filter(({ check, outcome }) => check.startsWith('link.') && outcome === 'pass')
    assert.ok(linked.length > 2)
    await agent.stop()
  })

  await t.test('the disk of before the move, put back, starts nothing', async () => {
    const { stateDir } = one.node.broker
    await one.node.broker.command.stop()
    await cp(at('copy'), at('copy-1'), { recursive: true })
    const newest = await readFile(join(stateDir, 'ledger'))
    await cp(join(at('copy'), 'ledger'), join(stateDir, 'ledger'))
    await cp(join(at('copy'), 'guests'), join(stateDir, 'guests'), { recursive: true })
    const broker = await one.node.startBroker()
    assert.equal((await broker.whyLocked()).code, 'ledger.rolled_back')
    await writeFile(join(stateDir, 'ledger'), newest)
    await broker.open()
    await assert.rejects(broker.run('vtpm', 'start', guest), refusesWith('guest.retired'))
  })

  await t.test('the state directory of one node on another opens nothing, and is left as it is', async () => {
    const { broker } = two.node
    await two.node.broker.command.stop()
    await rm(broker.stateDir, { recursive: true })
    await cp(at('copy-1'), broker.stateDir, { recursive: true })
    const ledger = await readFile(join(broker.stateDir, 'ledger'))
    const clone: Broker = await two.node.startBroker()
    const { code, hint } = await clone.whyLocked()
    assert.deepEqual([code, hint.length > 20], ['vtpm.sealed_elsewhere', true])
    assert.deepEqual(await readFile(join(broker.stateDir, 'ledger')), ledger)
  })
})

async function placementOf(verifier: Verifier, guest: string) {
  const list = z.object({ items: z.array(z.looseObject({ guest: z.string(), node: z.string() })) })
  return list.parse(await verifier.get('/v1/placements')).items.find((item) => item.guest === guest)
}
