import { randomBytes } from 'node:crypto'
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { TouchstoneError } from '../src/core/index.ts'
import { runTool } from './run-tool.ts'

/** A TPM vendor that does not exist. Its keys lie unencrypted in its directory: insecure, for trials and tests only. */
export interface VendorCa {
  readonly directory: string
  /** Path of the root certificate, PEM. */
  readonly root: string
  /** Path of the certificate that EK certificates are issued under, PEM. */
  readonly issuing: string
  /** Path of both in one PEM file, root last: what a verifier is given as `ekRoots`. */
  readonly bundle: string
}

/** RFC 5280 profiles of the two CAs; `openssl verify -x509_strict` wants every one of these extensions. */
const EXTENSIONS = `[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[issuing]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
`

const DAYS_A_YEAR = 365

/**
 * Makes the vendor: a P-384 root and a P-384 issuing CA, with OpenSSL, so that what our own certificate code judges was
 * not made by it. Each call makes another vendor; `standin.state` where the directory holds one already.
 */
export async function makeVendorCa(directory: string): Promise<VendorCa> {
  const ca = layout(directory)
  await mkdir(ca.directory, { recursive: true, mode: 0o700 })
  if (await exists(ca.root)) throw new TouchstoneError('standin.state', `${ca.directory} holds a vendor CA already`)
  const openssl = (...args: string[]) => runTool('openssl', args, ca.directory)
  // Two vendors of one name would be told apart by their keys alone, and readers could not.
  const vendor = `/O=Touchstone stand-in TPM vendor ${randomBytes(3).toString('hex')}`
  const certify = (name: 'root' | 'issuing', commonName: string, years: number, ...keys: string[]) =>
    openssl(
      ...['x509', '-new', ...keys, '-subj', `${vendor}/CN=${commonName}`, '-out', `${name}.pem`],
      ...['-sha384', '-days', String(years * DAYS_A_YEAR), '-set_serial', `0x01${randomBytes(15).toString('hex')}`],
      ...['-extfile', 'ca.cnf', '-extensions', name],
    )
  await writeFile(join(ca.directory, 'ca.cnf'), EXTENSIONS)
  for (const name of ['root', 'issuing']) {
    await openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384', '-out', `${name}.key`)
  }
  await certify('root', 'Stand-in TPM root CA', 30, '-key', 'root.key')
  await openssl('pkey', '-in', 'issuing.key', '-pubout', '-out', 'issuing.pub')
  const underRoot = ['-CA', 'root.pem', '-CAkey', 'root.key']
  await certify('issuing', 'Stand-in TPM EK CA', 25, '-force_pubkey', 'issuing.pub', ...underRoot)
  await writeFile(ca.bundle, Buffer.concat([await readFile(ca.issuing), await readFile(ca.root)]))
  return ca
}

/** The vendor that {@link makeVendorCa} left in `directory`. */
export async function openVendorCa(directory: string): Promise<VendorCa> {
  const ca = layout(directory)
  if (!(await exists(ca.bundle))) throw new TouchstoneError('standin.state', `${ca.directory} holds no vendor CA`)
  return ca
}

function layout(directory: string): VendorCa {
  const absolute = resolve(directory)
  const file = (name: string) => join(absolute, name)
  return { directory: absolute, root: file('root.pem'), issuing: file('issuing.pem'), bundle: file('ek-roots.pem') }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
