import {
  CONTENT_CEL_TIMESTAMP,
  CONTENT_CEL_VERSION,
  CONTENT_COS,
  CONTENT_FIRMWARE_END,
  CONTENT_IMA_TEMPLATE,
  CONTENT_IMA_TLV,
  CONTENT_PCCLIENT_STD,
  CONTENT_STATE_TRANS,
  CONTENT_SYSTEMD,
  CONTENT_UNKNOWN,
  eventTypeNumber,
} from '../event-types.ts'
import type { LogEvent } from '../log.ts'

/** The part of an event that its content makes. */
export type Content = Pick<LogEvent, 'type' | 'data' | 'attributes' | 'label'>

/** Numbers and names of content types: Canonical Event Log Format 1.1 table 2. */
export const CONTENT_TYPE = {
  cel: 4,
  pcclient_std: 5,
  ima_template: 7,
  ima_tlv: 8,
  systemd: 9,
  cos: 80,
} as const

export type ContentName = keyof typeof CONTENT_TYPE

const names: ReadonlyMap<number, ContentName> = new Map([
  [CONTENT_TYPE.cel, 'cel'],
  [CONTENT_TYPE.pcclient_std, 'pcclient_std'],
  [CONTENT_TYPE.ima_template, 'ima_template'],
  [CONTENT_TYPE.ima_tlv, 'ima_tlv'],
  [CONTENT_TYPE.systemd, 'systemd'],
  [CONTENT_TYPE.cos, 'cos'],
])

export function contentName(number: number): ContentName | undefined {
  return names.get(number)
}

/** Management events: section 4.4 table 5. The first two are not measured. */
export const MANAGEMENT = { cel_version: 1, firmware_end: 2, cel_timestamp: 80, state_trans: 81 } as const

const MANAGEMENT_TYPES: ReadonlyMap<number, number> = new Map([
  [MANAGEMENT.cel_version, CONTENT_CEL_VERSION],
  [MANAGEMENT.firmware_end, CONTENT_FIRMWARE_END],
  [MANAGEMENT.cel_timestamp, CONTENT_CEL_TIMESTAMP],
  [MANAGEMENT.state_trans, CONTENT_STATE_TRANS],
])

/** TPMI_STATE_TRANS: table 8. */
export const STATE_TRANSITIONS = ['suspend', 'hibernate', 'kexec'] as const

/** A management event; `text` is what it says. `undefined` for a type that does not exist. */
export function managementContent(type: number, text: string): Content | undefined {
  const number = MANAGEMENT_TYPES.get(type)
  return number === undefined ? undefined : { type: number, data: Buffer.from(text, 'utf8'), label: true }
}

/** An event of the PC Client profile: the same event as in a native log. */
export function pcClientContent(eventType: number | string, data: Buffer): Content {
  if (typeof eventType === 'number') return { type: eventType, data }
  const hex = /^0x([0-9a-f]{1,8})$/i.exec(eventType)?.[1]
  const type = hex === undefined ? eventTypeNumber(eventType) : Number.parseInt(hex, 16)
  return type === undefined ? { type: CONTENT_PCCLIENT_STD, data, attributes: { eventType } } : { type, data }
}

export function imaTemplateContent(template: string, data: Buffer): Content {
  return { type: CONTENT_IMA_TEMPLATE, data, attributes: { template } }
}

export function imaTlvContent(data: Buffer): Content {
  return { type: CONTENT_IMA_TLV, data }
}

/** The bare text that systemd measured, without what its own log has beside it. */
export function systemdContent(data: Buffer): Content {
  return { type: CONTENT_SYSTEMD, data }
}

export function cosContent(data: Buffer): Content {
  return { type: CONTENT_COS, data }
}

/** A content that this program does not know is data: its digests replay like any other's. */
export function unknownContent(contentType: number | string, data: Buffer): Content {
  return { type: CONTENT_UNKNOWN, data, attributes: { contentType } }
}
