import { TouchstoneError, view } from '../core/index.ts'
import { connect, exchange } from './connect.ts'

/**
 * swtpm's control channel (swtpm_ioctl(8), tpm_ioctl.h): a big-endian u32 command and its request; the response begins
 * with a u32 result. It can reset the TPM and read its secrets, so whoever reaches this socket owns the TPM.
 */
const COMMANDS = {
  getCapability: { code: 0x01, response: 8 },
  init: { code: 0x02, response: 4 },
  shutdown: { code: 0x03, response: 4 },
  getEstablished: { code: 0x04, response: 8 },
  setLocality: { code: 0x05, response: 4 },
  hashStart: { code: 0x06, response: 4 },
  hashData: { code: 0x07, response: 4 },
  hashEnd: { code: 0x08, response: 4 },
  cancel: { code: 0x09, response: 4 },
  storeVolatile: { code: 0x0a, response: 4 },
  resetEstablished: { code: 0x0b, response: 4 },
  /** Followed by as many bytes as its last field says. */
  getStateBlob: { code: 0x0c, response: 16 },
  setStateBlob: { code: 0x0d, response: 4 },
  stop: { code: 0x0e, response: 4 },
  setBufferSize: { code: 0x11, response: 16 },
} as const

type CommandName = keyof typeof COMMANDS

const RESULT = 4

/** PTM_BLOB_TYPE_*: the state that survives power-off, the state of a running TPM, and what TPM2_Shutdown(STATE) left. */
const BLOB_TYPES = { permanent: 1, volatile: 2, saved: 3 } as const
export type SwtpmBlobType = keyof typeof BLOB_TYPES

/** PTM_STATE_FLAG_DECRYPTED in a request, PTM_STATE_FLAG_ENCRYPTED in an answer. */
const DECRYPTED = 1
const ENCRYPTED = 2
/** libtpms's permanent state has 128 KiB of NV at most in it; its volatile state is smaller. */
const LARGEST_BLOB = 1 << 20

/** Room for data in one CMD_HASH_DATA. */
const HASH_CHUNK = 4096

const TIMEOUT = 5_000

/** PTM_INIT_FLAG_DELETE_VOLATILE is the only flag of CMD_INIT; a resumed guest would leave it out. */
const DELETE_VOLATILE = 1

export interface SwtpmControl {
  /** Bit set of PTM_CAP_*; also the proof that the process answers. */
  getCapability(): Promise<number>
  /** Power on, or reset: all PCRs go back to their start values and TPM2_Startup is expected next. */
  init(options?: { readonly deleteVolatile?: boolean }): Promise<void>
  /** The locality of the commands that follow, on any data connection, until it is set again. */
  setLocality(locality: 0 | 1 | 2 | 3 | 4): Promise<void>
  /**
   * _TPM_Hash_Start, _TPM_Hash_Data, _TPM_Hash_End over `content` (TPM 2.0 Part 1, 34.3): between `init` and TPM2_Startup
   * it is the H-CRTM's measurement into PCR 0, after it a dynamic launch that begins PCR 17 to 22 anew.
   */
  hashSequence(content: Uint8Array): Promise<void>
  /**
   * Asks for the running command to be given up. swtpm 0.7 serves one socket after the other, so the answer comes when the
   * command has ended, and it was not cancelled.
   */
  cancel(): Promise<void>
  /** Powers the TPM off, and the process stays: commands fail until `init`. It does not send TPM2_Shutdown. */
  stop(): Promise<void>
  /** Writes the state of a running TPM beside the permanent state: the next `init` takes it up and goes on from there. */
  storeVolatile(): Promise<void>
  /** Size of the TPM's command and response buffers in bytes; 0 asks. Only a stopped TPM takes a new one. */
  setBufferSize(size: number): Promise<{ readonly size: number; readonly least: number; readonly most: number }>
  /** A running TPM's state, not encrypted: its seeds and keys are in it. Empty where there is none of this type. */
  getStateBlob(type: SwtpmBlobType): Promise<Buffer>
  /** Gives a stopped TPM its state, not encrypted; the next `init` writes it to its directory under its key, and not before. */
  setStateBlob(type: SwtpmBlobType, blob: Uint8Array): Promise<void>
  /** Whether a dynamic launch took place since the flag was reset. */
  getEstablished(): Promise<boolean>
  resetEstablished(locality: 0 | 1 | 2 | 3): Promise<void>
  /** Ends the process. It does not send TPM2_Shutdown: see `shutdownSwtpm`. */
  shutdown(): Promise<void>
}

