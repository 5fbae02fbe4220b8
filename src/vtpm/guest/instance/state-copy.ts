import type { SwtpmControl } from '../../../device/swtpm-control.ts'
import { withScratchTpm, type ScratchOptions, type ScratchRuntime } from './scratch-tpm.ts'
import { readState } from './state-dir.ts'

export interface RemoteTpm {
  readonly control: SwtpmControl
  /** Where its state is. */
  readonly dir: string
}

export interface CopyOptions extends ScratchOptions {
  /** The copy goes on in the midst of what the TPM was doing; else it is a TPM that is just powered on. */
  readonly resume: boolean
}

/**
 * For a TPM whose data channel is somebody else's: `work` is done on the data socket of a copy of it, as it is at this
 * moment; the TPM itself is turned off, and gets the permanent state that came of it. False, and nothing changed but that it
 * is off, where it wrote its state in between: what it acknowledged meanwhile is not to be lost.
 */
export async function continueInCopy(
  runtime: ScratchRuntime,
  { control, dir }: RemoteTpm,
  work: (dataPath: string) => Promise<void>,
  { resume, ...options }: CopyOptions,
): Promise<boolean> {
  const file = await readState(dir)
  const permanent = await control.getStateBlob('permanent')
  const secrets = [permanent]
  try {
    const volatile = resume ? await control.getStateBlob('volatile') : undefined
    if (volatile !== undefined) secrets.push(volatile)
    await control.stop()
    // Each write has an initialisation vector of its own, so a file that was written again differs.
    if (!file.equals(await readState(dir))) return false
    const state = { from: 'blob', blob: permanent, ...(volatile === undefined ? {} : { volatile }) } as const
    const result = await withScratchTpm(
      runtime,
      state,
      async (copy) => {
        await work(copy.dataPath)
        return await copy.control.getStateBlob('permanent')
      },
      options,
    )
    secrets.push(result)
    await control.setStateBlob('permanent', result)
    // swtpm keeps it in memory until the TPM is initialised, and only then writes it.
    await control.init()
    await control.stop()
    return true
  } finally {
    for (const secret of secrets) secret.fill(0)
  }
}
