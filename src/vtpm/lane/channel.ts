import { TouchstoneError } from '../../core/index.ts'
import { parseTcti } from '../../device/index.ts'
import { openDeviceLink, openSocketLink, type OpenLink, type TpmLink } from './channel-link.ts'
import { lockTpm } from './channel-lock.ts'
import type { HardwareChannel } from './types.ts'

export interface ChannelOptions {
  /** How long a command waits for a TPM that is away before it is told so. Milliseconds. */
  readonly graceMs?: number
  /** From a cancel, because a command took too long, to the end of patience. Milliseconds. */
  readonly cancelGraceMs?: number
  /** Told of each loss and each return; for the log. */
  readonly onChange?: (change: ChannelChange) => void
}

export type ChannelChange =
  | { readonly state: 'lost'; readonly reason: TouchstoneError }
  | { readonly state: 'found'; readonly epoch: number; readonly wasReset: boolean }

/** Long enough for a restart of the stand-in, short enough for a tool that somebody waits for. */
const GRACE = 2_000
const CANCEL_GRACE = 5_000
const PROBE_TIMEOUT = 2_000
const FIRST_PAUSE = 10
const LONGEST_PAUSE = 1_000
/** Time-outs are counted in ticks: arming a timer for each command costs more than the rest of the channel. */
const TICK = 50
/** Ticks without a command after which the ticking stops: an idle node sleeps. */
const IDLE_TICKS = 20

const RC_INITIALIZE = 0x100
const RC_FAILURE = 0x101
/** Part 3, 9.2 to 12.9: what makes keys or tests the TPM. Elsewhere a cancel would only turn a swap into a surprise. */
const TAKES_LONG = new Set([0x131, 0x142, 0x143, 0x153, 0x191])
/** TPM2_ReadClock (Part 3, 29.1): answers time, clock (u64 each), resetCount at 26, restartCount at 30, safe. */
const READ_CLOCK = Buffer.from('80010000000a00000181', 'hex')
const READ_CLOCK_SIZE = 35

interface InFlight {
  readonly code: number
  readonly timeoutMs: number
  ticksLeft: number
  isCancelled: boolean
  resolve(response: Buffer): void
  reject(error: TouchstoneError): void
}

interface Clock {
  readonly resetCount: number
  readonly restartCount: number
}

/**
 * Takes the TPM at `tcti` (`device:/dev/tpm0` or `swtpm:path=…`) for this process alone. Rejects with `device.tcti`,
 * `vtpm.tpm_shared`, `vtpm.tpm_in_use`, `device.unavailable`, `device.timeout`, or `vtpm.tpm_not_started`: the TPM has to be
 * there and started once; from then on it may go and come.
 */
export async function openChannel(tcti: string, options: ChannelOptions = {}): Promise<HardwareChannel> {
  const address = parseTcti(tcti)
  if (address.kind === 'tcp' || (address.kind === 'device' && address.path.includes('tpmrm'))) {
    throw new TouchstoneError('vtpm.tpm_shared', `${tcti} can be used by others at the same time`)
  }
  const lock = lockTpm(address)
  const open: OpenLink = (events) =>
    address.kind === 'unix' ? openSocketLink(address.path, events) : openDeviceLink(address.path, events)
  try {
    const channel = await startChannel(open, options)
    return {
      ...channel,
      // Accessors do not survive a spread.
      get epoch() {
        return channel.epoch
      },
      get resetCount() {
        return channel.resetCount
      },
      async close() {
        await channel.close()
        lock.release()
      },
    }
  } catch (error) {
    lock.release()
    throw error
  }
}