/** A client of the control socket at `path`. It connects for each command, since swtpm serves one client at a time. */
export function swtpmControl(path: string, timeoutMs: number = TIMEOUT): SwtpmControl {
  const send = async (name: CommandName, request: Uint8Array = Buffer.alloc(0)): Promise<Buffer> => {
    const { code, response } = COMMANDS[name]
    const size = (received: Buffer): number | undefined => {
      if (received.byteLength < RESULT) return undefined
      // A refusal may be the result alone, whatever the command; a capability has none.
      if (name !== 'getCapability' && received.readUInt32BE(0) !== 0) return received.byteLength
      return name === 'getStateBlob' ? blobAnswerSize(received) : response
    }
    const socket = await connect({ path }, timeoutMs)
    try {
      const answer = await exchange(socket, Buffer.concat([words(code), request]), size, timeoutMs)
      const result = answer.readUInt32BE(0)
      if (result !== 0) {
        throw new TouchstoneError('device.swtpm', `swtpm answered 0x${result.toString(16)} to ${name}`, {
          details: { result },
        })
      }
      return answer.subarray(4)
    } finally {
      socket.on('error', () => undefined)
      socket.destroy()
    }
  }
  return {
    getCapability: async () => (await send('getCapability')).readUInt32BE(0),
    async init(options = {}) {
      await send('init', words(options.deleteVolatile === true ? DELETE_VOLATILE : 0))
    },
    async setLocality(locality) {
      await send('setLocality', Buffer.from([locality]))
    },
    async hashSequence(content) {
      await send('hashStart')
      for (let at = 0; at < content.byteLength; at += HASH_CHUNK) {
        const chunk = content.subarray(at, at + HASH_CHUNK)
        await send('hashData', Buffer.concat([words(chunk.byteLength), chunk]))
      }
      await send('hashEnd')
    },
    async cancel() {
      await send('cancel')
    },
    async stop() {
      await send('stop')
    },
    async storeVolatile() {
      await send('storeVolatile')
    },
    async setBufferSize(size) {
      const answer = await send('setBufferSize', words(size))
      return { size: answer.readUInt32BE(0), least: answer.readUInt32BE(4), most: answer.readUInt32BE(8) }
    },
    async getStateBlob(type) {
      const answer = await send('getStateBlob', words(DECRYPTED, BLOB_TYPES[type], 0))
      if ((answer.readUInt32BE(0) & ENCRYPTED) !== 0) {
        throw new TouchstoneError('device.swtpm', 'swtpm gave its state encrypted: it runs with a migration key')
      }
      return answer.subarray(12)
    },
    async setStateBlob(type, blob) {
      await send('setStateBlob', Buffer.concat([words(0, BLOB_TYPES[type], blob.byteLength), view(blob)]))
    },
    // ptm_est: the result, then one byte in a structure that is padded to eight.
    getEstablished: async () => (await send('getEstablished')).readUInt8(0) !== 0,
    async resetEstablished(locality) {
      await send('resetEstablished', Buffer.from([locality]))
    },
    async shutdown() {
      await send('shutdown')
    },
  }
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  values.forEach((value, index) => bytes.writeUInt32BE(value, 4 * index))
  return bytes
}

/** ptm_getstate: result, flags, length from the offset on, length in this answer, and so many bytes. */
function blobAnswerSize(received: Buffer): number | undefined {
  const { response } = COMMANDS.getStateBlob
  if (received.byteLength < response) return undefined
  const size = received.readUInt32BE(12)
  if (size > LARGEST_BLOB) throw new TouchstoneError('device.protocol', `a state of ${size} bytes is out of bounds`)
  return response + size
}
