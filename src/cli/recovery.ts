import { createPublicKey, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { Command } from 'commander'
import { decryptPrivateKey, encryptPrivateKey } from '../ca/index.ts'
import { fromBase64Url, TouchstoneError } from '../core/index.ts'
import { encodeBody, MEDIA, type VtpmBackup } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { readText } from './files.ts'
import { parseOutputFormat, printObject } from './output.ts'
import { readBackup, writeNew } from './vtpm-files.ts'

interface Options {
  readonly output?: string
  readonly json?: boolean
  readonly key: string
  readonly passphraseFile: string
}

export function recoveryCommand(finish: (code: number) => void): Command {
  return new Command('recovery')
    .description("The fleet's recovery key, which opens backups of guests when their node's TPM cannot. Works offline.")
    .addCommand(createCommand(finish))
    .addCommand(rewrapCommand(finish))
}

function createCommand(finish: (code: number) => void): Command {
  return withOutput('create', 'Make the key pair: the private half encrypted, the public half for the brokers.')
    .requiredOption('--key <file>', 'where the private key goes (PKCS#8 PEM, encrypted); not overwritten')
    .requiredOption('--passphrase-file <file>', 'a passphrase of 16 characters or more')
    .requiredOption('--public <file>', 'where the public key goes (PEM): recoveryKey in the configuration of brokers')
    .addHelpText(
      'after',
      `
Whoever has key and passphrase can read every guest's TPM. Make them where no network reaches, and keep them apart.

Example:
  touchstone recovery create --key recovery.pem --passphrase-file passphrase --public recovery.pub`,
    )
    .action(async (options: Options & { readonly public: string }) => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const passphrase = await readPassphrase(options.passphraseFile)
      await writeNew(options.key, encryptPrivateKey(privateKey, passphrase, randomBytes(32)))
      await writeNew(options.public, publicKey.export({ type: 'spki', format: 'pem' }), 0o644)
      const { spkiDigest } = await import('../vtpm/guest/index.ts')
      const digest = spkiDigest(publicKey.export({ type: 'spki', format: 'der' }))
      const answer = { key: options.key, public: options.public, digest }
      printObject(parseOutputFormat(options), answer, () =>
        [
          `private key  ${options.key}`,
          `public key   ${options.public}`,
          `digest       ${digest}`,
          `next: set recoveryKey: ${options.public} in every broker's configuration, and rekey guests that exist already`,
        ].join('\n'),
      )
      finish(EXIT.done)
    })
}

function rewrapCommand(finish: (code: number) => void): Command {
  return withOutput(
    'rewrap',
    "Wrap the key in a backup to a node's TPM, so that this node can restore it with a grant.",
  )
    .requiredOption('--key <file>', 'the private recovery key')
    .requiredOption('--passphrase-file <file>', 'its passphrase')
    .requiredOption('--backup <file>', 'what touchstone vtpm backup wrote')
    .requiredOption('--to <key>', 'transport key of the node, as touchstone vtpm node prints it, or a file with it')
    .requiredOption('--out <file>', 'where the backup for that node goes; not overwritten')
    .addHelpText(
      'after',
      `
Example:
  touchstone recovery rewrap --key recovery.pem --passphrase-file passphrase \\
    --backup guest.json --to MFkwEwYHKoZIzj0CAQ… --out guest-for-node.json`,
    )
    .action(async (options: Options & { readonly backup: string; readonly to: string; readonly out: string }) => {
      const backup = await readBackup(options.backup)
      const to = await transportKey(options.to)
      const privateKey = decryptPrivateKey(await readText(options.key), await readPassphrase(options.passphraseFile))
      const rewrapped = await rewrap(backup, privateKey, to)
      await writeNew(options.out, encodeBody(MEDIA.json, rewrapped))
      const { guest, generation, digest } = rewrapped
      const answer = { guest, generation, digest, file: options.out }
      printObject(
        parseOutputFormat(options),
        answer,
        () =>
          `wrote generation ${generation} of ${guest} to ${options.out}\nnext, on that node: touchstone vtpm restore ${guest} --backup ${options.out} --grant GRANT`,
      )
      finish(EXIT.done)
    })
}

/** Opens the escrow, proves that the key opens the state too, and wraps it anew. */
async function rewrap(backup: VtpmBackup, privateKey: KeyObject, to: Buffer): Promise<VtpmBackup> {
  const { agreeBy, archiveOpens, unwrapKey, wrapKey } = await import('../vtpm/guest/index.ts')
  const { guest, escrow } = backup
  if (escrow === undefined) {
    throw new TouchstoneError('guest.no_recovery_key', 'the backup was made by a broker that knew no recovery key', {
      hint: 'Only the TPM that sealed it opens it.',
    })
  }
  const own = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  const key = await unwrapKey(escrow, own, { purpose: 'escrow', guest }, agreeBy(privateKey))
  try {
    if (!archiveOpens(backup, key)) throw new TouchstoneError('guest.backup_invalid')
    return { ...backup, transport: wrapKey(key, to, { purpose: 'transport', guest }) }
  } finally {
    key.fill(0)
  }
}

function withOutput(name: string, about: string): Command {
  return new Command(name)
    .description(about)
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
}

/** The text that `vtpm node` prints, or a file with it or with a PEM. */
async function transportKey(given: string): Promise<Buffer> {
  const text = existsSync(given) ? (await readText(given, 8192)).trim() : given
  const der = fromBase64Url(text)
  try {
    const key = der === undefined ? createPublicKey(text) : createPublicKey({ key: der, format: 'der', type: 'spki' })
    return key.export({ type: 'spki', format: 'der' })
  } catch (cause) {
    throw new TouchstoneError('usage.arguments', '--to is neither a public key nor a file with one', { cause })
  }
}

async function readPassphrase(file: string): Promise<string> {
  return (await readText(file, 4096)).trim()
}
