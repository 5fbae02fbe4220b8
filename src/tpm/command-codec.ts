import { constant, decode, encode, restBytes, sized, struct, u16, u32, u8 } from '../codec/index.ts'
import { TouchstoneError, view } from '../core/index.ts'
import type { Command } from './commands.ts'
import { TPM2B_DIGEST } from './primitives.ts'

// The frame of commands and responses: TPM 2.0 Library Part 1 section 18, Part 3 section 5.

const TPM_ST_NO_SESSIONS = 0x8001
const TPM_ST_SESSIONS = 0x8002
const TPM_RS_PW = 0x40000009
const HEADER_SIZE = 10
/** Far beyond the 4096 bytes of the TPMs that are known. */
const MAX_PARAMETERS = { max: 16_384 }

const HEADER = struct({ tag: u16, size: u32, code: u32, body: restBytes })
const TPMS_AUTH_COMMAND = struct({
  sessionHandle: constant(u32, TPM_RS_PW),
  nonce: TPM2B_DIGEST,
  sessionAttributes: u8,
  hmac: TPM2B_DIGEST,
})
const TPMS_AUTH_RESPONSE = struct({ nonce: TPM2B_DIGEST, sessionAttributes: u8, hmac: TPM2B_DIGEST })

const EMPTY = Buffer.alloc(0)

/**
 * The bytes of a command. Where the first handle needs authorisation, `password` travels in the clear: this is for empty
 * values and for software TPMs, not for secrets.
 */
export function encodeCommand<H extends string, P, R>(
  command: Command<H, P, R>,
  handles: Readonly<Record<H, number>>,
  parameters: P,
  password: Uint8Array = EMPTY,
): Buffer {
  const body = Buffer.concat([
    ...command.handles.map((name) => encode(u32, handles[name])),
    command.authorised ? passwordArea(password) : EMPTY,
    encode(command.parameters, parameters),
  ])
  const tag = command.authorised ? TPM_ST_SESSIONS : TPM_ST_NO_SESSIONS
  return encode(HEADER, { tag, size: HEADER_SIZE + body.byteLength, code: command.code, body })
}

function passwordArea(password: Uint8Array): Buffer {
  const auth = { sessionHandle: TPM_RS_PW, nonce: EMPTY, sessionAttributes: 0, hmac: view(password) }
  return encode(sized(u32, TPMS_AUTH_COMMAND, MAX_PARAMETERS), auth)
}

export type ResponseResult<R> =
  | { readonly ok: true; readonly response: R }
  /** Not 0; {@link explainRc} says what it means. */
  | { readonly ok: false; readonly rc: number }

/** Reads a whole response. A refusal by the TPM is a result; bytes that are no response to this command throw. */
export function decodeResponse<H extends string, P, R>(
  command: Command<H, P, R>,
  bytes: Uint8Array,
): ResponseResult<R> {
  const { tag, size, code: rc, body } = decode('response', HEADER, bytes)
  if (size !== bytes.byteLength) throw malformed(`its size says ${size}, it has ${bytes.byteLength} bytes`)
  if (rc !== 0) {
    if (body.byteLength !== 0) throw malformed('bytes follow an error code')
    return { ok: false, rc }
  }
  if (tag !== (command.authorised ? TPM_ST_SESSIONS : TPM_ST_NO_SESSIONS)) {
    throw malformed(`tag 0x${tag.toString(16)} is not the one of this command`)
  }
  if (!command.authorised) return { ok: true, response: decode('response', command.response, body) }
  const withSession = struct({
    parameters: sized(u32, command.response, MAX_PARAMETERS),
    session: TPMS_AUTH_RESPONSE,
  })
  return { ok: true, response: decode('response', withSession, body).parameters }
}

function malformed(problem: string): TouchstoneError {
  return new TouchstoneError('tpm.response_malformed', `the response is malformed: ${problem}`)
}
