import type { AnnotatedEvent } from '../annotate.ts'
import { isMarker } from '../facts/unread.ts'
import { labelText } from '../payload/text.ts'
import type { UserspaceClaims } from './boot-claims.ts'
import { known, listed, listedAsSaid, unknown, type Claim, type Gap, type ListClaim } from './claim.ts'
import { digestClaim, indicesOf } from './digest-claim.ts'
import { gapOf, measurementsOf, missing, type Reading } from './reading.ts'
import { readSections } from './section-claims.ts'

/** systemd-pcrphase(8): what it extends PCR 11 with, in the order of a boot. */
const PHASES: ReadonlySet<string> = new Set(['enter-initrd', 'leave-initrd', 'sysinit', 'ready', 'shutdown', 'final'])
const MACHINE_ID = /^machine-id:([0-9a-f]{32})$/
const FILE_SYSTEM = 'file-system:'
/** Longer ones exist nowhere. */
const MAX_TEXT = 4096

interface Text {
  readonly text: string
  readonly index: number
}

interface Register {
  readonly texts: readonly Text[]
  /** Events of which nothing in the log has the digest. */
  readonly dark: readonly AnnotatedEvent[]
  readonly gap: Gap | undefined
}

/** What systemd measured of itself: systemd-pcrphase, systemd-pcrmachine and systemd-pcrfs, by their texts. */
export function userspaceClaims(reading: Reading): UserspaceClaims {
  if (reading.kind === 'rtmr') return outside()
  const eleven = readRegister(reading, readSections(reading).others)
  const fifteen = readRegister(
    reading,
    measurementsOf(reading, 15).filter((event) => !isMarker(event)),
  )
  const phases = eleven.texts.filter(({ text }) => PHASES.has(text))
  const fileSystems = fifteen.texts.filter(({ text }) => text.startsWith(FILE_SYSTEM))
  const others = [...eleven.texts, ...fifteen.texts].filter(
    ({ text }) => !PHASES.has(text) && !text.startsWith(FILE_SYSTEM) && !MACHINE_ID.test(text),
  )
  return {
    phases: textList(reading, 11, phases, eleven.gap, 'no phase of a boot was measured'),
    machineId: machineId(reading, fifteen),
    fileSystems: textList(reading, 15, fileSystems, fifteen.gap, 'no file system was measured'),
    texts:
      others.length === 0
        ? missing(reading, [11, 15], 'no other text was measured')
        : listed(
            others.map(({ text }) => text),
            others.map(({ index }) => index),
            eleven.gap ?? fifteen.gap,
          ),
    untrustedSecrets:
      fifteen.dark.length === 0
        ? missing(reading, [15], 'everything that was measured is in the log')
        : listedAsSaid(fifteen.dark.map(digestClaim), indicesOf(fifteen.dark)),
  }
}

function outside(): UserspaceClaims {
  const reason = unknown('one RTMR holds PCR 8 to 15, and what is of PCR 11 and 15 cannot be told apart')
  return { phases: reason, machineId: reason, fileSystems: reason, texts: reason, untrustedSecrets: reason }
}

function readRegister(reading: Reading, events: readonly AnnotatedEvent[]): Register {
  const texts: Text[] = []
  const dark: AnnotatedEvent[] = []
  for (const annotated of events) {
    const { content, event } = annotated
    if (content === undefined) dark.push(annotated)
    if (content?.kind !== 'payload' || event.data.byteLength > MAX_TEXT) continue
    const text = labelText(event.data, MAX_TEXT)
    if (text !== undefined) texts.push({ text, index: event.index })
  }
  return {
    texts,
    dark,
    gap: gapOf(
      reading,
      dark.map(({ event }) => event),
    ),
  }
}

function textList(
  reading: Reading,
  pcr: number,
  texts: readonly Text[],
  gap: Gap | undefined,
  otherwise: string,
): ListClaim<string> {
  return texts.length === 0
    ? missing(reading, [pcr], otherwise)
    : listed(
        texts.map(({ text }) => text),
        texts.map(({ index }) => index),
        gap,
      )
}

/** The first one: what follows, anybody may have added; what stands before, if it is not in the log, may be another. */
function machineId(reading: Reading, { texts, dark }: Register): Claim<string> {
  const found = texts.find(({ text }) => MACHINE_ID.test(text))
  if (found === undefined) return missing(reading, [15], 'no machine-id was measured')
  const before = dark.map(({ event }) => event).filter(({ index }) => index < found.index)
  const gap = gapOf(reading, before)
  return gap === undefined
    ? known(found.text.slice('machine-id:'.length), [found.index])
    : unknown(gap.reason, gap.events)
}
