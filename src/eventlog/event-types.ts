/**
 * How the digest of an event relates to its payload, by the rule of its type:
 * - `none`: not a measurement (EV_NO_ACTION)
 * - `data`: digest = H(payload), always
 * - `variable-data`: digest = H(variable data); some firmware hashes the whole payload
 * - `maybe-data`: digest = H(payload) where the writer says so by doing it; else the payload is a mere label
 * - `writer`: the boot loader that wrote the event has a rule (see writers.ts), or the payload is a mere label
 * - `unbound`: the digest is of something that is not in the log
 */
export type BindingRule = 'none' | 'data' | 'variable-data' | 'maybe-data' | 'writer' | 'unbound'

/** What the payload of a type is, for decoding and for summaries. */
export type PayloadKind =
  | 'variable'
  | 'gpt'
  | 'gpt2'
  | 'image'
  | 'blob'
  | 'blob2'
  | 'tables'
  | 'tables2'
  | 'separator'
  | 'text'
  | 'version'
  | 'tagged'
  | 'opaque'

export interface EventType {
  readonly name: string
  readonly rule: BindingRule
  readonly payload: PayloadKind
  /** The PCRs that the type belongs in, by specification and by what real machines do; absent: anywhere. */
  readonly pcrs?: readonly number[]
}

export const EV_NO_ACTION = 0x3
export const EV_SEPARATOR = 0x4
export const EV_S_CRTM_VERSION = 0x8
export const EV_IPL = 0xd
export const EV_EFI_VARIABLE_DRIVER_CONFIG = 0x80000001
export const EV_EFI_VARIABLE_BOOT = 0x80000002
const EV_EFI_GPT_EVENT = 0x80000006
export const EV_EFI_ACTION = 0x80000007
export const EV_EFI_VARIABLE_BOOT2 = 0x8000000c
const EV_EFI_GPT_EVENT2 = 0x8000000d
export const EV_EFI_HCRTM_EVENT = 0x80000010
export const EV_EFI_VARIABLE_AUTHORITY = 0x800000e0
export const EV_EFI_SPDM_DEVICE_POLICY = 0x800000e3
export const EV_EFI_SPDM_DEVICE_AUTHORITY = 0x800000e4

const os = [8, 9, 10, 11, 12, 13, 14, 15] as const

/**
 * PC Client Platform Firmware Profile 1.06 section 10.4.1 (table of event types), EFI Platform Specification 1.22 for
 * the older ones. Every event type that this program knows, and everything that it knows of it.
 */
