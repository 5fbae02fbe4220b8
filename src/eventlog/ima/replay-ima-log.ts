import type { ReplayBank } from '../log.ts'
import { imaReader } from './ima-reader.ts'
import { extensionsOf, imaRegister, type ImaExtension } from './ima-register.ts'

export interface ImaReplay {
  /** PCR 10 behind the last entry. */
  readonly value: Buffer
  readonly entries: number
}

/**
 * Replays a whole log, in one piece or in chunks, into PCR 10 of one bank: O(n) time, and memory for one entry. It says
 * nothing of what the log measured. Throws `decode.*`.
 */
export function replayImaLog(
  log: Uint8Array | Iterable<Uint8Array>,
  bank: ReplayBank,
  extension: ImaExtension | undefined = extensionsOf(bank)[0],
  from?: Uint8Array,
): ImaReplay {
  const register = imaRegister(bank, extension ?? 'computed', from)
  const reader = imaReader((entry) => {
    register.extend(entry)
  })
  for (const chunk of log instanceof Uint8Array ? [log] : log) reader.push(chunk)
  reader.end()
  return { value: Buffer.from(register.current()), entries: reader.position().entries }
}
