import { spawn } from 'node:child_process'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { execa } from 'execa'
import { z } from 'zod'

const FIRMWARE = '/usr/share/OVMF'

export interface MachineOptions {
  /** Of `scripts/vm/image`: vmlinuz, initrd.img, root.img. */
  readonly image: string
  /** Of this machine alone: variable store, job, console. */
  readonly directory: string
  /** The control socket that QEMU is given for its TPM. */
  readonly tpmControl: string
  /** Files by name; `run` is the shell script that the guest runs to its end. */
  readonly job: Readonly<Record<string, string | Uint8Array>>
  /** Instead of the image's own: another boot, measured as such. */
  readonly initrd?: string
  /** Of `makeDisk`: what the guest keeps in /var over its boots. */
  readonly disk?: string
  /** Unix sockets of this machine that the guest reaches as TCP ports of 10.0.2.100. */
  readonly forwards?: Readonly<Record<number, string>>
}

export interface Machine {
  readonly pid: number
  /** Resolves when the machine is off. */
  readonly ended: Promise<number>
  /** What the job has printed so far, without the firmware's terminal control. */
  output(): Promise<string>
  console(): Promise<string>
  /** The reset button: the firmware begins anew, and so do the registers of the TPM. */
  reset(): Promise<void>
  /** A power cut. */
  kill(): Promise<void>
}

/**
 * Powers on a virtual machine with OVMF, a Debian kernel and a TPM behind `tpmControl`, in software emulation (about 6 s until
 * its job starts). It reaches this machine's loopback as 10.0.2.2.
 */
export async function powerOnMachine(options: MachineOptions): Promise<Machine> {
  const { image, directory } = options
  await mkdir(join(directory, 'job'), { recursive: true, mode: 0o700 })
  for (const [name, content] of Object.entries(options.job)) await writeFile(join(directory, 'job', name), content)
  const job = join(directory, 'job.tar')
  await execa('tar', ['cf', job, '-C', join(directory, 'job'), '.'])
  const variables = join(directory, 'vars.fd')
  await copyFile(join(FIRMWARE, 'OVMF_VARS_4M.fd'), variables)
  const disk = (file: string) => `if=virtio,format=raw,readonly=on,file=${file}`
  const monitor = join(directory, 'qmp')
  const serial = (name: string) => join(directory, `${name}.log`)
  const child = spawn(
    'qemu-system-x86_64',
    [
      // The machine type is pinned because its version decides on measured tables (ACPI, SMBIOS).
      ...['-machine', 'pc-q35-7.2', '-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', '1024', '-nodefaults'],
      ...['-display', 'none', '-monitor', 'none', '-no-reboot'],
      ...['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${join(FIRMWARE, 'OVMF_CODE_4M.fd')}`],
      ...['-drive', `if=pflash,unit=1,format=raw,file=${variables}`],
      ...['-chardev', `socket,id=tpm,path=${options.tpmControl}`, '-tpmdev', 'emulator,id=tpm0,chardev=tpm'],
      ...['-device', 'tpm-crb,tpmdev=tpm0'],
      ...['-kernel', join(image, 'vmlinuz'), '-initrd', options.initrd ?? join(image, 'initrd.img')],
      ...['-append', 'console=ttyS0 panic=-1', '-drive', disk(join(image, 'root.img')), '-drive', disk(job)],
      ...(options.disk === undefined ? [] : ['-drive', `if=virtio,format=raw,file=${options.disk}`]),
      ...['-qmp', `unix:${monitor},server=on,wait=off`],
      ...['-nic', ['user', 'model=virtio-net-pci', ...forwardArguments(options.forwards ?? {})].join(',')],
      ...['-serial', `file:${serial('console')}`, '-serial', `file:${serial('job')}`],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const complaints: Buffer[] = []
  child.stderr.on('data', (part: Buffer) => complaints.push(part))
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 70))
  })
  const read = async (name: string) => readFile(serial(name), 'latin1').catch(() => '')
  return {
    pid: child.pid ?? 0,
    ended,
    // The firmware writes to the second port as well, until the kernel takes over.
    output: async () =>
      `${Buffer.concat(complaints).toString()}${(await read('job')).replaceAll(/\u001b\[[0-9;=]*[A-Za-z]/g, '')}`,
    console: () => read('console'),
    // A guest that reboots by itself has crashed, and ends the machine; this reset is wanted.
    reset: () =>
      sayToMonitor(monitor, [{ execute: 'set-action', arguments: { reboot: 'reset' } }, { execute: 'system_reset' }]),
    async kill() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await ended
    },
  }
}

/** An empty disk for a guest, of `megabytes`. */
export async function makeDisk(file: string, megabytes = 64): Promise<string> {
  await execa('/sbin/mke2fs', ['-q', '-t', 'ext4', file, `${megabytes}M`])
  return file
}

/** Commands of QMP, each after the answer to the one before it. */
async function sayToMonitor(path: string, commands: readonly object[]): Promise<void> {
  const socket = createConnection({ path })
  try {
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
    const answerTo = async (command: object): Promise<void> => {
      socket.write(`${JSON.stringify(command)}\n`)
      for (;;) {
        const { value, done } = await lines.next()
        if (done === true) throw new Error('the machine ended while it was asked')
        const { error, return: answer } = monitorLine.parse(JSON.parse(value))
        if (error !== undefined) throw new Error(`QEMU refused ${JSON.stringify(command)}: ${error.desc}`)
        if (answer !== undefined) return
      }
    }
    for (const command of [{ execute: 'qmp_capabilities' }, ...commands]) await answerTo(command)
  } finally {
    socket.destroy()
  }
}

/** Greeting and events have neither. */
const monitorLine = z.object({ error: z.object({ desc: z.string() }).optional(), return: z.json().optional() })

function forwardArguments(forwards: Readonly<Record<number, string>>): string[] {
  return Object.entries(forwards).map(
    ([port, path]) => `guestfwd=tcp:10.0.2.100:${port}-cmd:socat - UNIX-CONNECT:${path}`,
  )
}
