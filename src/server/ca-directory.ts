import { join } from 'node:path'
import {
  decryptPrivateKey,
  encryptPrivateKey,
  generateKey,
  isOfGuestCa,
  type Issuer,
  makeGuestAuthorityCertificate,
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
  guest: 'guest.pem',
  guestKey: 'guest.key.pem',
} as const

const YEAR_MS = 365.25 * 24 * 3600 * 1000
const ROOT_YEARS = 25
const ISSUING_YEARS = 10
/** A guest's certificate lies in its vTPM and lives as long as that does. */
const GUEST_YEARS = 20
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
  /** The authority of guests' endorsement keys; `undefined` where the directory was made before there was one. */
  readonly guest: Issuer | undefined
}

/** What anybody may see of an authority. */
export type AuthorityCertificates = Pick<CertificateAuthority, 'root'> & { readonly issuing: Certificate }

/**
 * Makes a root (P-384), an issuing authority and a guest CA (both P-256) in `directory`, which may exist already, for the passphrase's
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
    ...(await guestFiles({ certificate: root, signer: signerOf(rootKey) }, input)),
    [FILES.issuingKey, encryptPrivateKey(issuingKey, passphrase, random(32))],
    [FILES.issuing, toPem(issuing.der)],
  ] as const
  for (const [name, content] of files) await writePrivateFile(join(directory, name), content)
  return { root, issuing }
}

/**
 * Makes the guest CA in a directory that has none yet; for that the root's key must be there once more. Throws
 * `ca.exists`, `ca.missing`, `ca.key_locked`.
 */
export async function addGuestCa(directory: string, input: CaInput): Promise<Certificate> {
  if ((await readIfThere(join(directory, FILES.guest))) !== undefined) {
    throw new TouchstoneError('ca.exists', `there is a guest CA in ${directory} already`)
  }
  const { root } = await readCaCertificates(directory)
  const key = await readPrivateFile(join(directory, FILES.rootKey))
  if (key === undefined) throw missing(directory, FILES.rootKey)
  const signer = signerOf(decryptPrivateKey(key, input.passphrase))
  for (const [name, content] of await guestFiles({ certificate: root, signer }, input)) {
    await writePrivateFile(join(directory, name), content)
  }
  const [guest] = parsePem(await need(directory, FILES.guest))
  if (guest === undefined) throw missing(directory, FILES.guest)
  return guest
}

/** The certificate last: a key without one is made anew. */
async function guestFiles(
  root: Issuer,
  { passphrase, organization, now, random }: CaInput,
): Promise<readonly (readonly [name: string, content: string])[]> {
  const key = generateKey('P-256')
  const certificate = await makeGuestAuthorityCertificate(root, signerOf(key).spki, {
    organization,
    commonName: 'Touchstone guest CA',
    serial: random(16),
    notBefore: now - BACKDATE_MS,
    notAfter: now + GUEST_YEARS * YEAR_MS,
  })
  return [
    [FILES.guestKey, encryptPrivateKey(key, passphrase, random(32))],
    [FILES.guest, toPem(certificate.der)],
  ]
}

/** Reads root and issuing certificates; needs no passphrase. Throws `ca.missing`. */
export async function readCaCertificates(directory: string): Promise<AuthorityCertificates> {
  const [root] = parsePem(await need(directory, FILES.root))
  const [issuing] = parsePem(await need(directory, FILES.issuing))
  if (root === undefined || issuing === undefined) throw new TouchstoneError('ca.missing')
  return { root, issuing }
}

/**
 * Opens the issuing authority, and the guest CA where there is one. Throws `ca.missing`, `ca.file_mode`, `ca.key_locked`,
 * and `ca.key_mismatch` where keys, certificates and root do not belong together.
 */
export async function loadCa(directory: string, passphrase: string, now: number): Promise<CertificateAuthority> {
  const { root, issuing } = await readCaCertificates(directory)
  const open = (file: string, certificate: Certificate) =>
    openAuthority(directory, { file, certificate, root, passphrase, now })
  const guestPem = await readIfThere(join(directory, FILES.guest))
  const [guest] = guestPem === undefined ? [] : parsePem(guestPem)
  if (guest !== undefined && !isOfGuestCa(guest)) {
    throw new TouchstoneError('ca.key_mismatch', `${FILES.guest} is not the certificate of a guest CA`)
  }
  return {
    root,
    issuer: await open(FILES.issuing, issuing),
    chain: [toPem(issuing.der), toPem(root.der)],
    guest: guest && (await open(FILES.guest, guest)),
  }
}

interface AuthorityFile {
  readonly file: string
  readonly certificate: Certificate
  readonly root: Certificate
  readonly passphrase: string
  readonly now: number
}

async function openAuthority(
  directory: string,
  { file, certificate, root, passphrase, now }: AuthorityFile,
): Promise<Issuer> {
  const keyFile = file.replace(/\.pem$/, '.key.pem')
  const keyPem = await readPrivateFile(join(directory, keyFile))
  if (keyPem === undefined) throw missing(directory, keyFile)
  const signer = signerOf(decryptPrivateKey(keyPem, passphrase))
  if (!equalBytes(signer.spki, certificate.spki)) {
    throw new TouchstoneError('ca.key_mismatch', `${keyFile} is not the key of ${file}`)
  }
  const path = validatePath({ leaf: certificate, intermediates: [], anchors: [root], allowSha1: false, now })
  if (!path.ok) {
    throw new TouchstoneError('ca.key_mismatch', `${file} is not below ${FILES.root}: ${path.failure.code}`)
  }
  return { certificate, signer }
}

async function need(directory: string, name: string): Promise<string> {
  const text = await readIfThere(join(directory, name))
  if (text === undefined) throw missing(directory, name)
  return text
}

function missing(directory: string, name: string): TouchstoneError {
  return new TouchstoneError('ca.missing', `there is no ${name} in ${directory}`)
}
