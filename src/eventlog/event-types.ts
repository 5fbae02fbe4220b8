import { isLaunchRegister, REGISTERS } from './registers.ts'

/**
 * How the digest of an event relates to its payload, by the rule of its type:
 * - `none`: not a measurement (EV_NO_ACTION)
 * - `data`: digest = H(payload), always
 * - `variable-data`: digest = H(variable data); some firmware hashes the whole payload
 * - `maybe-data`: digest = H(payload) where the writer says so by doing it; else the payload is a mere label
 * - `writer`: the boot loader that wrote the event has a rule (see writers.ts), or the payload is a mere label
 * - `ima`: digest = H(template data), or what older kernels make of it; of a violation, nothing
 * - `unbound`: the digest is of something that is not in the log
 */
export type BindingRule = 'none' | 'data' | 'variable-data' | 'maybe-data' | 'writer' | 'ima' | 'unbound'

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
  | 'ima'
  | 'cos'
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
export const EV_ACTION = 0x5
export const EV_S_CRTM_VERSION = 0x8
export const EV_IPL = 0xd
const EV_EFI_EVENT_BASE = 0x80000000
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
/** Intel TXT: the hash sequence of SENTER, which is the dynamic launch itself. */
export const EVTYPE_HASH_START = 0x402

/**
 * Events of other logs than the TCG's have no type of 32 bits. They get numbers that no TCG log can hold: the content type
 * of the Canonical Event Log (version 1.1 table 2), and for its management events their own type behind it.
 */
const CONTENT = 0x1_0000_0000
export const CONTENT_CEL_VERSION = CONTENT + 0x401
export const CONTENT_FIRMWARE_END = CONTENT + 0x402
export const CONTENT_CEL_TIMESTAMP = CONTENT + 0x450
export const CONTENT_STATE_TRANS = CONTENT + 0x451
/** An event of the PC Client profile whose type is a name that this program does not know. */
export const CONTENT_PCCLIENT_STD = CONTENT + 5
export const CONTENT_IMA_TEMPLATE = CONTENT + 7
export const CONTENT_IMA_TLV = CONTENT + 8
export const CONTENT_SYSTEMD = CONTENT + 9
/** Container-Optimized OS; not registered with the TCG. */
export const CONTENT_COS = CONTENT + 80
/** A content type that this program does not know. */
export const CONTENT_UNKNOWN = CONTENT + 0xffff

const os = [8, 9, 10, 11, 12, 13, 14, 15] as const

/**
 * PC Client Platform Firmware Profile 1.06 section 10.4.1 (table of event types), EFI Platform Specification 1.22 for
 * the older ones. Every event type that this program knows, and everything that it knows of it.
 */
const rows: readonly (readonly [number, EventType])[] = [
  [0x0, { name: 'EV_PREBOOT_CERT', rule: 'unbound', payload: 'opaque', pcrs: [0] }],
  [0x1, { name: 'EV_POST_CODE', rule: 'unbound', payload: 'blob', pcrs: [0] }],
  [0x2, { name: 'EV_UNUSED', rule: 'maybe-data', payload: 'opaque' }],
  [EV_NO_ACTION, { name: 'EV_NO_ACTION', rule: 'none', payload: 'opaque' }],
  // Windows closes PCR 11 to 14 with separators of its own.
  [EV_SEPARATOR, { name: 'EV_SEPARATOR', rule: 'data', payload: 'separator' }],
  [EV_ACTION, { name: 'EV_ACTION', rule: 'data', payload: 'text' }],
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
  [0x13, { name: 'EV_POST_CODE2', rule: 'unbound', payload: 'blob2', pcrs: [0] }],
  // No event should have it; a log may.
  [EV_EFI_EVENT_BASE, { name: 'EV_EFI_EVENT_BASE', rule: 'maybe-data', payload: 'opaque' }],
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
  // contents of canonical and userspace logs
  [CONTENT_CEL_VERSION, { name: 'cel_version', rule: 'none', payload: 'text' }],
  [CONTENT_FIRMWARE_END, { name: 'firmware_end', rule: 'none', payload: 'text' }],
  [CONTENT_CEL_TIMESTAMP, { name: 'cel_timestamp', rule: 'maybe-data', payload: 'text' }],
  [CONTENT_STATE_TRANS, { name: 'state_trans', rule: 'maybe-data', payload: 'text' }],
  [CONTENT_PCCLIENT_STD, { name: 'pcclient_std', rule: 'maybe-data', payload: 'opaque' }],
  [CONTENT_IMA_TEMPLATE, { name: 'ima_template', rule: 'ima', payload: 'ima' }],
  [CONTENT_IMA_TLV, { name: 'ima_tlv', rule: 'maybe-data', payload: 'opaque' }],
  [CONTENT_SYSTEMD, { name: 'systemd', rule: 'data', payload: 'text' }],
  [CONTENT_COS, { name: 'cos', rule: 'data', payload: 'cos' }],
  [CONTENT_UNKNOWN, { name: 'unknown_content', rule: 'maybe-data', payload: 'opaque' }],
]

