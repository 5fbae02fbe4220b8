import { isUtf8 } from 'node:buffer'
import type { Reader } from '../../codec/index.ts'
import { readAll, readAny, readElement, readOid, TAG } from './der.ts'
import { OID } from './oid.ts'

export interface NameAttribute {
  readonly oid: string
  /** As text; `undefined` for what is no text, or not well-formed. */
  readonly value: string | undefined
  /** Which relative distinguished name it belongs to, counted from 0. */
  readonly level: number
}

export interface Name {
  /** As it came; never sorted or encoded again (some vendors' names are not sorted as DER wants). */
  readonly raw: Buffer
  readonly attributes: readonly NameAttribute[]
}

/** Reads a Name (RFC 5280 section 4.1.2.4) at the reader. */
export function readName(reader: Reader, name: string): Name {
  const start = reader.offset
  const levels = readElement(reader, name, TAG.sequence, () => readAll(reader, () => readRelativeName(reader)))
  const attributes = levels.flatMap((items, level) => items.map((item) => ({ ...item, level })))
  return { raw: reader.slice(start, reader.offset), attributes }
}

function readRelativeName(reader: Reader): readonly Omit<NameAttribute, 'level'>[] {
  return readElement(reader, 'rdn', TAG.set, () =>
    readAll(reader, () =>
      readElement(reader, 'attribute', TAG.sequence, () => {
        const oid = readOid(reader, 'type')
        return { oid, value: textOf(readAny(reader, 'value')) }
      }),
    ),
  )
}

function textOf({ tag, content }: { readonly tag: number; readonly content: Buffer }): string | undefined {
  switch (tag) {
    case TAG.utf8String:
      return isUtf8(content) ? content.toString('utf8') : undefined
    case TAG.printableString:
    case TAG.ia5String:
      return content.toString('latin1')
    case TAG.bmpString:
      return content.byteLength % 2 === 0 ? Buffer.from(content).swap16().toString('utf16le') : undefined
    default:
      return undefined
  }
}

/**
 * Whether an issuer's name is a subject's: the same bytes, or the same texts under another string type. STMicroelectronics
 * has a root whose subject is of PrintableStrings and whose name in the certificates below is of UTF8Strings. Letter case
 * and spaces count, which is stricter than RFC 5280 section 7.1; the signature decides in any case.
 */
export function isSameName(a: Name, b: Name): boolean {
  if (a.raw.equals(b.raw)) return true
  return (
    a.attributes.length === b.attributes.length &&
    a.attributes.every(({ oid, value, level }, index) => {
      const other = b.attributes[index]
      return value !== undefined && other?.value === value && other.oid === oid && other.level === level
    })
  )
}

const SHORT: Readonly<Record<string, string>> = {
  [OID.commonName]: 'CN',
  [OID.serialNumber]: 'serialNumber',
  [OID.countryName]: 'C',
  [OID.organizationName]: 'O',
  [OID.organizationalUnitName]: 'OU',
}

/** For people: `C=CH, O=STMicroelectronics NV, CN=STM TPM EK Intermediate CA 06`. Untrusted text; never compare it. */
export function describeName(name: Name): string {
  if (name.attributes.length === 0) return '(empty)'
  // Control characters would let a certificate write to an operator's terminal.
  const clean = (text: string) => text.replaceAll(/[^\x20-\x7e]/g, '?')
  return name.attributes.map(({ oid, value }) => `${SHORT[oid] ?? oid}=${clean(value ?? '?')}`).join(', ')
}
