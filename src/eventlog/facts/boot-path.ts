import { toHex } from '../../core/index.ts'
import type { AnnotatedEvent } from '../annotate.ts'
import {
  CALLING_EFI_APPLICATION,
  DMA_PROTECTION_DISABLED,
  ENTERING_SETUP,
  EXIT_BOOT_SERVICES_SUCCEEDED,
  UEFI_DEBUG_MODE,
} from '../known-digests.ts'
import type { RegisterKind } from '../log.ts'
import { registerOf } from '../registers.ts'
import { boundRef } from '../summary.ts'
import type { BootFacts, EventFact, FileFact, ImageFact, TextFact } from './boot-facts.ts'

const NOTABLE_ACTIONS: ReadonlySet<string> = new Set([UEFI_DEBUG_MODE, DMA_PROTECTION_DISABLED, ENTERING_SETUP])

type BootPath = Pick<
  BootFacts,
  'drivers' | 'bootApplications' | 'bootAttempts' | 'exitBootServices' | 'actions' | 'bootFiles'
>

/**
 * What ran before the operating system, in order: digests and places alone, because neither type nor payload of these
 * events is measured. Whatever was measured into PCR 4 and is not known to be something else counts as an image.
 */
export function bootPathFacts(events: readonly AnnotatedEvent[], kind: RegisterKind): BootPath {
  const [driverRegister, imageRegister, fileRegister] = [registerOf(kind, 2), registerOf(kind, 4), registerOf(kind, 9)]
  const drivers: ImageFact[] = []
  const bootApplications: ImageFact[] = []
  const bootAttempts: EventFact[] = []
  const actions: TextFact[] = []
  const bootFiles: FileFact[] = []
  let exitBootServices: EventFact | undefined
  for (const annotated of events) {
    const { event, binding, content, digest } = annotated
    if (binding === 'bound' && content?.kind === 'action') {
      const fact = { text: content.text, event: boundRef(annotated) }
      if (content.text === CALLING_EFI_APPLICATION) bootAttempts.push({ event: fact.event })
      if (content.text === EXIT_BOOT_SERVICES_SUCCEEDED) exitBootServices ??= { event: fact.event }
      if (NOTABLE_ACTIONS.has(content.text)) actions.push(fact)
    }
    if (binding !== 'unbound' || digest === undefined) continue
    const place = { index: event.index, pcr: event.pcr }
    if (event.pcr === imageRegister) {
      bootApplications.push({ digest: toHex(digest), attempt: bootAttempts.length, event: place })
    } else if (event.pcr === driverRegister) {
      drivers.push({ digest: toHex(digest), attempt: bootAttempts.length, event: place })
    } else if (kind === 'pcr' && event.pcr === fileRegister) {
      bootFiles.push({ digest: toHex(digest), event: place })
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
