import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TouchstoneError } from '../src/core/index.ts'
import { boxFiles, holdsBox, labelBox, openBox, type Box } from './box.ts'
import { runTool } from './run-tool.ts'
import type { VendorCa } from './vendor-ca.ts'

export interface ManufactureOptions {
  /** Made with mode 0700; must not hold a box already. */
  readonly directory: string
  readonly vendorCa: VendorCa
  /** What the machine is sold as. */
  readonly model: string
  /** Random when it is not given. */
  readonly serial?: string
}

/** The banks of the recorded machine. A bank that nothing measures into would be a finding of its own. */
const BANKS = 'sha1,sha256,sha384'

const CERTIFICATE_DESK = join(import.meta.dirname, 'issue-ek-certificate')

/**
 * Makes a box: a TPM with an RSA-2048 EK at 0x81010001 and a P-384 EK at 0x81010016 from the TCG templates, and their
 * certificates by the stand-in vendor in NV (0x01c00002, 0x01c00016), write-locked. Takes about 0.7 s, most of it idle;
 * any number may be made at once. Throws `standin.tool`, and `standin.state` where a box is already.
 */
export async function manufacture(options: ManufactureOptions): Promise<Box> {
  const files = boxFiles(options.directory)
  if (await holdsBox(files.directory)) {
    throw new TouchstoneError('standin.state', `${files.directory} holds a box already`)
  }
  await mkdir(files.directory, { recursive: true, mode: 0o700 })
  for (const part of [files.tpm, files.certificates]) await mkdir(part, { recursive: true, mode: 0o700 })
  await writeFile(
    files.setupConfig,
    `create_certs_tool = ${CERTIFICATE_DESK}\ncreate_certs_tool_config = ${options.vendorCa.directory}\n`,
  )
  await runTool(
    'swtpm_setup',
    [
      '--tpm2',
      ...['--tpmstate', files.tpm],
      ...['--config', files.setupConfig],
      ...['--pcr-banks', BANKS],
      '--create-ek-cert',
      '--lock-nvram',
      ...['--write-ek-cert-files', files.certificates],
      // Without a label, state is what an interrupted manufacture left.
      '--overwrite',
    ],
    files.directory,
  )
  await labelBox(files.directory, options.model, options.serial ?? `S${randomBytes(5).toString('hex')}`)
  return openBox(files.directory)
}
