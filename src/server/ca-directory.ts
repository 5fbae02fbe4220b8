import { join } from 'node:path'
import {
  decryptPrivateKey,
  encryptPrivateKey,
  generateKey,
  type Issuer,
  makeIssuingCertificate,
  makeRootCertificate,
  signerOf,
} from '../ca/index.ts'
import { type Certificate, parsePem, toPem, validatePath } from '../ca/path/index.ts'
import { equalBytes, TouchstoneError } from '../core/index.ts'
import { makePrivateDirectory, readIfThere, readPrivateFile, writePrivateFile } from './private-file.ts'

/**
 * The certificate authority's files. `root.key.pem` is used once, to sign the issuing authority, and may then be moved
 * to where no network reaches it: the verifier never reads it.
 */
const FILES = {
  root: 'root.pem',
  rootKey: 'root.key.pem',
  issuing: 'issuing.pem',
  issuingKey: 'issuing.key.pem',
} as const

const YEAR_MS = 365.25 * 24 * 3600 * 1000
const ROOT_YEARS = 25
const ISSUING_YEARS = 10
/** For nodes whose clock is behind, or not set at all after a first boot. */
const BACKDATE_MS = 24 * 3600 * 1000

export interface CaInput {
  readonly passphrase: string
  /** In the names of both authorities, at most 64 characters. */
  readonly organization: string
  readonly now: number
  /** Bytes from a CSPRNG. */
  readonly random: (size: number) => Buffer
}

/** An authority that can issue: what is in {@link FILES}, without the root's key. */
export interface CertificateAuthority {
  readonly root: Certificate
  readonly issuer: Issuer
  /** PEM, issuing authority then root. */
  readonly chain: readonly string[]
}

/** What anybody may see of an authority. */
export type AuthorityCertificates = Pick<CertificateAuthority, 'root'> & { readonly issuing: Certificate }

/**
 * Makes a root (P-384) and an issuing authority (P-256) in `directory`, which may exist already, for the passphrase's
 * file. All files have mode 0600, the keys are encrypted. Each file is written whole or not at all and the issuing
 * certificate last, so that after a crash the next call starts afresh. Throws `ca.exists`, `ca.passphrase`.
 */
export async function initCa(directory: string, input: CaInput): Promise<AuthorityCertificates> {
  await makePrivateDirectory(directory)
  if ((await readIfThere(join(directory, FILES.issuing))) !== undefined) {
    throw new TouchstoneError('ca.exists', `there is a certificate authority in ${directory} already`)
  }
  const { passphrase, organization, now, random } = input
  const notBefore = now - BACKDATE_MS
  const rootKey = generateKey('P-384')
  const root = await makeRootCertificate(signerOf(rootKey), {
    organization,
    commonName: 'Touchstone root',
    serial: random(16),
    notBefore,
    notAfter: now + ROOT_YEARS * YEAR_MS,
  })
  const issuingKey = generateKey('P-256')
  const issuing = await makeIssuingCertificate(
    { certificate: root, signer: signerOf(rootKey) },
    signerOf(issuingKey).spki,
    {
      organization,
      commonName: 'Touchstone issuing authority',
      serial: random(16),
      notBefore,
      notAfter: now + ISSUING_YEARS * YEAR_MS,
    },
  )
  const files = [
    [FILES.rootKey, encryptPrivateKey(rootKey, passphrase, random(32))],
    [FILES.root, toPem(root.der)],
    [FILES.issuingKey, encryptPrivateKey(issuingKey, passphrase, random(32))],
    [FILES.issuing, toPem(issuing.der)],
  ] as const
  for (const [name, content] of files) await writePrivateFile(join(directory, name), content)
  return { root, issuing }
}

/** Reads root and issuing certificates; needs no passphrase. Throws `ca.missing`. */
export async function readCaCertificates(directory: string): Promise<AuthorityCertificates> {
  const [root] = parsePem(await need(directory, FILES.root))
  const [issuing] = parsePem(await need(directory, FILES.issuing))
  if (root === undefined || issuing === undefined) throw new TouchstoneError('ca.missing')
  return { root, issuing }
}

/**
 * Opens the issuing authority. Throws `ca.missing`, `ca.file_mode`, `ca.key_locked`, and `ca.key_mismatch` where key,
 * issuing certificate and root do not belong together.
 */
export async function loadCa(directory: string, passphrase: string, now: number): Promise<CertificateAuthority> {
  const { root, issuing } = await readCaCertificates(directory)
  const keyPem = await readPrivateFile(join(directory, FILES.issuingKey))
  if (keyPem === undefined) throw missing(directory, FILES.issuingKey)
  const signer = signerOf(decryptPrivateKey(keyPem, passphrase))
  if (!equalBytes(signer.spki, issuing.spki)) {
    throw new TouchstoneError('ca.key_mismatch', `${FILES.issuingKey} is not the key of ${FILES.issuing}`)
  }
  const path = validatePath({ leaf: issuing, intermediates: [], anchors: [root], allowSha1: false, now })
  if (!path.ok) {
    throw new TouchstoneError('ca.key_mismatch', `${FILES.issuing} is not below ${FILES.root}: ${path.failure.code}`)
  }
  return { root, issuer: { certificate: issuing, signer }, chain: [toPem(issuing.der), toPem(root.der)] }
}

async function need(directory: string, name: string): Promise<string> {
  const text = await readIfThere(join(directory, name))
  if (text === undefined) throw missing(directory, name)
  return text
}

function missing(directory: string, name: string): TouchstoneError {
  return new TouchstoneError('ca.missing', `there is no ${name} in ${directory}`)
}
