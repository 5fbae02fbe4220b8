import { finding, type Finding } from './log.ts'

/** Register and type of one value that no event has; less of it may be an event that was cut off. */
const MIN_PADDING = 8

/**
 * Where the run of equal 0xFF or zero bytes at the end begins. Computed once, so that a log made of almost-padding
 * cannot make every event scan the rest. It counts as padding only at the boundary of an event.
 */
export function paddingStart(log: Buffer): number {
  const fill = log[log.byteLength - 1]
  if (fill !== 0xff && fill !== 0) return log.byteLength
  let start = log.byteLength
  while (start > 0 && log[start - 1] === fill) start--
  return start
}

/** What is said of the rest of a log from the boundary `at` on, where all of it is padding; else `undefined`. O(1). */
export function paddingFinding(log: Buffer, at: number, padding: number): Finding | undefined {
  const rest = log.byteLength - at
  if (at < padding || rest < MIN_PADDING) return undefined
  const fill = log[at] === 0 ? '00' : 'ff'
  return finding('eventlog.padding', 'info', undefined, `${rest} bytes of ${fill} pad the log from byte ${at}`)
}

/** What is said of bytes that a header counts as unused. */
export function unusedFinding(log: Buffer, at: number): Finding {
  const message = `${log.byteLength - at} bytes from byte ${at} are behind the last event that the header counts`
  return finding('eventlog.padding', 'info', undefined, message)
}
