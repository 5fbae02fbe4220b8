import { decode, encode, Reader, restBytes, sizedBytes, struct, u16, u32, u8 } from '../codec/index.ts'
import type { Decoded } from '../codec/index.ts'
import { TouchstoneError, view } from '../core/index.ts'
import type { Command } from './commands.ts'
import { HEADER_BYTES, TPM_RS_PW, TPM_ST } from './frame.ts'
import { TPM2B_DIGEST } from './primitives.ts'

// The frame of commands and responses: TPM 2.0 Library Part 1 section 18, Part 3 section 5.

const HANDLE_SIZE = 4
/** Far beyond the 4096 bytes of the TPMs that are known. */
const PARAMETERS = sizedBytes(u32, { max: 16_384 })

const HEADER = struct({ tag: u16, size: u32, code: u32, body: restBytes })

const TPMS_AUTH_COMMAND = struct({
  sessionHandle: u32,
  nonce: TPM2B_DIGEST,
  sessionAttributes: u8,
  hmac: TPM2B_DIGEST,
})
export type TpmsAuthCommand = Decoded<typeof TPMS_AUTH_COMMAND>

const TPMS_AUTH_RESPONSE = struct({ nonce: TPM2B_DIGEST, sessionAttributes: u8, hmac: TPM2B_DIGEST })
export type TpmsAuthResponse = Decoded<typeof TPMS_AUTH_RESPONSE>

const EMPTY = Buffer.alloc(0)

/** An authorisation by the value itself. It travels in the clear: for empty values and software TPMs, not for secrets. */
export function passwordArea(password: Uint8Array): TpmsAuthCommand {
  return { sessionHandle: TPM_RS_PW, nonce: EMPTY, sessionAttributes: 0, hmac: view(password) }
}

/**
 * The bytes of a command. Where the first handle needs authorisation, `password` travels in the clear: this is for empty
 * values and for software TPMs, not for secrets. A second handle is authorised by the empty value.
 */
export function encodeCommand<H extends string, P, R>(
  command: Command<H, P, R>,
  handles: Readonly<Record<H, number>>,
  parameters: P,
  password: Uint8Array = EMPTY,
): Buffer {
  const areas = [password, EMPTY].slice(0, command.authorisations).map(passwordArea)
  const numbers = command.handles.map((name) => handles[name])
  return frameCommand(command.code, numbers, areas, encode(command.parameters, parameters))
}

/** The bytes of a command whose authorisations and parameters are made already. */
export function frameCommand(
  code: number,
  handles: readonly number[],
  areas: readonly TpmsAuthCommand[],
  parameters: Uint8Array,
): Buffer {
  const authorisation = Buffer.concat(areas.map((area) => encode(TPMS_AUTH_COMMAND, area)))
  const body = Buffer.concat([
    ...handles.map((handle) => encode(u32, handle)),
    areas.length === 0 ? EMPTY : encode(PARAMETERS, authorisation),
    parameters,
  ])
  const tag = areas.length === 0 ? TPM_ST.NO_SESSIONS : TPM_ST.SESSIONS
  return encode(HEADER, { tag, size: HEADER_BYTES + body.byteLength, code, body })
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
  const split = splitResponse(command, bytes, command.authorisations)
  if (!split.ok) return split
  const { handle, parameters } = split.response
  return { ok: true, response: decodeParameters(command, handle, parameters) }
}

/** A response taken apart, nothing of it checked but its form. */
export interface SplitResponse {
  /** Four bytes, or none. */
  readonly handle: Buffer
  /** As they came: the first may be encrypted still. */
  readonly parameters: Buffer
  /** As many as the command had. */
  readonly areas: readonly TpmsAuthResponse[]
}

/** Takes the response to a command with that many authorisations apart. */
export function splitResponse<H extends string, P, R>(
  command: Command<H, P, R>,
  bytes: Uint8Array,
  authorisations: number,
): ResponseResult<SplitResponse> {
  const { tag, size, code: rc, body } = decode('response', HEADER, bytes)
  if (size !== bytes.byteLength) throw malformed(`its size says ${size}, it has ${bytes.byteLength} bytes`)
  if (rc !== 0) {
    if (body.byteLength !== 0) throw malformed('bytes follow an error code')
    return { ok: false, rc }
  }
  if (tag !== (authorisations === 0 ? TPM_ST.NO_SESSIONS : TPM_ST.SESSIONS)) {
    throw malformed(`tag 0x${tag.toString(16)} is not the one of this command`)
  }
  const reader = new Reader(body, 'response')
  const handle = reader.bytes(command.makesHandle === true ? HANDLE_SIZE : 0)
  const parameters = authorisations === 0 ? reader.rest() : PARAMETERS.read(reader)
  const areas = Array.from({ length: authorisations }, () => TPMS_AUTH_RESPONSE.read(reader))
  reader.finish()
  return { ok: true, response: { handle, parameters, areas } }
}

/** The parts of a {@link SplitResponse} as the command's row declares them. */
export function decodeParameters<H extends string, P, R>(
  command: Command<H, P, R>,
  handle: Buffer,
  parameters: Buffer,
): R {
  return decode(
    'response',
    command.response,
    handle.byteLength === 0 ? parameters : Buffer.concat([handle, parameters]),
  )
}

function malformed(problem: string): TouchstoneError {
  return new TouchstoneError('tpm.response_malformed', `the response is malformed: ${problem}`)
}
