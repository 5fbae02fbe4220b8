import { isMarker } from '../facts/unread.ts'
import { WBCL } from '../known-digests.ts'
import { readWindowsEvents, type WindowsEvent } from '../payload/windows-events.ts'
import { gapIn, measurementsOf, placesOf, type Reading } from './reading.ts'
import type { Gap } from './claim.ts'

/** One event of Windows' own, and where it stands: its event in the log, and the containers around it. */
export interface PlacedWindowsEvent {
  readonly event: WindowsEvent
  readonly pcr: number
  readonly index: number
}

export interface WindowsReading {
  /** Windows' events of PCR 12 and 13 with nested ones, in order, but what is within modules. */
  readonly events: readonly PlacedWindowsEvent[]
  /** The first event in which Windows' boot manager speaks. */
  readonly first?: number
  /** Events of PCR 12 to 14 that were read here. */
  readonly read: ReadonlySet<number>
  /** Why what is not among the events may have been there all the same. */
  readonly gap?: Gap
}

/** Parameters stand in 12, those and the modules' names in 13, public keys of authorities in 14. */
const PARAMETERS = 12
const MODULES = 13
const AUTHORITIES = 14
const MODULE = 'LOADEDMODULE_AGGREGATION'

/**
 * What Windows measured before it closed its registers with a separator of its own: behind that, anybody who has the
 * machine may have added more. Every event counts only if its digest covers the whole of it. O(bytes).
 */
export function readWindows(reading: Reading): WindowsReading {
  const events: PlacedWindowsEvent[] = []
  const read = new Set<number>()
  const open: number[] = []
  for (const pcr of [PARAMETERS, MODULES, AUTHORITIES]) {
    let closed = false
    for (const annotated of measurementsOf(reading, pcr)) {
      const { content, event } = annotated
      if (content?.kind === 'separator' && content.value === WBCL) closed = true
      if (closed || isMarker(annotated) || content?.kind !== 'payload') continue
      const found = readWindowsEvents(event.data)
      if (found === undefined) continue
      read.add(event.index)
      if (pcr !== AUTHORITIES) flatten(found, (each) => events.push({ event: each, pcr, index: event.index }))
    }
    if (!closed && pcr !== AUTHORITIES && reading.kind === 'pcr') open.push(pcr)
  }
  const first = events[0]?.index
  if (first === undefined) return { events, read: new Set() }
  const unread = gapIn(reading, [PARAMETERS, MODULES], read)
  const gap =
    unread ??
    (open.length > 0
      ? {
          reason: `PCR ${open.join(', ')} has no separator of Windows, so that ${placesOf([...read])} may be anybody’s`,
          events: [],
        }
      : undefined)
  return { events, first, read, ...(gap === undefined ? {} : { gap }) }
}

/** A module's parts say something on the module only, so they stay within it. */
function flatten(events: readonly WindowsEvent[], found: (event: WindowsEvent) => void): void {
  for (const event of events) {
    found(event)
    if (event.value.kind === 'events' && event.name !== MODULE) flatten(event.value.value, found)
  }
}
