import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readdir } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { responseCodeOf, swtpmControl } from '../../../../src/device/index.ts'
import { COMMANDS } from '../../../../src/tpm/index.ts'
import { findSwtpm } from '../../../../src/vtpm/guest/instance/program.ts'
import { withScratchClient } from '../../../../src/vtpm/guest/instance/scratch-client.ts'

const OVMF = '/usr/share/OVMF'
const ZEROS = '00'.repeat(32)

/** A virtual machine of firmware alone. */
export interface FirmwareMachine {
  readonly qmp: (command: string, args?: object) => Promise<Record<string, unknown>>
  readonly exited: Promise<unknown>
  kill(): void
}

export interface FirmwareOptions {
  /** For its files; short. */
  readonly dir: string
  /** `tpm.ctrl` of the guest. */
  readonly controlSocket: string
  readonly device: 'tpm-crb' | 'tpm-tis'
}

/** It measures itself and its variables, finds nothing to boot, and waits. Ended after the test. */
export async function bootFirmware(
  t: TestContext,
  { dir, controlSocket, device }: FirmwareOptions,
): Promise<FirmwareMachine> {
  const vars = join(dir, 'vars.fd')
  await copyFile(join(OVMF, 'OVMF_VARS_4M.fd'), vars)
  const qmpPath = join(dir, `qmp-${device}`)
  const child = spawn(
    'qemu-system-x86_64',
    [
      ...['-machine', 'q35,accel=tcg', '-m', '256', '-nodefaults', '-display', 'none'],
      ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${join(OVMF, 'OVMF_CODE_4M.fd')}`],
      ...['-drive', `if=pflash,format=raw,unit=1,file=${vars}`],
      ...['-chardev', `socket,id=tpm,path=${controlSocket}`, '-tpmdev', 'emulator,id=tpm0,chardev=tpm'],
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
  const qmp: FirmwareMachine['qmp'] = async (command, args = {}) => {
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

export interface Look {
  /** Counts TPM2_Startup(CLEAR). */
  readonly resetCount: number
  readonly pcr0: string
}

/** A guest's TPM, whose state is copied through swtpm's own control socket and asked; undefined before firmware started it. */
export async function lookAt(runDir: string, guest: string): Promise<Look | undefined> {
  const privateDir = join(runDir, 'i')
  const own = (await readdir(privateDir)).find((name) => name.startsWith(`${guest.slice(-12)}-`)) ?? ''
  const live = swtpmControl(join(privateDir, own, 'ctrl'))
  const [permanent, volatile] = [await live.getStateBlob('permanent'), await live.getStateBlob('volatile')]
  return await withScratchClient(
    { program: await findSwtpm(), privateDir },
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
export async function untilMeasured(runDir: string, guest: string, resetCount?: number): Promise<Look> {
  for (;;) {
    // A TPM that is being reset at this moment says so by an error.
    const now = await lookAt(runDir, guest).catch(() => undefined)
    if (now !== undefined && now.pcr0 !== ZEROS && (resetCount ?? now.resetCount) === now.resetCount) return now
    await delay(20)
  }
}
