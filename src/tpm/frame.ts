/**
 * Splits raw commands: TPM 2.0 Library Part 1 section 18 (structure), Part 3 section 5 (order of the checks). For whoever
 * stands between a client and a TPM, so it is strict, bounded, and costs under a microsecond: it reads from the buffer
 * that came in, copies nothing, and throws nothing. Faults are the return codes that a TPM would answer.
 */

export const TPM_ST = { RSP_COMMAND: 0x00c4, NO_SESSIONS: 0x8001, SESSIONS: 0x8002 } as const

/** Tag, size, and command or response code. */
export const HEADER_BYTES = 10

export const TPM_RS_PW = 0x40000009

/** TPM_RC by name, as far as Touchstone answers or acts on them itself: Part 2 section 6.6.3. */
export const TPM_RC = {
  SUCCESS: 0x000,
  BAD_TAG: 0x01e,
  // Format one: they are sent with a handle, parameter or session number, see `at`.
  ATTRIBUTES: 0x082,
  VALUE: 0x084,
  HIERARCHY: 0x085,
  HANDLE: 0x08b,
  SIZE: 0x095,
  INSUFFICIENT: 0x09a,
  POLICY_FAIL: 0x09d,
  INTEGRITY: 0x09f,
  RESERVED_BITS: 0x0a1,
  BAD_AUTH: 0x0a2,
  // Format zero.
  FAILURE: 0x101,
  POLICY: 0x126,
  COMMAND_SIZE: 0x142,
  COMMAND_CODE: 0x143,
  AUTHSIZE: 0x144,
  AUTH_CONTEXT: 0x145,
  NV_SPACE: 0x14b,
  BAD_CONTEXT: 0x150,
  // Warnings.
  CONTEXT_GAP: 0x901,
  OBJECT_MEMORY: 0x902,
  SESSION_MEMORY: 0x903,
  MEMORY: 0x904,
  SESSION_HANDLES: 0x905,
  OBJECT_HANDLES: 0x906,
  YIELDED: 0x908,
  CANCELED: 0x909,
  TESTING: 0x90a,
  REFERENCE_H0: 0x910,
  REFERENCE_S0: 0x918,
  NV_RATE: 0x920,
  LOCKOUT: 0x921,
  RETRY: 0x922,
  NV_UNAVAILABLE: 0x923,
} as const

/** A format-one code about a handle, a parameter or a session, counted from 1. */
export const atHandle = (rc: number, number: number): number => rc | (number << 8)
export const atParameter = (rc: number, number: number): number => rc | 0x40 | (number << 8)
export const atSession = (rc: number, number: number): number => rc | 0x800 | (number << 8)

/** One TPMS_AUTH_COMMAND; nonce and hmac are not looked into. */
export interface CommandSession {
  readonly handle: number
  /** TPMA_SESSION: Part 2 section 8.4. */
  readonly attributes: number
}

export const TPMA_SESSION = { continueSession: 0x01, decrypt: 0x20, encrypt: 0x40 } as const

/** Where the parts of a command are. Offsets count from its first byte. */
export interface CommandFrame {
  readonly code: number
  /** In the order of the command; the first is at byte 10. */
  readonly handles: readonly number[]
  readonly sessions: readonly CommandSession[]
  readonly parametersAt: number
}

const NO_HANDLES: readonly number[] = []
const NO_SESSIONS: readonly CommandSession[] = []
const MOST_SESSIONS = 3
/** Handle, empty nonce, attributes, empty hmac: Part 1 section 18.6. */
const LEAST_AUTH_AREA = 9
const LARGEST_DIGEST = 64
const RESERVED_SESSION_BITS = 0x18

/**
 * Splits `command`, or answers the return code of its first fault. `handlesOf` says how many handles a command code has
 * (bits 25 to 27 of its TPMA_CC), `undefined` for one that there is not; `largest` is the size of the TPM's buffer.
 */
