/**
 * The commands of swtpm's control channel as they come in from a guest's side (tpm_ioctl.h of swtpm): a big-endian u32,
 * then the request. All are listed, so that a refusal can be named and answered in the length that its sender waits for.
 */
interface ControlRow {
  readonly code: number
  /** Bytes of the request. Some clients send the whole union of request and response: then the second number. */
  readonly request: readonly [number] | readonly [number, number]
  /** Bytes of the response; every one but GET_CAPABILITY's begins with a u32 result. */
  readonly response: number
  /** More bytes follow, as many as the sender likes. */
  readonly open?: true
}

export const CONTROL = {
  GET_CAPABILITY: { code: 0x01, request: [0], response: 8 },
  INIT: { code: 0x02, request: [4], response: 4 },
  SHUTDOWN: { code: 0x03, request: [0], response: 4 },
  GET_TPMESTABLISHED: { code: 0x04, request: [0], response: 8 },
  SET_LOCALITY: { code: 0x05, request: [1, 4], response: 4 },
  HASH_START: { code: 0x06, request: [0], response: 4 },
  HASH_DATA: { code: 0x07, request: [4], response: 4, open: true },
  HASH_END: { code: 0x08, request: [0], response: 4 },
  CANCEL_TPM_CMD: { code: 0x09, request: [0], response: 4 },
  STORE_VOLATILE: { code: 0x0a, request: [0], response: 4 },
  RESET_TPMESTABLISHED: { code: 0x0b, request: [1, 4], response: 4 },
  GET_STATEBLOB: { code: 0x0c, request: [12], response: 16 },
  SET_STATEBLOB: { code: 0x0d, request: [12], response: 4, open: true },
  STOP: { code: 0x0e, request: [0], response: 4 },
  GET_CONFIG: { code: 0x0f, request: [0], response: 8 },
  SET_DATAFD: { code: 0x10, request: [0], response: 4 },
  SET_BUFFERSIZE: { code: 0x11, request: [4], response: 16 },
  GET_INFO: { code: 0x12, request: [16], response: 12 },
  LOCK_STORAGE: { code: 0x13, request: [4], response: 4 },
} as const satisfies Readonly<Record<string, ControlRow>>

export type ControlName = keyof typeof CONTROL

const BY_CODE = new Map<number, ControlName>(namesOf(CONTROL).map((name) => [CONTROL[name].code, name]))

function namesOf<T extends object>(table: T): readonly (keyof T)[] {
  return Object.keys(table).filter((name): name is keyof T & string => Object.hasOwn(table, name))
}

/** The longest command that is ever read to its end. */
const LONGEST = 64

export interface ControlCommand {
  readonly name: ControlName
  readonly request: Buffer
}

export type ControlInput =
  | { readonly kind: 'partial' }
  | { readonly kind: 'command'; readonly command: ControlCommand }
  /** Of a length that nobody can know, or of none that this command has: the connection is of no further use. */
  | { readonly kind: 'malformed'; readonly name: ControlName | undefined; readonly code: number }

/** What has come in since the last answer. Nobody sends a command before the last one was answered, so one is all there is. */
export function parseControl(received: Buffer): ControlInput {
  if (received.byteLength < 4) return { kind: 'partial' }
  const code = received.readUInt32BE(0)
  const name = BY_CODE.get(code)
  if (name === undefined || received.byteLength > LONGEST) return { kind: 'malformed', name, code }
  const row: ControlRow = CONTROL[name]
  const request = received.subarray(4)
  const [least, whole = least] = row.request
  if (request.byteLength < least) return { kind: 'partial' }
  if (row.open === true || (request.byteLength !== least && request.byteLength !== whole)) {
    return { kind: 'malformed', name, code }
  }
  return { kind: 'command', command: { name, request } }
}

/** Results as swtpm gives them: TPM 1.2 codes, whatever the TPM's version. */
export const RESULT = { success: 0, badParameter: 0x03, badOrdinal: 0x0a, badLocality: 0x3d, ioError: 0x1f } as const

/** The answer to `name` with this result, in its whole length. */
export function controlAnswer(name: ControlName | undefined, result: number, ...more: readonly number[]): Buffer {
  const answer = Buffer.alloc(name === undefined ? 4 : CONTROL[name].response)
  ;[result, ...more].forEach((word, index) => answer.writeUInt32BE(word, 4 * index))
  return answer
}
