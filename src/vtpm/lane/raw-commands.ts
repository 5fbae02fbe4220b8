import { HEADER_BYTES, TPM_ST } from '../../tpm/index.ts'

// The commands with which the lane swaps and looks around, as bytes: they are part of other commands' time.

export const TPM_CC = {
  CONTEXT_LOAD: 0x161,
  CONTEXT_SAVE: 0x162,
  FLUSH_CONTEXT: 0x165,
  NV_READ_PUBLIC: 0x169,
  GET_CAPABILITY: 0x17a,
} as const

/** TPM_CAP: Part 2 section 6.12. */
export const TPM_CAP = { HANDLES: 1, COMMANDS: 2, TPM_PROPERTIES: 6 } as const

/** A command without sessions whose handles and parameters are all 32 bits wide. */
export function rawCommand(code: number, ...words: readonly number[]): Buffer {
  const command = Buffer.allocUnsafe(HEADER_BYTES + 4 * words.length)
  writeHeader(command, code)
  words.forEach((word, index) => command.writeUInt32BE(word, HEADER_BYTES + 4 * index))
  return command
}

/** TPM2_ContextSave's response and TPM2_ContextLoad are the same bytes but for the code: one becomes the other. */
export function contextLoadOf(saved: Buffer): Buffer {
  const command = Buffer.from(saved)
  writeHeader(command, TPM_CC.CONTEXT_LOAD)
  return command
}

/** The TPMS_CONTEXT in a response to TPM2_ContextSave, or in a TPM2_ContextLoad. */
export function contextIn(message: Buffer): Buffer {
  return message.subarray(HEADER_BYTES)
}

export function contextLoadCommand(context: Buffer): Buffer {
  return framed(TPM_CC.CONTEXT_LOAD, context)
}

/** A response without sessions that says that all went well. */
export function successResponse(...body: readonly Buffer[]): Buffer {
  return framed(0, ...body)
}

function framed(code: number, ...body: readonly Buffer[]): Buffer {
  const message = Buffer.concat([Buffer.allocUnsafe(HEADER_BYTES), ...body])
  writeHeader(message, code)
  return message
}

function writeHeader(message: Buffer, code: number): void {
  message.writeUInt16BE(TPM_ST.NO_SESSIONS, 0)
  message.writeUInt32BE(message.byteLength, 2)
  message.writeUInt32BE(code, 6)
}

/** The response code of a whole response. */
export function rcOf(response: Buffer): number {
  return response.readUInt32BE(6)
}
