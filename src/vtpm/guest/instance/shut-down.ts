import { openTransport } from '../../../device/transport.ts'
import { TouchstoneError } from '../../../core/index.ts'

/** TPM2_Shutdown(CLEAR), Part 3, 9.4: no sessions, and one constant. The control keeper knows no other command. */
const SHUTDOWN_CLEAR = Buffer.from('80010000000c000001450000', 'hex')
const SUCCESS = 0
/** TPM2_Startup did not come yet, and what swtpm answers for a TPM that is off: there is nothing to shut down. */
const NOT_STARTED: readonly number[] = [0x100, 0x101]

/** Shuts down the TPM whose data socket is at `path`, where nobody else has it. */
export async function shutDownAt(path: string): Promise<void> {
  const transport = await openTransport(`swtpm:path=${path}`)
  try {
    const answer = await transport.send(SHUTDOWN_CLEAR)
    const code = answer.readUInt32BE(6)
    if (code !== SUCCESS && !NOT_STARTED.includes(code)) {
      throw new TouchstoneError('guest.swtpm', `the TPM answered 0x${code.toString(16)} to TPM2_Shutdown`)
    }
  } finally {
    await transport.close()
  }
}