/** The channel itself, over any way to a TPM. */
export async function startChannel(open: OpenLink, options: ChannelOptions = {}): Promise<HardwareChannel> {
  const { graceMs = GRACE, cancelGraceMs = CANCEL_GRACE, onChange = () => undefined } = options
  let link: TpmLink | undefined
  let inFlight: InFlight | undefined
  /** A cancel on its way; the next command waits until it can no longer be hit. */
  let cancelling: Promise<void> | undefined
  let clock: Clock = { resetCount: 0, restartCount: 0 }
  let epoch = 0
  let lostAt = 0
  let isClosed = false
  let wake: (() => void)[] = []
  let retry: NodeJS.Timeout | undefined
  let ticker: NodeJS.Timeout | undefined
  let idleTicks = 0

  const tick = (): void => {
    if (inFlight === undefined) {
      if (++idleTicks < IDLE_TICKS) return
      clearInterval(ticker)
      ticker = undefined
      return
    }
    if (--inFlight.ticksLeft > 0) return
    if (!inFlight.isCancelled && link !== undefined) {
      inFlight.isCancelled = true
      inFlight.ticksLeft = Math.ceil(cancelGraceMs / TICK)
      sendCancel(link)
      return
    }
    const error = new TouchstoneError('device.timeout', `no answer from the TPM within ${inFlight.timeoutMs} ms`)
    lose(error, error)
  }

  const sendCancel = (to: TpmLink): void => {
    if (cancelling !== undefined) return
    // That a TPM cannot be told to stop is no fault: the command then runs to its end, or to its time-out.
    cancelling = to
      .cancel()
      .catch(() => undefined)
      .then(() => (cancelling = undefined))
  }

  const start = (to: TpmLink, command: Buffer, timeoutMs: number): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      idleTicks = 0
      ticker ??= setInterval(tick, TICK).unref()
      const ticksLeft = Math.ceil(timeoutMs / TICK) + 1
      inFlight = { code: command.readUInt32BE(6), timeoutMs, ticksLeft, isCancelled: false, resolve, reject }
      to.write(command)
    })

  /** The end of the link in use. `error` is for the command that is under way, if one is. */
  const lose = (reason: TouchstoneError, error: TouchstoneError): void => {
    const command = inFlight
    inFlight = undefined
    if (link !== undefined) {
      link.close()
      link = undefined
      lostAt = performance.now()
      onChange({ state: 'lost', reason })
      if (!isClosed) reconnect(FIRST_PAUSE)
    }
    command?.reject(error)
  }

  const onResponse = (bytes: Buffer): void => {
    const command = inFlight
    if (command === undefined) {
      const error = new TouchstoneError('device.protocol', 'the TPM answered what nobody asked')
      lose(error, error)
      return
    }
    if (bytes.readUInt32BE(6) === RC_INITIALIZE && link !== undefined) {
      const reason = new TouchstoneError('vtpm.tpm_not_started')
      // A TPM that has not been started did nothing, so this may be sent again.
      lose(reason, new TouchstoneError('device.unavailable', 'the TPM was reset', { cause: reason }))
      return
    }
    inFlight = undefined
    command.resolve(bytes)
  }

  /** A link to a TPM that answers and is started, and what its clock says. */
  const find = async (): Promise<{ readonly found: TpmLink; readonly now: Clock }> => {
    const losses: TouchstoneError[] = []
    const throwIfLost = (): void => {
      for (const loss of losses) throw loss
    }
    const candidate = await open({
      response: onResponse,
      lost(reason) {
        losses.push(reason)
        if (link === candidate) {
          lose(reason, new TouchstoneError('vtpm.tpm_lost', `the TPM was lost: ${reason.message}`, { cause: reason }))
        } else if (link === undefined) {
          const command = inFlight
          inFlight = undefined
          command?.reject(reason)
        }
      },
    })
    try {
      // Lost before it was of use: nothing would ever answer on it.
      throwIfLost()
      const now = readClock(await start(candidate, READ_CLOCK, PROBE_TIMEOUT))
      throwIfLost()
      if (isClosed) throw new TouchstoneError('device.unavailable', 'the channel is closed')
      return { found: candidate, now }
    } catch (error) {
      // Closed between attempts: swtpm serves one connection, and whoever starts the TPM needs it.
      candidate.close()
      throw error
    }
  }

  const reconnect = (pause: number): void => {
    retry = setTimeout(() => {
      find().then(
        ({ found, now }) => {
          link = found
          epoch += 1
          const wasReset = now.resetCount !== clock.resetCount || now.restartCount !== clock.restartCount
          clock = now
          onChange({ state: 'found', epoch, wasReset })
          wakeAll()
        },
        () => {
          if (!isClosed) reconnect(Math.min(pause * 2, LONGEST_PAUSE))
        },
      )
    }, pause)
    // Commands that wait have timers of their own; nobody else needs the process to live for this.
    retry.unref()
  }

  const wakeAll = (): void => {
    const sleepers = wake
    wake = []
    for (const sleeper of sleepers) sleeper()
  }

  /** Resolves when the TPM is back, or when it has been away for too long. */
  const untilFound = (): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, lostAt + graceMs - performance.now()))
      wake.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })

  const exchangeSlowly = async (command: Buffer, timeoutMs: number): Promise<Buffer> => {
    if (cancelling !== undefined) await cancelling
    if (link === undefined && !isClosed) await untilFound()
    if (isClosed) throw new TouchstoneError('device.unavailable', 'the channel is closed')
    if (link === undefined) throw new TouchstoneError('device.unavailable', 'the TPM is away')
    if (inFlight !== undefined) throw new Error('two commands at once on the channel to the TPM')
    return start(link, command, timeoutMs)
  }

  const exchange = (command: Buffer, timeoutMs: number): Promise<Buffer> =>
    link === undefined || cancelling !== undefined || inFlight !== undefined
      ? exchangeSlowly(command, timeoutMs)
      : start(link, command, timeoutMs)

  const first = await find()
  link = first.found
  clock = first.now

  return {
    exchange,
    get epoch() {
      return epoch
    },
    get resetCount() {
      return clock.resetCount
    },
    async checkReset() {
      const now = readClock(await exchange(READ_CLOCK, PROBE_TIMEOUT))
      if (now.resetCount === clock.resetCount && now.restartCount === clock.restartCount) return
      clock = now
      epoch += 1
      onChange({ state: 'found', epoch, wasReset: true })
    },
    cancel() {
      if (link === undefined || inFlight === undefined || !TAKES_LONG.has(inFlight.code)) return
      sendCancel(link)
    },
    async close() {
      if (isClosed) return
      isClosed = true
      clearTimeout(retry)
      clearInterval(ticker)
      const reason = new TouchstoneError('device.unavailable', 'the channel is closed')
      lose(reason, new TouchstoneError('vtpm.tpm_lost', 'the broker stopped while the TPM worked', { cause: reason }))
      wakeAll()
      await cancelling
    },
  }
}

function readClock(response: Buffer): Clock {
  const rc = response.readUInt32BE(6)
  if (rc === RC_INITIALIZE) throw new TouchstoneError('vtpm.tpm_not_started')
  if (rc === RC_FAILURE) {
    throw new TouchstoneError('device.unavailable', 'the TPM is in failure mode, until the node is powered off')
  }
  if (rc !== 0)
    throw new TouchstoneError('device.unavailable', `the TPM answers 0x${rc.toString(16)} to TPM2_ReadClock`)
  if (response.byteLength !== READ_CLOCK_SIZE) {
    throw new TouchstoneError('device.protocol', `${response.byteLength} bytes are no answer to TPM2_ReadClock`)
  }
  return { resetCount: response.readUInt32BE(26), restartCount: response.readUInt32BE(30) }
}
