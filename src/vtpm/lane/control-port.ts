import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import type { AuditLog } from './types.ts'

/**
 * The part of swtpm's control protocol (swtpm_ioctl(8), tpm_ioctl.h) that a tenant's tools need: what there is, locality 0,
 * and an end to a command that takes too long. The rest resets the TPM, reads its secrets or feeds its PCRs, and there is
 * nothing behind this port that could do it.
 */
const CMD_GET_CAPABILITY = 0x01
const CMD_SET_LOCALITY = 0x05
const CMD_CANCEL_TPM_CMD = 0x09

/** PTM_CAP_SET_LOCALITY and PTM_CAP_CANCEL_TPM_CMD. */
const CAPABILITIES = (1 << 3) | (1 << 5)

const TPM_SUCCESS = 0
const TPM_BAD_ORDINAL = 0x0a
const TPM_BAD_LOCALITY = 0x3d

/** A code, and one byte of locality. */
const LONGEST_REQUEST = 5
/** Requests that may come at once; tools send one and wait for its answer. */
const MOST_AT_ONCE = 16

export interface ControlPort {
  readonly tenant: string
  readonly audit: AuditLog
  /** Calls off the command of this tenant that is under way, if there is one. */
  cancel(): void
  /** Milliseconds without a request after which the connection is closed. */
  readonly idleTimeoutMs: number
  /** Milliseconds for which a refused connection stays, silent: the next one is not there at once to be written down too. */
  readonly refusedHoldMs: number
}

/** Serves one control connection. What is refused ends it: how long an unknown request is, nobody can say. */
export function serveControl(socket: Socket, port: ControlPort): void {
  let pending: Buffer = Buffer.alloc(0)
  let hold: NodeJS.Timeout | undefined
  const reply = (...words: number[]): void => {
    const bytes = Buffer.alloc(words.length * 4)
    for (const [at, word] of words.entries()) bytes.writeUInt32BE(word, at * 4)
    // A client that asks and never reads.
    if (!socket.write(bytes)) socket.destroy()
  }
  let isOver = false
  const refuse = (code: number, rc: number): void => {
    isOver = true
    socket.pause()
    hold = setTimeout(() => socket.destroySoon(), port.refusedHoldMs)
    reply(rc)
    port.audit.append({
      tenant: port.tenant,
      code,
      command: `swtpm control 0x${code.toString(16)}`,
      outcome: 'refused',
      rc,
      reason: 'vtpm.control_denied',
      digest: createHash('sha256').update(pending.subarray(0, LONGEST_REQUEST)).digest('hex'),
    })
  }
  /** How many bytes of `pending` were one request; 0 when it is not whole yet. */
  const serveOne = (): number => {
    const code = pending.readUInt32BE(0)
    switch (code) {
      case CMD_GET_CAPABILITY:
        reply(TPM_SUCCESS, CAPABILITIES)
        return 4
      case CMD_CANCEL_TPM_CMD:
        port.cancel()
        reply(TPM_SUCCESS)
        return 4
      case CMD_SET_LOCALITY: {
        if (pending.byteLength < 5) return 0
        if (pending.readUInt8(4) === 0) reply(TPM_SUCCESS)
        else refuse(code, TPM_BAD_LOCALITY)
        return 5
      }
      default:
        refuse(code, TPM_BAD_ORDINAL)
        return 0
    }
  }
  socket.setTimeout(port.idleTimeoutMs, () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    pending = pending.byteLength === 0 ? chunk : Buffer.concat([pending, chunk])
    for (let served = 0; pending.byteLength >= 4 && socket.writable && !isOver; served++) {
      if (served === MOST_AT_ONCE) {
        socket.destroy()
        return
      }
      const taken = serveOne()
      if (taken === 0) break
      pending = pending.subarray(taken)
    }
    // What is left is less than a request, or follows the end.
    pending = Buffer.from(pending.subarray(0, LONGEST_REQUEST))
  })
  socket.on('end', () => socket.end())
  socket.on('close', () => clearTimeout(hold))
  socket.on('error', () => socket.destroy())
}
