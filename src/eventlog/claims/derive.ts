import { annotate } from '../annotate.ts'
import type { AnnotatedEvent } from '../annotate.ts'
import { bootFacts } from '../facts/derive.ts'
import { isMeasured } from '../facts/unread.ts'
import type { EventLog, ReplayBank } from '../log.ts'
import type { BootClaims } from './boot-claims.ts'
import { bootPathClaims } from './boot-path-claims.ts'
import { dynamicLaunchClaims } from './dynamic-launch-claims.ts'
import { firmwareClaims, platformClaims } from './firmware-claims.ts'
import { kernelClaims } from './kernel-claims.ts'
import { loaderClaims } from './loader-claims.ts'
import { listed, unknown } from './claim.ts'
import type { Reading } from './reading.ts'
import { eveClaims, rootFileSystemClaims } from './root-file-system-claims.ts'
import { secureBootClaims, shimClaims } from './secure-boot-claims.ts'
import { userspaceClaims } from './userspace-claims.ts'
import { windowsClaims } from './windows-claims.ts'
import { readWindows } from './windows-reading.ts'

/**
 * What a log says of its boot, claim by claim. What is bound is true of the machine only if the log replays to values
 * that a quote signed and `structuralFindings` has no error; this function checks neither. Throws
 * `eventlog.bank_missing`. O(log) in time, and no more than some ten times the log in size.
 */
export function bootClaims(log: EventLog, bank: ReplayBank): BootClaims {
  const facts = bootFacts(log, bank)
  const registers = new Map<number, AnnotatedEvent[]>()
  for (const annotated of annotate(log, bank)) {
    if (!isMeasured(annotated)) continue
    const { pcr } = annotated.event
    const own = registers.get(pcr)
    if (own === undefined) registers.set(pcr, [annotated])
    else own.push(annotated)
  }
  const reading: Reading = { log, bank, kind: log.registers, facts, registers }
  const windows = readWindows(reading)
  const kernel = kernelClaims(reading)
  const unread = facts.unread.filter(({ event }) => !windows.read.has(event.index))
  return {
    bank,
    firmware: firmwareClaims(reading),
    secureBoot: secureBootClaims(reading),
    shim: shimClaims(reading),
    platform: platformClaims(reading),
    boot: bootPathClaims(reading),
    loader: loaderClaims(reading, windows),
    kernel,
    rootfs: rootFileSystemClaims(reading, kernel.commandLine),
    eve: eveClaims(reading),
    userspace: userspaceClaims(reading),
    windows: windowsClaims(reading, windows),
    drtm: dynamicLaunchClaims(reading),
    log: {
      unread:
        reading.kind === 'rtmr'
          ? unknown('an RTMR holds several PCRs, and what nothing explains is the rule in some of them')
          : listed(
              unread.map(({ digest, event }) => ({ digest, pcr: event.pcr, event: event.index })),
              unread.map(({ event }) => event.index),
            ),
    },
  }
}
