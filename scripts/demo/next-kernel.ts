import { createHash } from 'node:crypto'
import { parseEventLog, parseImaLog, replayEventLog, type LogEvent } from '../../src/eventlog/index.ts'
import type { Boot } from '../../swtpm/index.ts'

const OLD = '6.1.0-56'
export const NEXT_KERNEL = '6.1.0-57'
const BOOT_APPLICATION = 0x80000003

/**
 * The recorded boot as it would be after an update of the kernel: another version in GRUB's commands, other files, another
 * image. Everything that was measured of these, and IMA's digest over them, is made anew, so that the log is true of itself.
 * Nobody recorded this boot: it has no PCR values to be compared with.
 */
export function withNextKernel({ eventLog, imaLog }: Boot): Boot {
  const log = Buffer.from(eventLog)
  const { events } = parseEventLog(eventLog)
  const grub = events.findIndex(({ pcr }) => pcr === 8)
  for (const event of events) {
    const text = event.data.toString('latin1')
    const isCommand = event.pcr === 8 && text.includes(OLD)
    const isFile = event.pcr === 9
    const isKernel = event.pcr === 4 && event.type === BOOT_APPLICATION && event.index > grub
    if (!isCommand && !isFile && !isKernel) continue
    const updated = text.replaceAll(OLD, NEXT_KERNEL)
    for (const [bank, digest] of event.digests) {
      // GRUB measures the text behind its prefix, without the NUL; of files and images the digest says all that is known.
      const measured = isCommand ? withoutPrefix(updated) : Buffer.concat([digest, Buffer.from(NEXT_KERNEL)])
      createHash(bank).update(measured).digest().copy(log, eventLog.indexOf(digest, event.offset))
    }
    log.write(updated, dataOffset(eventLog, event), 'latin1')
  }
  const boot = { name: `honest, kernel ${NEXT_KERNEL}`, eventLog: log }
  return imaLog === undefined ? boot : { ...boot, imaLog: overBoot(imaLog, eventLog, log) }
}

function withoutPrefix(text: string): Buffer {
  return Buffer.from(text.slice(text.indexOf(': ') + 2).replace(/\0$/, ''), 'latin1')
}

/** An event ends with its payload. */
function dataOffset(log: Buffer, { data, offset }: LogEvent): number {
  return log.indexOf(data, offset)
}

/** IMA's first entry is a digest over PCR 0 to 9, and the digest of that is what PCR 10 is extended with. */
function overBoot(imaLog: Buffer, before: Buffer, after: Buffer): Buffer {
  const ima = Buffer.from(imaLog)
  aggregateOf(after).copy(ima, imaLog.indexOf(aggregateOf(before)))
  const [old] = parseImaLog(imaLog).entries
  const [entry] = parseImaLog(ima).entries
  if (old === undefined || entry === undefined) throw new Error('the recorded IMA log is empty')
  createHash('sha1').update(entry.templateData).digest().copy(ima, imaLog.indexOf(old.templateDigest))
  return ima
}

function aggregateOf(log: Buffer): Buffer {
  const { values } = replayEventLog(parseEventLog(log), 'sha256')
  const registers = Array.from({ length: 10 }, (_, register) => values.get(register) ?? Buffer.alloc(32))
  return createHash('sha256').update(Buffer.concat(registers)).digest()
}
