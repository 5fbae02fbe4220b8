import { mkdir, rm } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { execa } from 'execa'
import { isTouchstoneError, TouchstoneError } from '../core/index.ts'
import { connect } from './connect.ts'
import { swtpmControl, type SwtpmControl } from './swtpm-control.ts'
import { parseTcti } from './tcti.ts'
import { openTransport } from './transport.ts'

export interface SwtpmOptions {
  /** Absolute; holds the TPM's state, its log, and its sockets. Made with mode 0700 when it is not there. */
  readonly stateDir: string
  /** Absolute path of the data socket; the control socket is `<socket>.ctrl`. Default `<stateDir>/sock`. */
  readonly socket?: string
  /**
   * `clear`: powered on and started, ready for use. `none`: the process runs and the caller does `control.init()`, sets
   * the locality and sends TPM2_Startup itself, as firmware would.
   */
  readonly startup: 'clear' | 'none'
  /** The process outlives this one; stop it with `shutdownSwtpm` and the socket's path. */
  readonly detached?: boolean
  readonly timeoutMs?: number
}

export interface Swtpm {
  readonly pid: number
  readonly socket: string
  /** For tpm2-tools and {@link openTransport}. */
  readonly tcti: string
  readonly control: SwtpmControl
  /** Orderly power-off; see {@link shutdownSwtpm}. Resolves when the process has ended. */
  stop(): Promise<{ readonly clean: boolean }>
  /** Pulls the plug: SIGKILL without TPM2_Shutdown. What the TPM says of it later is what a power cut does. */
  kill(): Promise<void>
}

const TIMEOUT = 10_000
/** From the last answer of an orderly shutdown to the end of the process. */
const GRACE = 1_000

/** TPM2_Shutdown(TPM_SU_CLEAR): TPM 2.0 Part 3, 9.4. */
const SHUTDOWN_CLEAR = Buffer.from('80010000000c000001450000', 'hex')

/** Starts one swtpm process (TPM 2.0, its default seccomp filter) on Unix sockets of mode 0600. */
export async function startSwtpm(options: SwtpmOptions): Promise<Swtpm> {
  const { stateDir, startup, detached = false, timeoutMs = TIMEOUT } = options
  const socket = options.socket ?? join(stateDir, 'sock')
  if (!isAbsolute(stateDir)) throw new TouchstoneError('device.swtpm', 'swtpm needs an absolute state directory')
  const tcti = `swtpm:path=${socket}`
  parseTcti(tcti)
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  const control = swtpmControl(`${socket}.ctrl`, timeoutMs)
  await refuseSecond(control, socket)
  const flags = startup === 'clear' ? ['--flags', 'not-need-init,startup-clear'] : []
  const child = execa(
    'swtpm',
    [
      'socket',
      '--tpm2',
      ...['--tpmstate', `dir=${stateDir},mode=0600`],
      ...['--server', `type=unixio,path=${socket},mode=0600`],
      ...['--ctrl', `type=unixio,path=${socket}.ctrl,mode=0600`],
      ...['--log', `file=${join(stateDir, 'swtpm.log')},level=1`],
      ...flags,
    ],
    { stdio: 'ignore', reject: false, detached, cleanup: !detached },
  )
  const exited = child.then((result) => result.shortMessage ?? 'it ended')
  let running = true
  void exited.then(() => (running = false))
  const { pid } = child
  if (pid === undefined) throw new TouchstoneError('device.swtpm', `swtpm did not start: ${await exited}`)
  if (detached) child.nodeChildProcess.unref()
  const kill = async (): Promise<void> => {
    if (running) child.kill('SIGKILL')
    await exited
  }
  try {
    await answers(control, () => running, timeoutMs)
  } catch (error) {
    await kill()
    throw error
  }
  return {
    pid,
    socket,
    tcti,
    control,
    kill,
    async stop() {
      if (!running) return { clean: false }
      try {
        return await shutdownSwtpm(socket, timeoutMs)
      } catch {
        // Its sockets are gone, or it hangs: the process ends all the same.
        return { clean: false }
      } finally {
        const ended = await Promise.race([exited.then(() => true), delay(GRACE, false, { ref: false })])
        if (!ended) await kill()
      }
    },
  }
}

/**
 * Orderly power-off of the swtpm behind `socket`, whoever started it: TPM2_Shutdown(CLEAR) on the data channel, then
 * CMD_SHUTDOWN, which ends the process. Without the first, swtpm counts an authorisation failure once a DA-protected
 * object was used, and locks up after a few. `clean` is false when the TPM could not be told, for example because
 * another client holds its data connection.
 */
export async function shutdownSwtpm(socket: string, timeoutMs: number = TIMEOUT): Promise<{ readonly clean: boolean }> {
  const clean = await tellShutdown(`swtpm:path=${socket}`, timeoutMs)
  const control = swtpmControl(`${socket}.ctrl`, timeoutMs)
  await control.shutdown()
  const deadline = performance.now() + timeoutMs
  while ((await serves(control)) || (await accepts(socket))) {
    if (performance.now() > deadline) throw new TouchstoneError('device.swtpm', 'swtpm is still there after shutdown')
    await delay(5)
  }
  return { clean }
}

async function tellShutdown(tcti: string, timeoutMs: number): Promise<boolean> {
  try {
    const transport = await openTransport(tcti, { timeoutMs: Math.min(timeoutMs, 3_000) })
    try {
      return (await transport.send(SHUTDOWN_CLEAR)).readUInt32BE(6) === 0
    } finally {
      await transport.close()
    }
  } catch {
    return false
  }
}

/** swtpm replaces a socket that is in use without a word, and two processes on one state lose each other's writes. */
async function refuseSecond(control: SwtpmControl, socket: string): Promise<void> {
  if (await serves(control)) throw new TouchstoneError('device.swtpm', `a swtpm already serves ${socket}`)
  await rm(socket, { force: true })
  await rm(`${socket}.ctrl`, { force: true })
}

async function serves(control: SwtpmControl): Promise<boolean> {
  try {
    await control.getCapability()
    return true
  } catch (error) {
    if (isTouchstoneError(error, 'device.unavailable')) return false
    throw error
  }
}

/** The data socket is closed last of all. */
async function accepts(path: string): Promise<boolean> {
  try {
    const socket = await connect({ path }, TIMEOUT)
    socket.on('error', () => undefined)
    socket.destroy()
    return true
  } catch (error) {
    if (isTouchstoneError(error, 'device.unavailable')) return false
    throw error
  }
}

async function answers(control: SwtpmControl, running: () => boolean, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    if (!running()) throw new TouchstoneError('device.swtpm', 'swtpm ended at once')
    try {
      await control.getCapability()
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    await delay(5)
  }
}
