import type { AnnotatedEvent } from '../annotate.ts'
import { EXIT_BOOT_SERVICES_SUCCEEDED } from '../known-digests.ts'
import type { RegisterKind } from '../log.ts'
import { registerOf } from '../registers.ts'

/** Who was at work. `boot-manager`: the firmware, once it had closed its registers and until it started an image. */
export type BootStage = 'firmware' | 'boot-manager' | 'boot-loader' | 'operating-system'

/**
 * The stage of each event, by what digests show alone: the firmware's separator of PCR 4, the first image measured behind
 * it, ExitBootServices. A log without a firmware's part (EVE's configuration log) is the operating system's.
 */
export function bootStages(events: readonly AnnotatedEvent[], kind: RegisterKind): BootStage[] {
  const images = registerOf(kind, 4)
  let stage: BootStage = events.some(({ event, binding }) => binding !== 'none' && event.pcr <= 7)
    ? 'firmware'
    : 'operating-system'
  return events.map(({ event, binding, content }) => {
    const here = stage
    if (stage === 'firmware' && event.pcr === images && content?.kind === 'separator') stage = 'boot-manager'
    else if (stage === 'boot-manager' && event.pcr === images && binding === 'unbound') {
      stage = 'boot-loader'
      return stage
    } else if (content?.kind === 'action' && content.text === EXIT_BOOT_SERVICES_SUCCEEDED) stage = 'operating-system'
    return here
  })
}
