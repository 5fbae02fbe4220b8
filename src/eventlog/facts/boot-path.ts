import { toHex } from '../../core/index.ts'
import type { AnnotatedEvent } from '../annotate.ts'
import {
  CALLING_EFI_APPLICATION,
  DMA_PROTECTION_DISABLED,
  ENTERING_SETUP,
  EXIT_BOOT_SERVICES_SUCCEEDED,
  UEFI_DEBUG_MODE,
} from '../known-digests.ts'
import type { LogEvent, RegisterKind } from '../log.ts'
import { registerOf } from '../registers.ts'
import { boundRef } from '../summary.ts'
import type { BootFacts, EventFact, EventPlace, FileFact, ImageFact, TextFact } from './boot-facts.ts'
import { isMarker, isNvRegister } from './unread.ts'

const NOTABLE_ACTIONS: ReadonlySet<string> = new Set([UEFI_DEBUG_MODE, DMA_PROTECTION_DISABLED, ENTERING_SETUP])

/** Where the firmware announces what it does. */
const ACTION_PCRS = [1, 2, 4, 5, 6, 7]
/** Boot attempts: PCR 4 by the profile, 5 by firmware before it. */
const ATTEMPT_PCRS = [4, 5]

type BootPath = Pick<
  BootFacts,
  'drivers' | 'bootApplications' | 'bootAttempts' | 'exitBootServices' | 'actions' | 'bootFiles'
>

/**
 * What ran before the operating system, in order: digests and places alone, because neither type nor payload of these
 * events is measured. Whatever was measured into PCR 2, 4 and 9 counts, unless its digest is that of a separator or of
 * an action: an event that pretends to be something else cannot leave the list.
 */
export function bootPathFacts(events: readonly AnnotatedEvent[], kind: RegisterKind): BootPath {
  const [driverRegister, imageRegister, fileRegister] = [registerOf(kind, 2), registerOf(kind, 4), registerOf(kind, 9)]
  const actionRegisters = ACTION_PCRS.map((pcr) => registerOf(kind, pcr))
  const attemptRegisters = ATTEMPT_PCRS.map((pcr) => registerOf(kind, pcr))
  const exitRegister = registerOf(kind, 5)
  const drivers: ImageFact[] = []
  const bootApplications: ImageFact[] = []
  const bootAttempts: EventFact[] = []
  const actions: TextFact[] = []
  const bootFiles: FileFact[] = []
  let exitBootServices: EventFact | undefined
  for (const annotated of events) {
    const { event, content } = annotated
    if (content?.kind === 'action') {
      const { text } = content
      const fact = { event: boundRef(annotated) }
      if (text === CALLING_EFI_APPLICATION && attemptRegisters.includes(event.pcr)) bootAttempts.push(fact)
      if (text === EXIT_BOOT_SERVICES_SUCCEEDED && event.pcr === exitRegister) exitBootServices ??= fact
      if (NOTABLE_ACTIONS.has(text) && actionRegisters.includes(event.pcr)) actions.push({ text, ...fact })
    }
    if (isMarker(annotated) || !annotated.measured) continue
    // An RTMR holds what a TPM has in several registers: there, only what is of nothing in the log can be an image.
    if (kind === 'rtmr' && content !== undefined) continue
    if (event.pcr === imageRegister) {
      bootApplications.push({ digest: digestOf(annotated), attempt: bootAttempts.length, event: placeOf(event) })
    } else if (event.pcr === driverRegister) {
      drivers.push({ digest: digestOf(annotated), attempt: bootAttempts.length, event: placeOf(event) })
    } else if (kind === 'pcr' && event.pcr === fileRegister && !isNvRegister(annotated)) {
      bootFiles.push({ digest: digestOf(annotated), event: placeOf(event) })
    }
  }
  return {
    drivers,
    bootApplications,
    bootAttempts,
    ...(exitBootServices === undefined ? {} : { exitBootServices }),
    actions,
    bootFiles,
  }
}

function placeOf({ index, pcr }: LogEvent): EventPlace {
  return { index, pcr }
}

function digestOf({ digest }: AnnotatedEvent): string {
  return toHex(digest ?? Buffer.alloc(0))
}
