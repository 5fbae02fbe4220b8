import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Command } from 'commander'
import { toPem } from '../ca/path/index.ts'
import { toBase64Url, TouchstoneError } from '../core/index.ts'
import { CONFIG, DATA_DIR, dataDirOf, type DataDirOptions } from './data-dir.ts'
import { EXIT } from './failure.ts'
import { paint, parseOutputFormat, print, printObject } from './output.ts'

interface InitOptions extends DataDirOptions {
  readonly passphraseFile?: string
  readonly organization: string
  readonly output?: string
  readonly json?: boolean
}

interface ShowOptions extends DataDirOptions {
  readonly root?: boolean
  readonly output?: string
  readonly json?: boolean
}

export function caCommand(finish: (code: number) => void): Command {
  return new Command('ca')
    .description('The certificate authority of a verifier: a root that can be kept offline, an issuing CA, a guest CA.')
    .addCommand(initCommand(finish))
    .addCommand(addGuestCommand(finish))
    .addCommand(showCommand(finish))
    .addCommand(rotateResultsCommand(finish))
}

function initCommand(finish: (code: number) => void): Command {
  return new Command('init')
    .description('Make a P-384 root, and a P-256 issuing CA and guest CA, in <dataDir>/ca, keys encrypted.')
    .option(...DATA_DIR)
    .option(...CONFIG)
    .option(
      '--passphrase-file <file>',
      'encrypts the keys; made with a random one where it does not exist (default: <dataDir>/ca/passphrase)',
    )
    .option('--organization <name>', 'in the names of both CAs', 'Touchstone')
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText(
      'after',
      `
The root key is needed again only to make another CA below it: move <dataDir>/ca/root.key.pem to where no network reaches it.

Example:
  touchstone ca init --data-dir /var/lib/touchstone --passphrase-file /etc/touchstone/passphrase`,
    )
    .action(async (options: InitOptions) => {
      const { initCa, readPassphrase } = await import('../server/index.ts')
      const named = await dataDirOf(options)
      const directory = join(named.dataDir, 'ca')
      const passphraseFile = resolve(options.passphraseFile ?? named.passphraseFile)
      const isNew = await ensurePassphrase(passphraseFile)
      const { root, issuing } = await initCa(directory, {
        passphrase: await readPassphrase(passphraseFile),
        organization: options.organization,
        now: Date.now(),
        random: randomBytes,
      })
      const answer = { directory, passphraseFile, chain: [toPem(issuing.der), toPem(root.der)] }
      printObject(parseOutputFormat(options), answer, () =>
        [
          `root, issuing CA and guest CA are in ${directory}`,
          `trust anchor for nodes:  ${join(directory, 'root.pem')}`,
          `passphrase:              ${passphraseFile}${isNew ? ' (made now, random)' : ''}`,
          paint(
            process.stdout,
            'yellow',
            'next: move root.key.pem offline, and keep the passphrase apart from backups of this directory',
          ),
        ].join('\n'),
      )
      finish(EXIT.done)
    })
}

function addGuestCommand(finish: (code: number) => void): Command {
  return new Command('add-guest')
    .description('Make the guest CA of an authority that was made before there were guests.')
    .option(...DATA_DIR)
    .option(...CONFIG)
    .option('--passphrase-file <file>', 'encrypts the keys (default: <dataDir>/ca/passphrase)')
    .option('--organization <name>', 'in its name', 'Touchstone')
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText(
      'after',
      '\nFor this the key of the root must lie in <dataDir>/ca once more. Restart the verifier then.',
    )
    .action(async (options: InitOptions) => {
      const { addGuestCa, readPassphrase } = await import('../server/index.ts')
      const named = await dataDirOf(options)
      const directory = join(named.dataDir, 'ca')
      const certificate = await addGuestCa(directory, {
        passphrase: await readPassphrase(resolve(options.passphraseFile ?? named.passphraseFile)),
        organization: options.organization,
        now: Date.now(),
        random: randomBytes,
      })
      printObject(
        parseOutputFormat(options),
        { directory, certificate: toPem(certificate.der) },
        () => `the guest CA is in ${directory}`,
      )
      finish(EXIT.done)
    })
}

function showCommand(finish: (code: number) => void): Command {
  return new Command('show')
    .description('The certificates of the CA: issuing CA, then root, as PEM.')
    .option(...DATA_DIR)
    .option(...CONFIG)
    .option('--root', 'only the root: the trust anchor of nodes and operators')
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .action(async (options: ShowOptions) => {
      const { readCaCertificates } = await import('../server/index.ts')
      const { root, issuing } = await readCaCertificates(join((await dataDirOf(options)).dataDir, 'ca'))
      const chain = options.root === true ? [toPem(root.der)] : [toPem(issuing.der), toPem(root.der)]
      const format = parseOutputFormat(options)
      if (format === 'table' || format === 'wide') print(chain.join(''))
      else printObject(format, { chain }, () => '')
      finish(EXIT.done)
    })
}

const DAY = 24 * 3600

interface RotateOptions extends DataDirOptions {
  readonly passphraseFile?: string
  readonly overlap: number
  readonly compromised?: boolean
  readonly output?: string
  readonly json?: boolean
}

function rotateResultsCommand(finish: (code: number) => void): Command {
  return new Command('rotate-results')
    .description('Make the next key for results. It is published within a minute, and signs after the overlap.')
    .option(...DATA_DIR)
    .option(...CONFIG)
    .option('--passphrase-file <file>', 'encrypts the keys (default: <dataDir>/ca/passphrase)')
    .option('--overlap <seconds>', 'how long relying parties may keep the key set that they have', parseSeconds, DAY)
    .option(
      '--compromised',
      'let the new key sign at once and forget all others: every result until now stops to verify',
    )
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText(
      'after',
      `
The verifier does this by itself (resultsKey in its configuration); it need not be restarted.

Example:
  touchstone ca rotate-results --data-dir /var/lib/touchstone --overlap 86400`,
    )
    .action(async (options: RotateOptions) => {
      const { readPassphrase, rotateResultsKey } = await import('../server/index.ts')
      const named = await dataDirOf(options)
      const input = {
        passphrase: await readPassphrase(resolve(options.passphraseFile ?? named.passphraseFile)),
        now: Date.now(),
        random: randomBytes,
      }
      const { overlap, compromised = false } = options
      const how = { overlap: overlap * 1000, compromised }
      const { signsFrom } = await rotateResultsKey(join(named.dataDir, 'ca'), input, how)
      const answer = { signsFrom: new Date(signsFrom).toISOString() }
      printObject(parseOutputFormat(options), answer, () => `the next key signs from ${answer.signsFrom} on`)
      finish(EXIT.done)
    })
}

function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (/^\d{1,9}$/.test(text) && seconds >= 60) return seconds
  throw new TouchstoneError('usage.arguments', `--overlap: expected at least 60 seconds, got ${text}`)
}

/** Makes the file with 256 random bits where there is none; an existing one is never touched. */
async function ensurePassphrase(file: string): Promise<boolean> {
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await writeFile(file, `${toBase64Url(randomBytes(32))}\n`, { mode: 0o600, flag: 'wx' })
    return true
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') return false
    throw new TouchstoneError('usage.file', `cannot write ${file}`, { cause })
  }
}