const rows: readonly (readonly [number, EventType])[] = [
  [0x0, { name: 'EV_PREBOOT_CERT', rule: 'unbound', payload: 'opaque', pcrs: [0] }],
  [0x1, { name: 'EV_POST_CODE', rule: 'unbound', payload: 'blob', pcrs: [0] }],
  [EV_NO_ACTION, { name: 'EV_NO_ACTION', rule: 'none', payload: 'opaque' }],
  // Windows closes PCR 11 to 14 with separators of its own.
  [EV_SEPARATOR, { name: 'EV_SEPARATOR', rule: 'data', payload: 'separator' }],
  [0x5, { name: 'EV_ACTION', rule: 'data', payload: 'text' }],
  [0x6, { name: 'EV_EVENT_TAG', rule: 'maybe-data', payload: 'tagged' }],
  [0x7, { name: 'EV_S_CRTM_CONTENTS', rule: 'unbound', payload: 'blob', pcrs: [0] }],
  [EV_S_CRTM_VERSION, { name: 'EV_S_CRTM_VERSION', rule: 'data', payload: 'version', pcrs: [0] }],
  [0x9, { name: 'EV_CPU_MICROCODE', rule: 'unbound', payload: 'text', pcrs: [0, 1] }],
  [0xa, { name: 'EV_PLATFORM_CONFIG_FLAGS', rule: 'maybe-data', payload: 'text', pcrs: [0, 1] }],
  [0xb, { name: 'EV_TABLE_OF_DEVICES', rule: 'maybe-data', payload: 'tables', pcrs: [0, 1] }],
  [0xc, { name: 'EV_COMPACT_HASH', rule: 'maybe-data', payload: 'text', pcrs: [4, 5, 6, 7, ...os] }],
  [EV_IPL, { name: 'EV_IPL', rule: 'writer', payload: 'text', pcrs: [4, 5, ...os] }],
  [0xe, { name: 'EV_IPL_PARTITION_DATA', rule: 'maybe-data', payload: 'opaque', pcrs: [4, 5] }],
  [0xf, { name: 'EV_NONHOST_CODE', rule: 'maybe-data', payload: 'opaque', pcrs: [0, 2] }],
  [0x10, { name: 'EV_NONHOST_CONFIG', rule: 'maybe-data', payload: 'opaque', pcrs: [0, 1, 3] }],
  [0x11, { name: 'EV_NONHOST_INFO', rule: 'maybe-data', payload: 'text', pcrs: [0, 1, 3] }],
  [0x12, { name: 'EV_OMIT_BOOT_DEVICE_EVENTS', rule: 'maybe-data', payload: 'text', pcrs: [4] }],
  [
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    { name: 'EV_EFI_VARIABLE_DRIVER_CONFIG', rule: 'data', payload: 'variable', pcrs: [1, 3, 5, 7, 14] },
  ],
  [EV_EFI_VARIABLE_BOOT, { name: 'EV_EFI_VARIABLE_BOOT', rule: 'variable-data', payload: 'variable', pcrs: [1, 5] }],
  [0x80000003, { name: 'EV_EFI_BOOT_SERVICES_APPLICATION', rule: 'unbound', payload: 'image', pcrs: [2, 4] }],
  [0x80000004, { name: 'EV_EFI_BOOT_SERVICES_DRIVER', rule: 'unbound', payload: 'image', pcrs: [0, 2, 4] }],
  [0x80000005, { name: 'EV_EFI_RUNTIME_SERVICES_DRIVER', rule: 'unbound', payload: 'image', pcrs: [0, 2, 4] }],
  [EV_EFI_GPT_EVENT, { name: 'EV_EFI_GPT_EVENT', rule: 'data', payload: 'gpt', pcrs: [5] }],
  [EV_EFI_ACTION, { name: 'EV_EFI_ACTION', rule: 'data', payload: 'text' }],
  [0x80000008, { name: 'EV_EFI_PLATFORM_FIRMWARE_BLOB', rule: 'unbound', payload: 'blob', pcrs: [0, 1, 2, 4] }],
  [0x80000009, { name: 'EV_EFI_HANDOFF_TABLES', rule: 'unbound', payload: 'tables', pcrs: [0, 1] }],
  [0x8000000a, { name: 'EV_EFI_PLATFORM_FIRMWARE_BLOB2', rule: 'unbound', payload: 'blob2', pcrs: [0, 1, 2, 4] }],
  [0x8000000b, { name: 'EV_EFI_HANDOFF_TABLES2', rule: 'unbound', payload: 'tables2', pcrs: [0, 1] }],
  [EV_EFI_VARIABLE_BOOT2, { name: 'EV_EFI_VARIABLE_BOOT2', rule: 'data', payload: 'variable', pcrs: [1, 5] }],
  [EV_EFI_GPT_EVENT2, { name: 'EV_EFI_GPT_EVENT2', rule: 'data', payload: 'gpt2', pcrs: [5] }],
  [EV_EFI_HCRTM_EVENT, { name: 'EV_EFI_HCRTM_EVENT', rule: 'unbound', payload: 'text', pcrs: [0] }],
  [EV_EFI_VARIABLE_AUTHORITY, { name: 'EV_EFI_VARIABLE_AUTHORITY', rule: 'data', payload: 'variable', pcrs: [7] }],
  [0x800000e1, { name: 'EV_EFI_SPDM_FIRMWARE_BLOB', rule: 'data', payload: 'opaque', pcrs: [2] }],
  [0x800000e2, { name: 'EV_EFI_SPDM_FIRMWARE_CONFIG', rule: 'data', payload: 'opaque', pcrs: [3] }],
  [EV_EFI_SPDM_DEVICE_POLICY, { name: 'EV_EFI_SPDM_DEVICE_POLICY', rule: 'data', payload: 'variable', pcrs: [7] }],
  [
    EV_EFI_SPDM_DEVICE_AUTHORITY,
    { name: 'EV_EFI_SPDM_DEVICE_AUTHORITY', rule: 'data', payload: 'variable', pcrs: [7] },
  ],
]

const byNumber: ReadonlyMap<number, EventType> = new Map(rows)

/** The row of an event type, or `undefined` for one that this program does not know: data, not an error. */
export function eventType(type: number): EventType | undefined {
  return byNumber.get(type)
}

/** The EV_ name of a type, or `0x…`. */
export function eventTypeName(type: number): string {
  return byNumber.get(type)?.name ?? `0x${type.toString(16)}`
}
