import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readdir } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { responseCodeOf, swtpmControl } from '../../../../src/device/index.ts'
import { COMMANDS } from '../../../../src/tpm/index.ts'
import { findSwtpm } from '../../../../src/vtpm/guest/instance/program.ts'
import { withScratchTpm } from '../../../../src/vtpm/guest/instance/scratch-tpm.ts'
import type { Instance } from '../../../../src/vtpm/guest/instance/types.ts'
import { bench, type Bench } from './bench.ts'
import { controlClient } from './control-client.ts'

const OVMF = '/usr/share/OVMF'
const ZEROS = '00'.repeat(32)

interface Machine {
  readonly qmp: (command: string, args?: object) => Promise<Record<string, unknown>>
  readonly exited: Promise<unknown>
  kill(): void
}

/** Firmware and nothing else: it measures itself and its variables, finds nothing to boot, and waits. */
async function boot(t: TestContext, b: Bench, instance: Instance, device: 'tpm-crb' | 'tpm-tis'): Promise<Machine> {
  const vars = join(b.dir, 'vars.fd')
  await copyFile(join(OVMF, 'OVMF_VARS_4M.fd'), vars)
  const qmpPath = join(b.dir, `qmp-${device}`)
  const child = spawn(
    'qemu-system-x86_64',
    [
      ...['-machine', 'q35,accel=tcg', '-m', '256', '-nodefaults', '-display', 'none'],
      ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${join(OVMF, 'OVMF_CODE_4M.fd')}`],
      ...['-drive', `if=pflash,format=raw,unit=1,file=${vars}`],
      ...['-chardev', `socket,id=tpm,path=${instance.controlSocket}`, '-tpmdev', 'emulator,id=tpm0,chardev=tpm'],
      ...['-device', `${device},tpmdev=tpm0`, '-qmp', `unix:${qmpPath},server=on,wait=off`],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  const exited = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const socket = await connectWhenThere(qmpPath)
  t.after(() => socket.destroy())
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
  await lines.next()
  const qmp: Machine['qmp'] = async (command, args = {}) => {
    socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`)
    for (;;) {
      const { value, done } = await lines.next()
      if (done === true) return {}
      const message = JSON.parse(value) as Record<string, unknown>
      if ('return' in message || 'error' in message) return message
    }
  }
  await qmp('qmp_capabilities')
  return { qmp, exited, kill: () => child.kill('SIGKILL') }
}

async function connectWhenThere(path: string): Promise<Socket> {
  for (;;) {
    const socket = createConnection({ path })
    try {
      await once(socket, 'connect')
      socket.on('error', () => undefined)
      return socket
    } catch {
      await delay(10)
    }
  }
}

interface Look {
  /** Counts TPM2_Startup(CLEAR). */
  readonly resetCount: number
  readonly pcr0: string
}

/** The machine's TPM, whose state is copied through the broker's own control socket and asked; undefined before firmware started it. */
async function look(b: Bench, instance: Instance): Promise<Look | undefined> {
  const runDir = join(b.dir, 'run', 'i')
  const own = (await readdir(runDir)).find((name) => name.startsWith(`${instance.guest.slice(-12)}-`)) ?? ''
  const live = swtpmControl(join(runDir, own, 'ctrl'))
  const [permanent, volatile] = [await live.getStateBlob('permanent'), await live.getStateBlob('volatile')]
  return await withScratchTpm(
    { program: await findSwtpm(), privateDir: runDir },
    { from: 'blob', blob: permanent },
    async ({ control, client }) => {
      await control.stop()
      await control.setStateBlob('permanent', permanent)
      await control.setStateBlob('volatile', volatile)
      await control.init()
      try {
        const { pcrValues } = await client.run(
          COMMANDS.PCR_Read,
          {},
          { pcrSelectionIn: [{ hash: 'sha256', pcrs: [0] }] },
        )
        const { currentTime } = await client.run(COMMANDS.ReadClock, {}, {})
        return { resetCount: currentTime.clockInfo.resetCount, pcr0: pcrValues[0]?.toString('hex') ?? '' }
      } catch (error) {
        if (responseCodeOf(error) === undefined) throw error
        return undefined
      }
    },
  )
}

/** Firmware has started the TPM after reset number `resetCount`, where one is given, and has begun to measure. */
async function untilMeasured(b: Bench, instance: Instance, resetCount?: number): Promise<Look> {
  for (;;) {
    const now = await look(b, instance)
    if (now !== undefined && now.pcr0 !== ZEROS && (resetCount ?? now.resetCount) === now.resetCount) return now
    await delay(20)
  }
}

async function untilDetached(instance: Instance): Promise<void> {
  while (instance.attached) await delay(5)
}

for (const device of ['tpm-crb', 'tpm-tis'] as const) {
  void test(`QEMU's ${device} boots OVMF on a guest's TPM, which is reset with the machine and never else`, async (t) => {
    const b = await bench(t)
    const { instance } = await b.start('qemu', await b.instances.take())
    const machine = await boot(t, b, instance, device)
    const before = await untilMeasured(b, instance)
    assert.deepEqual(b.resets, [instance.guest])

    const hostile = await controlClient(instance.controlSocket)
    for (const hex of ['0000000200000000', '0000000e', '00000006', '0000000504']) {
      assert.equal(await hostile.send(hex), 'closed')
    }
    hostile.close()
    const after = await look(b, instance)
    assert.equal(after?.resetCount, before.resetCount)
    assert.notEqual(after.pcr0, ZEROS)
    assert.equal(b.resets.length, 1)

    const migrated = await machine.qmp('migrate', { uri: 'exec:cat >/dev/null' })
    assert.ok('error' in migrated, 'a guest leaves through the broker alone')

    await machine.qmp('system_reset')
    assert.equal(b.resets.length, 2)
    await untilMeasured(b, instance, before.resetCount + 1)
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
  const { resetCount } = await untilMeasured(b, instance)
  first.kill()
  await first.exited
  await untilDetached(instance)
  await boot(t, b, instance, 'tpm-tis')
  await untilMeasured(b, instance, resetCount + 1)
  assert.equal((await b.instances.stop(instance, { force: true })).clean, true)
})

void test('a machine runs on when its broker crashes, and ends at its next reset instead of going on without control', async (t) => {
  const b = await bench(t)
  const { instance, dir, key } = await b.start('qemu', await b.instances.take())
  const machine = await boot(t, b, instance, 'tpm-crb')
  const { resetCount } = await untilMeasured(b, instance)
  await b.instances.close()
  const next = await b.another()
  const adopted = await next.adopt({ guest: instance.guest, dir, key })
  assert.equal(adopted?.attached, true)
  assert.equal((await look(b, adopted))?.resetCount, resetCount)
  // Its answer is lost with the machine.
  machine.qmp('system_reset').catch(() => undefined)
  await machine.exited
  await untilDetached(adopted)
  assert.equal((await next.stop(adopted)).clean, true)
})
