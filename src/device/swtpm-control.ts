import { TouchstoneError } from '../core/index.ts'
import { connect, exchange } from './connect.ts'

/**
 * swtpm's control channel (swtpm_ioctl(8), tpm_ioctl.h): a big-endian u32 command and its request; the response begins
 * with a u32 result. It can reset the TPM and read its secrets, so whoever reaches this socket owns the TPM.
 */
const COMMANDS = {
  getCapability: { code: 0x01, response: 8 },
  init: { code: 0x02, response: 4 },
  shutdown: { code: 0x03, response: 4 },
  setLocality: { code: 0x05, response: 4 },
  hashStart: { code: 0x06, response: 4 },
  hashData: { code: 0x07, response: 4 },
  hashEnd: { code: 0x08, response: 4 },
} as const

type CommandName = keyof typeof COMMANDS

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
  /** Ends the process. It does not send TPM2_Shutdown: see `shutdownSwtpm`. */
  shutdown(): Promise<void>
}

/** A client of the control socket at `path`. It connects for each command, since swtpm serves one client at a time. */
export function swtpmControl(path: string, timeoutMs: number = TIMEOUT): SwtpmControl {
  const send = async (name: CommandName, request: Uint8Array = Buffer.alloc(0)): Promise<Buffer> => {
    const { code, response } = COMMANDS[name]
    const header = Buffer.alloc(4)
    header.writeUInt32BE(code)
    const socket = await connect({ path }, timeoutMs)
    try {
      const answer = await exchange(socket, Buffer.concat([header, request]), () => response, timeoutMs)
      const result = answer.readUInt32BE(0)
      if (result !== 0) {
        throw new TouchstoneError('device.swtpm', `swtpm answered 0x${result.toString(16)} to ${name}`)
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
      const flags = Buffer.alloc(4)
      flags.writeUInt32BE(options.deleteVolatile === true ? DELETE_VOLATILE : 0)
      await send('init', flags)
    },
    async setLocality(locality) {
      await send('setLocality', Buffer.from([locality]))
    },
    async hashSequence(content) {
      await send('hashStart')
      for (let at = 0; at < content.byteLength; at += HASH_CHUNK) {
        const chunk = content.subarray(at, at + HASH_CHUNK)
        const size = Buffer.alloc(4)
        size.writeUInt32BE(chunk.byteLength)
        await send('hashData', Buffer.concat([size, chunk]))
      }
      await send('hashEnd')
    },
    async shutdown() {
      await send('shutdown')
    },
  }
}
