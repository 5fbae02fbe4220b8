import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { TouchstoneError } from '../../../core/index.ts'
import { relayProgram } from './descriptor-relay.ts'
import { openFdPassing } from './fd-passing.ts'
import type { SwtpmProgram } from './features.ts'

/** From a connection to its first bytes: QEMU's come at once. */
const PATIENCE = 15_000
/** `passed` and a result, or `other` and as much as is repeated; `nothing`, or no line at all, is neither. */
const LINE = /^(?:passed ([0-9a-f]{8})|other ((?:[0-9a-f]{2}){1,128}))\n$/

export type Handshake =
  /** swtpm has the data channel that came, or refused it with this result. */
  | { readonly kind: 'passed'; readonly result: number }
  /** Something else came, or SET_DATAFD without a descriptor. */
  | { readonly kind: 'other'; readonly bytes: Buffer }
  /** Nothing came, or something at which the relay broke. */
  | { readonly kind: 'nothing' }

/** Throws `guest.control_unavailable` where this Node cannot pass descriptors. */
export function assertFdPassing(): void {
  try {
    openFdPassing(Reflect.get(process, 'binding'))
  } catch (cause) {
    throw new TouchstoneError('guest.control_unavailable', undefined, { cause })
  }
}

/**
 * Takes the first command of a connection that may bring a descriptor, in a process of its own: see `fd-passing.ts`.
 * `connection` was never read from. What is read from it later brings no descriptors: the kernel drops them.
 */
export async function receiveDataChannel(
  connection: Socket,
  control: string,
  { prlimit }: Pick<SwtpmProgram, 'prlimit'>,
): Promise<Handshake> {
  // A process that aborts on purpose must not fill the disk with its memory.
  const child = spawn(prlimit, ['--core=0', '--', process.execPath, relayProgram, control], {
    cwd: '/',
    env: { NODE_NO_WARNINGS: '1' },
    stdio: ['ignore', 'pipe', 'ignore', connection],
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
  let said = ''
  child.stdout?.setEncoding('latin1').on('data', (text: string) => (said = (said + text).slice(0, 1_024)))
  await new Promise<void>((resolve) => {
    child.once('close', () => resolve())
    child.once('error', () => resolve())
  })
  clearTimeout(timer)
  const [, result, other] = LINE.exec(said) ?? []
  if (result !== undefined) return { kind: 'passed', result: Number.parseInt(result, 16) }
  return other === undefined ? { kind: 'nothing' } : { kind: 'other', bytes: Buffer.from(other, 'hex') }
}
