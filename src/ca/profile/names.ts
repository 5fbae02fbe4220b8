import {
  constructed,
  octetString,
  oid,
  printableString,
  primitive,
  sequence,
  setOfOne,
  utf8String,
} from '../der-writer.ts'
import { OID } from '../path/index.ts'
import { TouchstoneError } from '../../core/index.ts'
import type { TpmIdentity } from '../ek-certificate.ts'

const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/
/** RFC 5280 Appendix A.1: ub-common-name, ub-serial-number, ub-organization-name. */
const MAX_ATTRIBUTE = 64

/** A distinguished name of one attribute a level, in the order given. */
export function distinguishedName(...attributes: readonly (readonly [type: string, value: string])[]): Buffer {
  return sequence(
    ...attributes.map(([type, value]) => {
      if (value === '' || value.length > MAX_ATTRIBUTE) {
        throw new TouchstoneError(
          'ca.name',
          `a name attribute has 1 to ${MAX_ATTRIBUTE} characters, not ${value.length}`,
        )
      }
      // A serialNumber is a PrintableString by definition (X.520); where the claimed one cannot be, UTF-8 says the truth.
      const text = type === OID.serialNumber && PRINTABLE.test(value) ? printableString(value) : utf8String(value)
      return setOfOne(sequence(oid(type), text))
    }),
  )
}

// GeneralName, RFC 5280 section 4.2.1.6

function otherName(type: string, value: Uint8Array): Buffer {
  return constructed(0, oid(type), constructed(0, value))
}

/** RFC 4108 section 5: the kind of hardware, and its serial number in bytes of that kind's own meaning. */
export function hardwareModuleName(serial: Uint8Array): Buffer {
  return otherName(OID.hardwareModuleName, sequence(oid(OID.tpm20), octetString(serial)))
}

/** RFC 4043 section 2, assigned by TCG's rule for EKs. */
export function permanentIdentifier(value: string): Buffer {
  return otherName(OID.permanentIdentifier, sequence(utf8String(value), oid(OID.ekPermanentIdSha256)))
}

/** The TPM's manufacturer, model and version, as its EK certificate has them. */
export function tpmDirectoryName({ manufacturer, model, version }: TpmIdentity): Buffer {
  const name = distinguishedName([OID.tpmManufacturer, manufacturer], [OID.tpmModel, model], [OID.tpmVersion, version])
  return constructed(4, name)
}

/** `urn:uuid:` and the node's id (RFC 9562 section 4). */
export function nodeUri(nodeId: string): Buffer {
  return primitive(6, Buffer.from(`urn:uuid:${nodeId}`, 'latin1'))
}

/** `urn:touchstone:` and pairs of words, for what has no standard name of its own; the caller vouches for the alphabet. */
export function touchstoneUri(...pairs: readonly (readonly [word: string, value: string | number])[]): Buffer {
  const path = pairs.flatMap(([word, value]) => [word, String(value)]).join('/')
  return primitive(6, Buffer.from(`urn:touchstone:${path}`, 'latin1'))
}

const DNS_NAME = /^(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/

/** A DNS name or an IP address, each as its own kind. Throws `ca.name` for anything else. */
export function hostName(host: string): Buffer {
  const address = addressBytes(host)
  if (address !== undefined) return primitive(7, address)
  if (!DNS_NAME.test(host) || host.length > 253) {
    throw new TouchstoneError('ca.name', `${JSON.stringify(host)} is neither a DNS name nor an IP address`)
  }
  return primitive(2, Buffer.from(host.toLowerCase(), 'latin1'))
}

function addressBytes(host: string): Buffer | undefined {
  if (IPV4.test(host)) return Buffer.from(host.split('.').map(Number))
  // URL knows IPv6 in all its spellings, and writes groups and `::` back in one (RFC 5952).
  if (!host.includes(':') || !URL.canParse(`http://[${host}]/`)) return undefined
  const groups = new URL(`http://[${host}]/`).hostname.slice(1, -1).split('::').map(groupsOf)
  const [head = [], tail = []] = groups
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => 0)
  const bytes = Buffer.alloc(16)
  for (const [index, group] of [...head, ...zeros, ...tail].entries()) bytes.writeUInt16BE(group, index * 2)
  return bytes
}

function groupsOf(text: string): readonly number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
}
