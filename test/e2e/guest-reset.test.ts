import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import { z } from 'zod'
import { manufactureBoxes, prepareFleet } from '../../scripts/stage/boxes.ts'
import { brokerNode } from '../../scripts/stage/broker-node.ts'
import { startVerifier, waitFor } from '../../scripts/stage/fleet.ts'
import { keepersOf } from '../../scripts/stage/keepers.ts'
import { openStage } from '../../scripts/stage/processes.ts'
import { powerOn, readBoot } from '../../swtpm/index.ts'
import { bootFirmware, untilMeasured } from '../vtpm/guest/instance/firmware-machine.ts'

const TENANT = 'web'
const resetLine = z.object({ count: z.int() })

test('guests’ control sockets outlive a broker that is killed', async (t) => {
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
  const node = brokerNode(stage, { verifier, box, power, tenants: [TENANT], also: { guests: { pool: 1 } } })
  await node.start()
  const { runDir } = node.broker
  const [machine, container] = [randomUUID(), randomUUID()]
  await node.broker.ask('POST', '/v1/guests', { guest: machine, tenant: TENANT, attachment: 'qemu' })
  await node.broker.ask('POST', '/v1/guests', { guest: container, tenant: TENANT, attachment: 'socket' })
  const [{ running: first }, { running: second }] = [
    await node.broker.start(machine),
    await node.broker.start(container),
  ]
  const controlSocket = first?.control ?? ''
  // A new connection to both sockets, as every tool makes it.
  const tool = async () => {
    const { stdout } = await execa('tpm2_getrandom', ['-T', `swtpm:path=${second?.data ?? ''}`, '--hex', '8'])
    assert.match(stdout, /^[0-9a-f]{16}$/)
  }
  const vm = await bootFirmware(t, { dir: stage.directory, controlSocket, device: 'tpm-crb' })
  const { resetCount } = await untilMeasured(runDir, machine)
  const [keeper] = await keepersOf(runDir)
  /** Firmware finds empty registers, and measures the same again. */
  const reset = async (count: number) => {
    assert.ok('return' in (await vm.qmp('system_reset')))
    await untilMeasured(runDir, machine, resetCount + count)
    assert.ok('return' in (await vm.qmp('query-status')))
  }

  await t.test('while it is dead, a virtual machine is reset and tools open a guest’s sockets', async () => {
    await node.broker.command.kill()
    await reset(1)
    await tool()
  })

  await t.test('also while the next one is locked, and when that one is killed too', async () => {
    const { stateDir } = node.broker
    await node.agent.kill()
    await rename(join(stateDir, 'releases'), join(stateDir, 'kept'))
    const locked = await node.startBroker()
    assert.match((await locked.whyLocked()).code, /^(?:vtpm\.release_missing|broker\.agent)$/)
    await reset(2)
    await tool()
    await locked.command.kill()
    await tool()
    await rm(join(stateDir, 'releases'), { recursive: true, force: true })
    await rename(join(stateDir, 'kept'), join(stateDir, 'releases'))
  })

  await t.test('the next one that opens takes them over, and the machine is reset again', async () => {
    const next = await node.startBroker()
    await next.status('the broker to open its secrets', ({ state }) => state === 'ready')
    assert.deepEqual(await keepersOf(runDir), [keeper])
    assert.equal((await next.describe(machine)).running?.attached, true)
    await reset(3)
    await tool()
    const told = (await readFile(next.command.log, 'utf8')).split('\n').filter((line) => line.includes('was reset'))
    // Switched on, by the first broker; what was while nobody could be told; and the last.
    assert.deepEqual(
      told.map((line) => resetLine.parse(JSON.parse(line)).count),
      [1, 3, 4],
    )
  })

  await t.test('the machine is switched off in order, and with the last guest and the broker all is over', async () => {
    await vm.qmp('quit')
    await vm.exited
    await waitFor('the TPM to be let go', node.broker.command, async () => {
      const { running } = await node.broker.describe(machine)
      return running?.attached === false ? true : undefined
    })
    const { clean } = await node.broker.stop(machine)
    assert.equal(clean, true)
    await node.broker.stop(container)
    await node.stop()
    const { log } = node.broker.command
    const nothingElse = new Promise<number>(() => undefined)
    await waitFor('the control keeper to end', { ended: nothingElse, log }, async () =>
      (await keepersOf(runDir)).length === 0 ? true : undefined,
    )
  })
})
