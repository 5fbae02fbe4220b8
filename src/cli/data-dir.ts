import { join, resolve } from 'node:path'
import { TouchstoneError } from '../core/index.ts'

export interface DataDirOptions {
  readonly dataDir?: string
  readonly config?: string
}

export const DATA_DIR = ['--data-dir <directory>', 'the data directory of the verifier, which may be running'] as const
export const CONFIG = ['--config <file>', 'the configuration of the verifier, in place of --data-dir'] as const

/** The verifier's data directory and the file that opens its keys, named directly or by its configuration. */
export async function dataDirOf({
  dataDir,
  config,
}: DataDirOptions): Promise<{ dataDir: string; passphraseFile: string }> {
  if (dataDir !== undefined) {
    const directory = resolve(dataDir)
    return { dataDir: directory, passphraseFile: join(directory, 'ca', 'passphrase') }
  }
  if (config === undefined) {
    throw new TouchstoneError('usage.arguments', 'the data directory is not named', {
      hint: 'Give --data-dir DIR, or --config FILE of the verifier.',
    })
  }
  const { readServerConfig } = await import('../server/index.ts')
  const { dataDir: directory, passphraseFile } = await readServerConfig(config)
  return { dataDir: directory, passphraseFile }
}
