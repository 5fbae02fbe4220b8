import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isTouchstoneError, TouchstoneError } from '../src/core/index.ts'
import { openTransport, shutdownSwtpm, startSwtpm, type Swtpm } from '../src/device/index.ts'
import { boxFiles, openBox } from './box.ts'
import type { Boot } from './boots.ts'
import { readFirmwareBoot, type FirmwareBoot, type Measurement } from './firmware.ts'
import { measure, type Progress } from './measure.ts'
import { tpmOver, type Tpm } from './tpm-commands.ts'

/** What a node reads as its logs. */
export interface Logs {
  readonly eventLog: Uint8Array
  readonly imaLog?: Uint8Array
}

export interface PowerOnOptions {
  /** Where the box was manufactured. */
  readonly directory: string
  /** What it boots; without one, it is started by a firmware that measures nothing and keeps no log. */
  readonly boot?: Boot
  /** What the node finds as its logs, where an intruder changed them. Default: those of the boot. */
  readonly presented?: Logs
  /** Directory of the logs; default `logs` in the box's own. */
  readonly logs?: string
  /** The TPM outlives this process; {@link powerOff} ends it. */
  readonly detached?: boolean
  readonly onProgress?: Progress
}

export interface PoweredBox {
  /** For the node's configuration, tpm2-tools and `openTransport`. */
  readonly tcti: string
  readonly pid: number
  /** Paths under the names that the kernel gives them; the files are there if the boot has the log. */
  readonly eventLog: string
  readonly imaLog: string
  /** As {@link powerOff}. */
  powerOff(): Promise<{ readonly clean: boolean }>
  /** Cuts the power: no TPM2_Shutdown. */
  cutPower(): Promise<void>
}

/**
 * Switches a box on: starts its TPM, has its firmware send TPM2_Startup from the locality that the log tells, measures
 * the boot, and lays out the logs. Throws `standin.*`, `device.*`, and what parsing the logs throws; nothing runs then.
 */
export async function powerOn(options: PowerOnOptions): Promise<PoweredBox> {
  const { directory } = await openBox(options.directory)
  const files = boxFiles(directory)
  const { boot } = options
  const firmware: FirmwareBoot =
    boot === undefined ? { startupLocality: 0, measurements: [] } : readFirmwareBoot(boot.eventLog)
  const swtpm = await startSwtpm({
    stateDir: files.tpm,
    socket: files.socket,
    startup: 'none',
    detached: options.detached ?? false,
  })
  try {
    await withTpm(swtpm.tcti, async (tpm) => {
      await startUp(swtpm, tpm, firmware)
      if (boot !== undefined) await measure(tpm, firmware.measurements, boot, options.onProgress ?? ignore)
    })
    const paths = await layOutLogs(options.logs ?? files.logs, options.presented ?? boot)
    return { tcti: swtpm.tcti, pid: swtpm.pid, ...paths, powerOff: () => swtpm.stop(), cutPower: () => swtpm.kill() }
  } catch (error) {
    await swtpm.stop()
    throw error
  }
}

/**
 * Measures a boot into a box that was switched on without one. Its firmware has started the TPM from locality 0 already,
 * so a log of another beginning is `standin.state`.
 */
export async function measureInto(
  options: Pick<PowerOnOptions, 'directory' | 'logs' | 'onProgress'> & { readonly boot: Boot },
): Promise<Pick<PoweredBox, 'tcti' | 'eventLog' | 'imaLog'>> {
  const { boot, onProgress = ignore } = options
  const files = boxFiles(options.directory)
  const tcti = `swtpm:path=${files.socket}`
  const measurements = readStartedBoot(boot)
  await withTpm(tcti, (tpm) => measure(tpm, measurements, boot, onProgress))
  return { tcti, ...(await layOutLogs(options.logs ?? files.logs, boot)) }
}

/**
 * The same for a TPM that no box belongs to, such as a guest's: its firmware is played over `tcti`. It may have fewer banks
 * than the machine that was recorded; those that both have are compared, and without one it is `standin.pcrs`.
 */
export async function measureIntoTpm(options: {
  readonly tcti: string
  readonly boot: Boot
  readonly logs: string
  readonly onProgress?: Progress
}): Promise<Pick<PoweredBox, 'tcti' | 'eventLog' | 'imaLog'>> {
  const { tcti, boot, logs, onProgress = ignore } = options
  const measurements = readStartedBoot(boot)
  await withTpm(tcti, async (tpm) => {
    const banks = await tpm.banks()
    await measure(tpm, measurements, { ...boot, ...recordedIn(banks, boot) }, onProgress)
  })
  return { tcti, ...(await layOutLogs(logs, boot)) }
}

/**
 * Switches off the box in `directory`, whichever process switched it on: TPM2_Shutdown, then the end of the TPM. `clean`
 * is false when the TPM could not be told, as at a power cut. Throws `standin.state` for a box that is off.
 */
export async function powerOff(directory: string): Promise<{ readonly clean: boolean }> {
  const { socket } = boxFiles(directory)
  try {
    return await shutdownSwtpm(socket)
  } catch (cause) {
    if (!isTouchstoneError(cause, 'device.unavailable')) throw cause
    throw new TouchstoneError('standin.state', `the box in ${directory} is off`, { cause })
  }
}

async function startUp(swtpm: Swtpm, tpm: Tpm, { startupLocality, hcrtm }: FirmwareBoot): Promise<void> {
  await swtpm.control.init({ deleteVolatile: true })
  if (hcrtm !== undefined) await swtpm.control.hashSequence(hcrtm)
  await swtpm.control.setLocality(startupLocality)
  await tpm.startup()
  await swtpm.control.setLocality(0)
}

/** What is measured into a TPM that was started already. */
function readStartedBoot({ eventLog }: Boot): readonly Measurement[] {
  const { startupLocality, hcrtm, measurements } = readFirmwareBoot(eventLog)
  if (startupLocality === 0 && hcrtm === undefined) return measurements
  throw new TouchstoneError('standin.state', 'this boot begins before TPM2_Startup: give it to powerOn')
}

/** What was recorded of a boot in these banks. */
function recordedIn(banks: readonly string[], { pcrs }: Boot): Pick<Boot, 'pcrs'> {
  if (pcrs === undefined) return {}
  const shared = Object.entries(pcrs).filter(([bank]) => banks.includes(bank))
  if (shared.length > 0) return { pcrs: Object.fromEntries(shared) }
  throw new TouchstoneError('standin.pcrs', `the TPM has none of the recorded banks, only ${banks.join(', ')}`)
}

async function withTpm(tcti: string, use: (tpm: Tpm) => Promise<void>): Promise<void> {
  const transport = await openTransport(tcti)
  try {
    await use(tpmOver(transport))
  } finally {
    await transport.close()
  }
}

/** Logs of an earlier boot do not survive a power cycle. */
async function layOutLogs(directory: string, logs: Logs | undefined): Promise<{ eventLog: string; imaLog: string }> {
  const eventLog = join(directory, 'binary_bios_measurements')
  const imaLog = join(directory, 'binary_runtime_measurements')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  for (const [path, bytes] of [
    [eventLog, logs?.eventLog],
    [imaLog, logs?.imaLog],
  ] as const) {
    if (bytes === undefined) await rm(path, { force: true })
    else await writeFile(path, bytes, { mode: 0o600 })
  }
  return { eventLog, imaLog }
}

function ignore(): void {
  // Nobody watches.
}
