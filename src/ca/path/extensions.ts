import { Reader } from '../../codec/index.ts'
import type { Certificate } from './certificate.ts'
import {
  constructedTag,
  nextTag,
  primitiveTag,
  readAll,
  readAny,
  readBoolean,
  readElement,
  readNamedBits,
  readOctetString,
  readOid,
  readOptional,
  readSmallInteger,
  TAG,
} from './der.ts'
import { readName } from './name.ts'
import type { Name } from './name.ts'
import { OID } from './oid.ts'

// Extensions are decoded where they are asked for, so that a strange one that no rule reads does no harm. Each function
// answers `undefined` where the extension is absent and throws `decode.*` where it is malformed.

export interface BasicConstraints {
  readonly ca: boolean
  readonly pathLength: number | undefined
}

/** RFC 5280 section 4.2.1.9. */
export function basicConstraintsOf(certificate: Certificate): BasicConstraints | undefined {
  const extension = certificate.extensions.get(OID.basicConstraints)
  return extension === undefined ? undefined : readBasicConstraints(extension.value)
}

/** The extension's value, as certificates and requests carry it. */
export function readBasicConstraints(value: Uint8Array): BasicConstraints {
  return readWhole(value, 'basicConstraints', (reader) =>
    readElement(reader, 'value', TAG.sequence, () => ({
      ca: nextTag(reader) === TAG.boolean ? readBoolean(reader, 'cA') : false,
      pathLength: nextTag(reader) === TAG.integer ? readSmallInteger(reader, 'pathLenConstraint') : undefined,
    })),
  )
}

/** RFC 5280 section 4.2.1.3, by bit number. */
const KEY_USAGES = [
  'digitalSignature',
  'contentCommitment',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const

export type KeyUsage = (typeof KEY_USAGES)[number]

/** The number of its bit in the extension. */
export function keyUsageBit(usage: KeyUsage): number {
  return KEY_USAGES.indexOf(usage)
}

export function keyUsageOf(certificate: Certificate): ReadonlySet<KeyUsage> | undefined {
  return readExtension(certificate, OID.keyUsage, 'keyUsage', (reader) => {
    const bits = readNamedBits(reader, 'value')
    return new Set(KEY_USAGES.filter((_, bit) => bits.has(bit)))
  })
}

/** RFC 5280 section 4.2.1.12: the purposes as dotted object identifiers. */
export function extendedKeyUsageOf(certificate: Certificate): readonly string[] | undefined {
  return readExtension(certificate, OID.extendedKeyUsage, 'extKeyUsage', (reader) =>
    readElement(reader, 'value', TAG.sequence, () => readAll(reader, () => readOid(reader, 'purpose'))),
  )
}

/** RFC 5280 section 4.2.1.2. */
export function subjectKeyIdOf(certificate: Certificate): Buffer | undefined {
  return readExtension(certificate, OID.subjectKeyIdentifier, 'subjectKeyIdentifier', (reader) =>
    readOctetString(reader, 'value'),
  )
}

/** The keyIdentifier of RFC 5280 section 4.2.1.1; `undefined` also where the extension names its issuer otherwise. */
export function authorityKeyIdOf(certificate: Certificate): Buffer | undefined {
  return readExtension(certificate, OID.authorityKeyIdentifier, 'authorityKeyIdentifier', (reader) =>
    readElement(reader, 'value', TAG.sequence, () => {
      const keyId = readOptional(reader, 'keyIdentifier', primitiveTag(0), (size) => reader.bytes(size))
      readOptional(reader, 'authorityCertIssuer', constructedTag(1), (size) => reader.bytes(size))
      readOptional(reader, 'authorityCertSerialNumber', primitiveTag(2), (size) => reader.bytes(size))
      return keyId
    }),
  )
}

/** RFC 5280 section 4.2.1.4: the policies as dotted object identifiers; empty where there are none. */
export function policiesOf(certificate: Certificate): readonly string[] {
  const policies = readExtension(certificate, OID.certificatePolicies, 'certificatePolicies', (reader) =>
    readElement(reader, 'value', TAG.sequence, () =>
      readAll(reader, () =>
        readElement(reader, 'policy', TAG.sequence, () => {
          const identifier = readOid(reader, 'policyIdentifier')
          readAll(reader, () => readAny(reader, 'policyQualifiers'))
          return identifier
        }),
      ),
    ),
  )
  return policies ?? []
}

/** The choice of GeneralName that is a uniformResourceIdentifier. */
const URI = primitiveTag(6)

/** The URIs among the subject alternative names (RFC 5280 section 4.2.1.6); empty where there are none. */
export function urisOf(certificate: Certificate): readonly string[] {
  const names = readExtension(certificate, OID.subjectAltName, 'subjectAltName', (reader) =>
    readElement(reader, 'value', TAG.sequence, () =>
      readAll(reader, () => {
        if (nextTag(reader) === URI)
          return readElement(reader, 'uri', URI, (size) => reader.bytes(size).toString('latin1'))
        readAny(reader, 'name')
        return undefined
      }),
    ),
  )
  return names?.filter((name) => name !== undefined) ?? []
}

/** The choice of GeneralName that is a directoryName. */
const DIRECTORY_NAME = constructedTag(4)

/** The directory names among the subject alternative names (RFC 5280 section 4.2.1.6); empty where there are none. */
export function directoryNamesOf(certificate: Certificate): readonly Name[] {
  const names = readExtension(certificate, OID.subjectAltName, 'subjectAltName', (reader) =>
    readElement(reader, 'value', TAG.sequence, () =>
      readAll(reader, () => {
        if (nextTag(reader) === DIRECTORY_NAME) {
          return readElement(reader, 'directoryName', DIRECTORY_NAME, () => readName(reader, 'name'))
        }
        readAny(reader, 'name')
        return undefined
      }),
    ),
  )
  return names?.filter((name) => name !== undefined) ?? []
}

function readExtension<T>(
  certificate: Certificate,
  oid: string,
  name: string,
  read: (reader: Reader) => T,
): T | undefined {
  const extension = certificate.extensions.get(oid)
  return extension === undefined ? undefined : readWhole(extension.value, name, read)
}

function readWhole<T>(value: Uint8Array, name: string, read: (reader: Reader) => T): T {
  const reader = new Reader(value, name)
  const result = read(reader)
  reader.finish()
  return result
}