export function splitCommand(
  command: Buffer,
  handlesOf: (code: number) => number | undefined,
  largest: number,
): CommandFrame | number {
  const length = command.byteLength
  if (length < HEADER_BYTES || length > largest) return TPM_RC.COMMAND_SIZE
  const tag = command.readUInt16BE(0)
  if (tag !== TPM_ST.NO_SESSIONS && tag !== TPM_ST.SESSIONS) return TPM_RC.BAD_TAG
  if (command.readUInt32BE(2) !== length) return TPM_RC.COMMAND_SIZE
  const code = command.readUInt32BE(6)
  const count = handlesOf(code)
  if (count === undefined) return TPM_RC.COMMAND_CODE
  const handlesEnd = HEADER_BYTES + 4 * count
  if (handlesEnd > length) {
    return atHandle(TPM_RC.INSUFFICIENT, Math.floor((length - HEADER_BYTES) / 4) + 1)
  }
  const handles = count === 0 ? NO_HANDLES : readHandles(command, count)
  if (tag === TPM_ST.NO_SESSIONS) return { code, handles, sessions: NO_SESSIONS, parametersAt: handlesEnd }
  if (handlesEnd + 4 > length) return TPM_RC.AUTHSIZE
  const size = command.readUInt32BE(handlesEnd)
  const parametersAt = handlesEnd + 4 + size
  if (size < LEAST_AUTH_AREA || parametersAt > length) return TPM_RC.AUTHSIZE
  const sessions = readSessions(command, handlesEnd + 4, parametersAt)
  return typeof sessions === 'number' ? sessions : { code, handles, sessions, parametersAt }
}

function readHandles(command: Buffer, count: number): readonly number[] {
  const handles: number[] = []
  for (let index = 0; index < count; index++) handles.push(command.readUInt32BE(HEADER_BYTES + 4 * index))
  return handles
}

function readSessions(command: Buffer, start: number, end: number): readonly CommandSession[] | number {
  const sessions: CommandSession[] = []
  let at = start
  while (at < end) {
    const number = sessions.length + 1
    if (number > MOST_SESSIONS) return TPM_RC.AUTHSIZE
    if (at + 6 > end) return atSession(TPM_RC.INSUFFICIENT, number)
    const handle = command.readUInt32BE(at)
    if (handle !== TPM_RS_PW && !isSessionHandle(handle)) return atSession(TPM_RC.VALUE, number)
    const nonceSize = command.readUInt16BE(at + 4)
    if (nonceSize > LARGEST_DIGEST) return atSession(TPM_RC.SIZE, number)
    at += 6 + nonceSize
    if (at + 3 > end) return atSession(TPM_RC.INSUFFICIENT, number)
    const attributes = command.readUInt8(at)
    if ((attributes & RESERVED_SESSION_BITS) !== 0) return atSession(TPM_RC.RESERVED_BITS, number)
    const hmacSize = command.readUInt16BE(at + 1)
    if (hmacSize > LARGEST_DIGEST) return atSession(TPM_RC.SIZE, number)
    at += 3 + hmacSize
    if (at > end) return atSession(TPM_RC.INSUFFICIENT, number)
    sessions.push({ handle, attributes })
  }
  return sessions
}

/** Part 2 section 7.2: TPM_HT_HMAC_SESSION and TPM_HT_POLICY_SESSION. */
export function isSessionHandle(handle: number): boolean {
  const type = handle >>> 24
  return type === 0x02 || type === 0x03
}

/** TPM_HT_TRANSIENT. */
export function isTransientHandle(handle: number): boolean {
  return handle >>> 24 === 0x80
}

/** The whole response that a TPM gives with an error: Part 1 section 18.9; Part 3 section 5.2 for the odd tag of a bad one. */
export function errorResponse(rc: number): Buffer {
  const response = Buffer.allocUnsafe(HEADER_BYTES)
  response.writeUInt16BE(rc === TPM_RC.BAD_TAG ? TPM_ST.RSP_COMMAND : TPM_ST.NO_SESSIONS, 0)
  response.writeUInt32BE(HEADER_BYTES, 2)
  response.writeUInt32BE(rc, 6)
  return response
}
