import assert from 'node:assert/strict'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { keepersOf } from '../../../../scripts/stage/keepers.ts'
import type { Instance } from '../../../../src/vtpm/guest/instance/types.ts'
import { bench, type Bench } from './bench.ts'
import { controlClient } from './control-client.ts'
import { bootFirmware, lookAt, untilMeasured } from './firmware-machine.ts'

const ZEROS = '00'.repeat(32)

const boot = (t: TestContext, { dir }: Bench, { controlSocket }: Instance, device: 'tpm-crb' | 'tpm-tis') =>
  bootFirmware(t, { dir, controlSocket, device })
const look = ({ dir }: Bench, { guest }: Instance) => lookAt(join(dir, 'run'), guest)
const measured = ({ dir }: Bench, { guest }: Instance, resetCount?: number) =>
  untilMeasured(join(dir, 'run'), guest, resetCount)

async function untilDetached(instance: Instance): Promise<void> {
  while (instance.attached) await delay(5)
}

for (const device of ['tpm-crb', 'tpm-tis'] as const) {
  void test(`QEMU's ${device} boots OVMF on a guest's TPM, which is reset with the machine and never else`, async (t) => {
    const b = await bench(t)
    const { instance } = await b.start('qemu', await b.instances.take())
    const machine = await boot(t, b, instance, device)
    const before = await measured(b, instance)
    await b.told(instance)
    assert.deepEqual(b.resets, [instance.guest])

    const hostile = await controlClient(instance.controlSocket)
    for (const hex of ['0000000200000000', '0000000e', '00000006', '0000000504']) {
      assert.equal(await hostile.send(hex), 'closed')
    }
    hostile.close()
    const after = await look(b, instance)
    assert.equal(after?.resetCount, before.resetCount)
    assert.notEqual(after.pcr0, ZEROS)
    await b.told(instance)
    assert.equal(b.resets.length, 1)

    const migrated = await machine.qmp('migrate', { uri: 'exec:cat >/dev/null' })
    assert.ok('error' in migrated, 'a guest leaves through the broker alone')

    await machine.qmp('system_reset')
    await b.told(instance)
    assert.equal(b.resets.length, 2)
    await measured(b, instance, before.resetCount + 1)
    await b.told(instance)
    assert.ok(b.refused.every(({ command }) => command === 'connect'))

    await machine.qmp('quit')
    await machine.exited
    await untilDetached(instance)
    assert.equal((await b.instances.stop(instance)).clean, true)
  })
}

void test('a machine that is killed leaves a TPM that is shut down in order, and the next finds it', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('qemu', await b.instances.take())
  const first = await boot(t, b, instance, 'tpm-crb')
  const { resetCount } = await measured(b, instance)
  first.kill()
  await first.exited
  await untilDetached(instance)
  await boot(t, b, instance, 'tpm-tis')
  await measured(b, instance, resetCount + 1)
  assert.equal((await b.instances.stop(instance, { force: true })).clean, true)
})

void test('a machine is reset while no broker runs, and when the next one does', async (t) => {
  const b = await bench(t)
  const { instance, dir, key } = await b.start('qemu', await b.instances.take())
  const { guest } = instance
  const machine = await boot(t, b, instance, 'tpm-crb')
  const { resetCount } = await measured(b, instance)
  await b.instances.close()
  assert.ok('return' in (await machine.qmp('system_reset')))
  await measured(b, instance, resetCount + 1)
  const next = await b.another()
  const adopted = await next.adopt({ guest, dir, key })
  assert.equal(adopted?.attached, true)
  assert.deepEqual(b.resets, [guest, guest], 'the one that nobody saw was told')
  await machine.qmp('system_reset')
  await measured(b, adopted, resetCount + 2)
  await machine.qmp('quit')
  await machine.exited
  await untilDetached(adopted)
  assert.equal((await next.stop(adopted)).clean, true)
})

void test('a machine runs on when its control keeper dies, and ends at its next reset instead of going on without control', async (t) => {
  const b = await bench(t)
  const { instance } = await b.start('qemu', await b.instances.take())
  const machine = await boot(t, b, instance, 'tpm-crb')
  const { resetCount } = await measured(b, instance)
  const [keeper = 0] = await keepersOf(join(b.dir, 'run'))
  process.kill(keeper, 'SIGKILL')
  while (!b.news.some(({ what }) => what === 'lost')) await delay(2)
  await b.told(instance)
  assert.equal(instance.attached, true)
  assert.equal((await look(b, instance))?.resetCount, resetCount)
  // Its answer is lost with the machine.
  machine.qmp('system_reset').catch(() => undefined)
  await machine.exited
  await untilDetached(instance)
  await boot(t, b, instance, 'tpm-tis')
  await measured(b, instance, resetCount + 1)
  assert.equal((await b.instances.stop(instance, { force: true })).clean, true)
})
