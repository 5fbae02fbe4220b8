import { openTransport, type SwtpmControl } from '../../../device/index.ts'
import { openTpmClient, type TpmClient } from '../../hardware/index.ts'
import { withScratchTpm, type ScratchOptions, type ScratchRuntime, type ScratchState } from './scratch-tpm.ts'

interface ClientOfScratch {
  readonly control: SwtpmControl
  readonly client: TpmClient
}

/** {@link withScratchTpm} with a client of its data socket: all that a TPM can be asked, where the control keeper asks one thing. */
export async function withScratchClient<T>(
  runtime: ScratchRuntime,
  state: ScratchState,
  work: (tpm: ClientOfScratch) => Promise<T>,
  options: ScratchOptions = {},
): Promise<T> {
  return await withScratchTpm(
    runtime,
    state,
    ({ control, dataPath }) => onClient(dataPath, (client) => work({ control, client })),
    options,
  )
}

/** Runs `work` with a client of the data socket at `path`, that nobody else uses. */
export async function onClient<T>(path: string, work: (client: TpmClient) => Promise<T>): Promise<T> {
  const client = openTpmClient(await openTransport(`swtpm:path=${path}`))
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}
