import { createHash } from 'node:crypto'
import { generateKey } from '../../src/ca/key-file.ts'
import { makeIssuingCertificate, makeRootCertificate } from '../../src/ca/profile/authorities.ts'
import type { Issuance, Issuer } from '../../src/ca/profile/write-certificate.ts'
import { signerOf } from '../../src/ca/signer.ts'
import { DAY, NOW } from './certificates.ts'

export const YEAR = 365 * DAY

/** Different for every name, and always the same. */
export function bytesFor(name: string, size = 16): Buffer {
  return createHash('sha512').update(name).digest().subarray(0, size)
}

export function issuance(name: string, life = YEAR): Issuance {
  return { serial: bytesFor(name), notBefore: NOW, notAfter: NOW + life }
}

export interface Fleet {
  readonly root: Issuer
  readonly issuing: Issuer
}

/** A root and an issuing authority as `touchstone ca init` makes them. */
export async function makeFleet(rootLife = 20 * YEAR, issuingLife = 5 * YEAR): Promise<Fleet> {
  const organization = 'Example Fleet'
  const rootSigner = signerOf(generateKey('P-384'))
  const rootInput = { ...issuance('root', rootLife), organization, commonName: 'Example Fleet Root' }
  const root = { certificate: await makeRootCertificate(rootSigner, rootInput), signer: rootSigner }
  const signer = signerOf(generateKey('P-256'))
  const input = { ...issuance('issuing', issuingLife), organization, commonName: 'Example Fleet Issuing 1' }
  return { root, issuing: { certificate: await makeIssuingCertificate(root, signer.spki, input), signer } }
}
