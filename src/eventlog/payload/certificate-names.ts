/**
 * Subject and issuer of a certificate, for people and for rules on names. Deliberately not a validator: certificates in
 * firmware databases have negative serials and duplicate extensions that make real parsers refuse them, and a log must
 * not fail for that. Reads only what lies before the names (RFC 5280 section 4.1); `undefined` where that is not DER.
 */
export interface CertificateNames {
  readonly subject: string
  readonly issuer: string
}

const SEQUENCE = 0x30
const SET = 0x31
const OID = 0x06
const VERSION = 0xa0

/** Object identifiers of attribute types, DER content in hex: RFC 4519 and PKCS #9. Others are shown by number. */
const ATTRIBUTES: ReadonlyMap<string, string> = new Map([
  ['550403', 'CN'],
  ['550405', 'serialNumber'],
  ['550406', 'C'],
  ['550407', 'L'],
  ['550408', 'ST'],
  ['550409', 'street'],
  ['55040a', 'O'],
  ['55040b', 'OU'],
  ['2a864886f70d010901', 'emailAddress'],
  ['0992268993f22c640119', 'DC'],
])

interface Element {
  readonly tag: number
  readonly start: number
  readonly end: number
}

export function certificateNames(der: Buffer): CertificateNames | undefined {
  const certificate = elementAt(der, 0, der.byteLength)
  const tbs = certificate && elementAt(der, certificate.start, certificate.end)
  if (tbs?.tag !== SEQUENCE) return undefined
  let field = elementAt(der, tbs.start, tbs.end)
  if (field?.tag === VERSION) field = elementAt(der, field.end, tbs.end)
  const algorithm = field && elementAt(der, field.end, tbs.end)
  const issuer = algorithm && elementAt(der, algorithm.end, tbs.end)
  const validity = issuer && elementAt(der, issuer.end, tbs.end)
  const subject = validity && elementAt(der, validity.end, tbs.end)
  if (issuer?.tag !== SEQUENCE || subject?.tag !== SEQUENCE) return undefined
  const subjectText = nameText(der, subject)
  const issuerText = nameText(der, issuer)
  return subjectText === undefined || issuerText === undefined
    ? undefined
    : { subject: subjectText, issuer: issuerText }
}

/** RFC 4514 order reversed: as the certificate has it, which is how people know these names. */
function nameText(der: Buffer, name: Element): string | undefined {
  const parts: string[] = []
  for (let at = name.start; at < name.end;) {
    const set = elementAt(der, at, name.end)
    const pair = set?.tag === SET ? elementAt(der, set.start, set.end) : undefined
    const type = pair && elementAt(der, pair.start, pair.end)
    const value = type && elementAt(der, type.end, pair.end)
    if (set === undefined || value === undefined || type?.tag !== OID) return undefined
    const oid = der.toString('hex', type.start, type.end)
    parts.push(`${ATTRIBUTES.get(oid) ?? oid}=${stringText(der, value)}`)
    at = set.end
  }
  return parts.join(', ')
}

const BMP_STRING = 0x1e

function stringText(der: Buffer, value: Element): string {
  if (value.tag !== BMP_STRING) return der.toString('utf8', value.start, value.end)
  const text = Buffer.from(der.subarray(value.start, value.end - ((value.end - value.start) % 2)))
  return text.swap16().toString('utf16le')
}

/** The element at `at`, which must end at or before `limit`. Lengths of up to four bytes. */
function elementAt(der: Buffer, at: number, limit: number): Element | undefined {
  const tag = der[at]
  const first = der[at + 1]
  if (tag === undefined || first === undefined || at + 2 > limit) return undefined
  if (first < 0x80) return at + 2 + first <= limit ? { tag, start: at + 2, end: at + 2 + first } : undefined
  const bytes = first & 0x7f
  if (bytes === 0 || bytes > 4 || at + 2 + bytes > limit) return undefined
  const start = at + 2 + bytes
  const end = start + der.readUIntBE(at + 2, bytes)
  return end <= limit ? { tag, start, end } : undefined
}
