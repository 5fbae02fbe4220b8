import type { AnnotatedEvent } from '../annotate.ts'
import { EV_EFI_VARIABLE_BOOT, EV_EFI_VARIABLE_BOOT2, EV_S_CRTM_VERSION } from '../event-types.ts'
import { decodeBootOption } from '../payload/boot-option.ts'
import { devicePathText } from '../payload/device-path.ts'
import { decodeGpt } from '../payload/gpt.ts'
import { boundRef } from '../summary.ts'
import { bootNumber, bootOrderNumbers } from '../variables.ts'
import type { BootFacts, BootOptionFacts, FirmwareFacts, PartitionTableFact, SeparatorFact } from './boot-facts.ts'

type Firmware = Pick<BootFacts, 'firmware' | 'separators' | 'bootOptions' | 'partitionTables'>

/** What the firmware said of itself, of its boot options and of the disk. */
export function firmwareFacts(events: readonly AnnotatedEvent[], startupLocality: number): Firmware {
  const separators: SeparatorFact[] = []
  const partitionTables: PartitionTableFact[] = []
  const options: BootOptionFacts['options'][number][] = []
  let version: FirmwareFacts['version']
  let order: BootOptionFacts['order']
  for (const annotated of events) {
    const { event, binding, content } = annotated
    if (binding !== 'bound' || content === undefined) continue
    if (content.kind === 'separator') {
      separators.push({ register: event.pcr, value: content.value, event: boundRef(annotated) })
    } else if (content.kind === 'gpt') {
      const table = decodeGpt(event.data)
      if (table !== undefined) partitionTables.push({ ...table, event: boundRef(annotated) })
    } else if (event.type === EV_S_CRTM_VERSION) {
      const ref = boundRef(annotated)
      version ??= { text: ref.summary, event: ref }
    } else if (
      content.kind === 'variable' &&
      (event.type === EV_EFI_VARIABLE_BOOT || event.type === EV_EFI_VARIABLE_BOOT2)
    ) {
      const { name, value } = content.variable
      const option = bootNumber(name) === undefined ? undefined : decodeBootOption(value)
      if (name === 'BootOrder') order ??= { numbers: bootOrderNumbers(value), event: boundRef(annotated) }
      if (option !== undefined) {
        const { description, devicePath } = option
        options.push({ description, path: devicePathText(devicePath), event: boundRef(annotated) })
      }
    }
  }
  return {
    firmware: { ...(version === undefined ? {} : { version }), startupLocality },
    separators,
    bootOptions: { ...(order === undefined ? {} : { order }), options },
    partitionTables,
  }
}
