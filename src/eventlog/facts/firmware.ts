import type { AnnotatedEvent } from '../annotate.ts'
import { EV_S_CRTM_VERSION } from '../event-types.ts'
import type { RegisterKind } from '../log.ts'
import { decodeBootOption, type BootOption } from '../payload/boot-option.ts'
import { devicePathText } from '../payload/device-path.ts'
import { guidText } from '../payload/guid.ts'
import { labelText, printable } from '../payload/text.ts'
import { registerOf } from '../registers.ts'
import { boundRef } from '../summary.ts'
import { bootNumber, bootOrderNumbers, isBootVariable } from '../variables.ts'
import type { BootFacts, BootOptionFacts, FirmwareFacts, PartitionTableFact, SeparatorFact } from './boot-facts.ts'
import { isMarker, isWholeVariable, separatorAt } from './unread.ts'

type OptionFact = BootOptionFacts['options'][number]
type Firmware = Pick<BootFacts, 'firmware' | 'separators' | 'bootOptions' | 'partitionTables'>

interface FirmwareReading {
  readonly facts: Firmware
  /** Events of PCR 1 and 5 that nothing here reads. */
  readonly unread: readonly AnnotatedEvent[]
}

/** What the firmware said of itself (PCR 0), of its boot options (PCR 1, on some machines 5) and of the disk (5). */
export function firmwareFacts(
  events: readonly AnnotatedEvent[],
  kind: RegisterKind,
  startupLocality: number,
): FirmwareReading {
  const optionRegisters = [...new Set([registerOf(kind, 1), registerOf(kind, 5)])]
  const tableRegister = registerOf(kind, 5)
  const separators: SeparatorFact[] = []
  const partitionTables: PartitionTableFact[] = []
  const options: OptionFact[] = []
  const unread: AnnotatedEvent[] = []
  const order = bootOrder(
    optionRegisters.map((register) => events.filter(({ event }) => event.pcr === register)),
    kind,
  )
  for (const annotated of events) {
    const { event, content } = annotated
    if (content?.kind === 'separator') {
      separators.push({ register: event.pcr, value: content.value, event: boundRef(annotated) })
    }
    if (!optionRegisters.includes(event.pcr) || isMarker(annotated) || annotated === order) continue
    const option = optionOf(annotated)
    const table = content?.kind === 'gpt' && event.pcr === tableRegister ? content.table : undefined
    if (table !== undefined) {
      partitionTables.push({ ...table, event: boundRef(annotated) })
    } else if (option !== undefined) {
      options.push(optionFact(annotated, option))
    } else if (!isWholeVariable(annotated) || isBootVariableEvent(annotated)) {
      unread.push(annotated)
    }
  }
  const version = crtmVersion(events, kind)
  return {
    facts: {
      firmware: { ...(version === undefined ? {} : { version }), startupLocality },
      separators,
      bootOptions: { ...(order === undefined ? {} : { order: orderFact(order) }), options },
      partitionTables,
    },
    unread,
  }
}

function isBootVariableEvent({ content }: AnnotatedEvent): boolean {
  return content?.kind === 'variable' && (content.covers === 'value' || isBootVariable(content.variable.name))
}

function isBootOrder({ content }: AnnotatedEvent): boolean {
  return content?.kind === 'variable' && content.variable.name === 'BootOrder'
}

function optionFact(annotated: AnnotatedEvent, { description, devicePath }: BootOption): OptionFact {
  const path = devicePathText(devicePath)
  // What is said of the value alone is these two; of a whole variable, its name as well.
  const isOfValue = annotated.content?.kind === 'variable' && annotated.content.covers === 'value'
  const event = isOfValue ? boundRef(annotated, `${description} ${path}`) : boundRef(annotated)
  return { description, path, event }
}

function optionOf({ content }: AnnotatedEvent): BootOption | undefined {
  if (content?.kind !== 'variable' || bootNumber(content.variable.name) === undefined) return undefined
  return decodeBootOption(content.variable.value)
}

function orderFact(annotated: AnnotatedEvent): NonNullable<BootOptionFacts['order']> {
  const value = annotated.content?.kind === 'variable' ? annotated.content.variable.value : Buffer.alloc(0)
  return { numbers: bootOrderNumbers(value), event: boundRef(annotated) }
}

/**
 * The order that the firmware used. Before the separator nobody but the firmware measures, so an order there is its own.
 * Some firmware closes PCR 1 first: then the order counts if it is the first thing behind the separator, and everything
 * else there is a boot option, so that no other order can be hidden among them. PCR 5 is asked only where PCR 1 has
 * separators alone, or variables that say what they are.
 */
function bootOrder(registers: readonly (readonly AnnotatedEvent[])[], kind: RegisterKind): AnnotatedEvent | undefined {
  const [first = [], second = []] = registers
  if (kind === 'rtmr') return [...first, ...second].find(isBootOrder)
  // An order of options that do not exist has the digest of a separator: two of them, and nobody knows which it is.
  if (first.filter(({ content }) => content?.kind === 'separator').length > 1) return undefined
  const end = separatorAt(first)
  const early = first.slice(0, Math.max(end, 0))
  const own = early.find(isBootOrder)
  if (own !== undefined) return own
  const late = first.slice(end + 1).filter((event) => !isMarker(event))
  const [leading, ...rest] = late
  if (leading !== undefined && isBootOrder(leading)) {
    const closed = early.every((event) => isMarker(event) || isOtherVariable(event))
    return closed && rest.every((event) => optionOf(event) !== undefined || isOtherVariable(event))
      ? leading
      : undefined
  }
  if (first.some(isBootVariableEvent)) return undefined
  return second.slice(0, Math.max(separatorAt(second), 0)).find(isBootOrder)
}

function isOtherVariable(annotated: AnnotatedEvent): boolean {
  return isWholeVariable(annotated) && !isBootVariableEvent(annotated)
}

/** The first one, if it stands before the separator: behind it, anybody could have added it. */
function crtmVersion(events: readonly AnnotatedEvent[], kind: RegisterKind): FirmwareFacts['version'] {
  const own = events.filter(({ event }) => event.pcr === registerOf(kind, 0))
  const end = separatorAt(own)
  const found = own.slice(0, Math.max(end, 0)).find(({ event, binding, content }) => {
    return event.type === EV_S_CRTM_VERSION && binding === 'bound' && content !== undefined
  })
  if (found === undefined) return undefined
  return { text: versionText(found.event.data), event: boundRef(found) }
}

/** Policies compare it, so it is not the summary, which may come to say more: text, else a GUID, else hex. */
function versionText(data: Buffer): string {
  const text = labelText(data, MAX_VERSION)
  if (text !== undefined) return printable(text)
  if (data.byteLength === GUID_SIZE) return guidText(data)
  const hex = data.toString('hex', 0, SHOWN_BYTES)
  return data.byteLength > SHOWN_BYTES ? `${hex}… (${data.byteLength} bytes)` : hex
}

const MAX_VERSION = 512
const GUID_SIZE = 16
const SHOWN_BYTES = 32
