import { TouchstoneError } from '../../../core/index.ts'
import { openTransport } from '../../../device/index.ts'
import { COMMANDS, encodeCommand } from '../../../tpm/index.ts'
import { openTpmClient, type TpmClient } from '../../hardware/index.ts'

/** Any response will do: this has one in every state of a TPM. */
const PROBE = encodeCommand(
  COMMANDS.GetCapability,
  {},
  { capability: 'tpm_properties', property: 0x100, propertyCount: 1 },
)

/**
 * Runs `work` on a TPM's own data socket, when it is this client's turn: swtpm serves one after the other, so an answer says
 * that it is, and nobody else's commands reach the TPM until `work` is over. `guest.busy` where it is not within `waitMs`.
 */
export async function onDataSocket<T>(
  path: string,
  waitMs: number,
  work: (client: TpmClient) => Promise<T>,
): Promise<T> {
  const transport = await openTransport(`swtpm:path=${path}`)
  let timer: NodeJS.Timeout | undefined
  const tooLong = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new TouchstoneError('guest.busy'))
    }, waitMs)
  })
  try {
    await Promise.race([transport.send(PROBE), tooLong])
    clearTimeout(timer)
    return await work(openTpmClient(transport))
  } finally {
    clearTimeout(timer)
    await transport.close()
  }
}