/**
 * Types of the programs that run after a dynamic launch. They mean this in its registers alone: firmware uses the same
 * numbers for things of its own.
 */
const launchRows: readonly (readonly [number, EventType])[] = [
  // Intel TXT Software Development Guide, appendix on the event log. The mapping is said of register 255.
  [0x401, { name: 'EVTYPE_PCR_MAPPING', rule: 'none', payload: 'opaque' }],
  [EVTYPE_HASH_START, { name: 'EVTYPE_HASH_START', rule: 'maybe-data', payload: 'opaque' }],
  [0x403, { name: 'EVTYPE_COMBINED_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x404, { name: 'EVTYPE_MLE_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x40a, { name: 'EVTYPE_BIOSAC_REG_DATA', rule: 'maybe-data', payload: 'opaque' }],
  [0x40b, { name: 'EVTYPE_CPU_SCRTM_STAT', rule: 'maybe-data', payload: 'opaque' }],
  [0x40c, { name: 'EVTYPE_LCP_CONTROL_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x40d, { name: 'EVTYPE_ELEMENTS_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x40e, { name: 'EVTYPE_STM_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x40f, { name: 'EVTYPE_OSSINITDATA_CAP_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x410, { name: 'EVTYPE_SINIT_PUBKEY_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x411, { name: 'EVTYPE_LCP_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x412, { name: 'EVTYPE_LCP_DETAILS_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x413, { name: 'EVTYPE_LCP_AUTHORITIES_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x414, { name: 'EVTYPE_NV_INFO_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x415, { name: 'EVTYPE_COLD_BOOT_BIOS_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x416, { name: 'EVTYPE_KM_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x417, { name: 'EVTYPE_BPM_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x418, { name: 'EVTYPE_KM_INFO_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x419, { name: 'EVTYPE_BPM_INFO_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x41a, { name: 'EVTYPE_BOOT_POL_HASH', rule: 'maybe-data', payload: 'opaque' }],
  [0x4fe, { name: 'EVTYPE_RANDOM_VALUE', rule: 'maybe-data', payload: 'opaque' }],
  [0x4ff, { name: 'EVTYPE_CAP_VALUE', rule: 'maybe-data', payload: 'opaque' }],
  // Linux include/linux/slaunch.h, and AMD's loader of the same project. Start and end mark where the kernel's begin.
  [0x502, { name: 'EV_SLAUNCH', rule: 'maybe-data', payload: 'text' }],
  [0x503, { name: 'EV_SLAUNCH_START', rule: 'none', payload: 'text' }],
  [0x504, { name: 'EV_SLAUNCH_END', rule: 'none', payload: 'text' }],
  // AMD Secure Loader, as Windows' wbcl.h names them
  [0x8001, { name: 'EV_AMD_SL_LOAD', rule: 'maybe-data', payload: 'opaque' }],
  [0x8002, { name: 'EV_AMD_SL_PSP_FW_SPLT', rule: 'maybe-data', payload: 'opaque' }],
  [0x8003, { name: 'EV_AMD_SL_TSME_RB_FUSE', rule: 'maybe-data', payload: 'opaque' }],
  [0x8004, { name: 'EV_AMD_SL_PUB_KEY', rule: 'maybe-data', payload: 'opaque' }],
  [0x8005, { name: 'EV_AMD_SL_SVN', rule: 'maybe-data', payload: 'opaque' }],
  [0x8006, { name: 'EV_AMD_SL_LOAD_1', rule: 'maybe-data', payload: 'opaque' }],
  [0x8007, { name: 'EV_AMD_SL_SEPARATOR', rule: 'maybe-data', payload: 'opaque' }],
  // Arm DEN0113 (DRTM architecture) section 3.16
  [0x9001, { name: 'DRTM_EVENT_ARM_PCR_SCHEMA', rule: 'maybe-data', payload: 'opaque' }],
  [0x9002, { name: 'DRTM_EVENT_ARM_DCE', rule: 'maybe-data', payload: 'opaque' }],
  [0x9003, { name: 'DRTM_EVENT_ARM_DCE_PUBKEY', rule: 'maybe-data', payload: 'opaque' }],
  [0x9004, { name: 'DRTM_EVENT_ARM_DLME', rule: 'maybe-data', payload: 'opaque' }],
  [0x9005, { name: 'DRTM_EVENT_ARM_DLME_EP', rule: 'maybe-data', payload: 'opaque' }],
  [0x9006, { name: 'DRTM_EVENT_ARM_DEBUG_CONFIG', rule: 'maybe-data', payload: 'opaque' }],
  [0x9007, { name: 'DRTM_EVENT_ARM_NONSECURE_CONFIG', rule: 'maybe-data', payload: 'opaque' }],
  [0x9008, { name: 'DRTM_EVENT_ARM_DCE_SECONDARY', rule: 'maybe-data', payload: 'opaque' }],
  [0x9009, { name: 'DRTM_EVENT_ARM_TZFW', rule: 'maybe-data', payload: 'opaque' }],
  [0x900a, { name: 'DRTM_EVENT_ARM_SEPARATOR', rule: 'data', payload: 'text' }],
  // Google's hosts (go-eventlog `tcg`): firmware in PCR 17, kernel in 21
  [0x10000000, { name: 'EV_GOOGLE_DRTM_EVENT', rule: 'maybe-data', payload: 'text' }],
]

const byNumber: ReadonlyMap<number, EventType> = new Map(rows)
const launchByNumber: ReadonlyMap<number, EventType> = new Map(launchRows)

/** The row of an event type, or `undefined` for one that this program does not know: data, not an error. */
export function eventType(type: number, register: number): EventType | undefined {
  return byNumber.get(type) ?? (isLaunchPlace(register) ? launchByNumber.get(type) : undefined)
}

/** Registers of a launch, and those that no TPM has: Intel's mapping of registers is said of number 255. */
function isLaunchPlace(register: number): boolean {
  return isLaunchRegister(register) || register >= REGISTERS
}

const numbers: ReadonlyMap<string, number> = new Map(
  [...rows, ...launchRows].map(([number, { name }]) => [name, number]),
)

/** The number of a TCG event type by its EV_ name. */
export function eventTypeNumber(name: string): number | undefined {
  const number = numbers.get(name)
  return number === undefined || number >= CONTENT ? undefined : number
}

/** Whether events of a type extend their register: EV_NO_ACTION and marks of the log's writer do not. */
export function isMeasuredType(type: number, register: number): boolean {
  if (type < FIRST_LAUNCH_TYPE) return type !== EV_NO_ACTION
  return type >= EV_EFI_EVENT_BASE && type < CONTENT ? true : eventType(type, register)?.rule !== 'none'
}

const FIRST_LAUNCH_TYPE = 0x400
/** Whether an event is of a program that runs after a dynamic launch. */
export function isLaunchType(type: number, register: number): boolean {
  return isLaunchRegister(register) && launchByNumber.has(type)
}

/** The EV_ name of a type, or `0x…`. The name of some depends on the register. */
export function eventTypeName(type: number, register = 0): string {
  return eventType(type, register)?.name ?? `0x${type.toString(16)}`
}
