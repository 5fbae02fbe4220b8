/** Field identifiers of Linux `Documentation/security/IMA-templates.rst`. */
export type FieldId =
  | 'd'
  | 'n'
  | 'd-ng'
  | 'd-ngv2'
  | 'n-ng'
  | 'sig'
  | 'd-modsig'
  | 'modsig'
  | 'buf'
  | 'evmsig'
  | 'xattrnames'
  | 'xattrlengths'
  | 'xattrvalues'
  | 'iuid'
  | 'igid'
  | 'imode'

/** How `ascii_runtime_measurements` spells each field; `uint` is decimal, of the size in bytes. */
export type AsciiForm = 'digest' | 'labelled' | 'text' | 'hex' | { readonly uint: 2 | 4 }

const FIELDS: Readonly<Record<FieldId, AsciiForm>> = {
  d: 'digest',
  n: 'text',
  'd-ng': 'labelled',
  'd-ngv2': 'labelled',
  'n-ng': 'text',
  sig: 'hex',
  'd-modsig': 'labelled',
  modsig: 'hex',
  buf: 'hex',
  evmsig: 'hex',
  xattrnames: 'text',
  xattrlengths: 'hex',
  xattrvalues: 'hex',
  iuid: { uint: 4 },
  igid: { uint: 4 },
  imode: { uint: 2 },
}

/** The fields of each template that has a name, in order. */
const NAMED: Readonly<Record<string, readonly FieldId[]>> = {
  ima: ['d', 'n'],
  'ima-ng': ['d-ng', 'n-ng'],
  'ima-sig': ['d-ng', 'n-ng', 'sig'],
  'ima-ngv2': ['d-ngv2', 'n-ng'],
  'ima-sigv2': ['d-ngv2', 'n-ng', 'sig'],
  'ima-modsig': ['d-ng', 'n-ng', 'sig', 'd-modsig', 'modsig'],
  'ima-buf': ['d-ng', 'n-ng', 'buf'],
  'evm-sig': ['d-ng', 'n-ng', 'evmsig', 'xattrnames', 'xattrlengths', 'xattrvalues', 'iuid', 'igid', 'imode'],
}

/** The kernel allows no more fields (`IMA_TEMPLATE_NUM_FIELDS_MAX`). */
export const MAX_FIELDS = 15

/** Where a template keeps what is judged. Indices of fields; -1 where it has none. */
export interface ImaTemplate {
  readonly name: string
  readonly fields: readonly FieldId[]
  readonly digest: number
  /** The digest is preceded by a type: `verity:sha256:`. */
  readonly isTyped: boolean
  readonly path: number
  readonly signature: number
  /** The template is for buffers of the kernel, not for files: it is `ima-buf`, under whatever name. */
  readonly buffer: number
  /**
   * What vouches for a file beside its attribute `security.ima`: a signature that is appended to it (`ima-modsig`), or one
   * over its attributes and inode (`evm-sig`). Only where all fields are those of that template: in a list of another
   * order, what is taken for one field could be another one, that somebody chose.
   */
  readonly vouched: 'appended' | 'portable' | undefined
}

function templateOf(name: string, fields: readonly FieldId[]): ImaTemplate {
  const first = (...ids: readonly FieldId[]) => fields.findIndex((id) => ids.includes(id))
  return {
    name,
    fields,
    digest: first('d', 'd-ng', 'd-ngv2'),
    isTyped: fields[first('d', 'd-ng', 'd-ngv2')] === 'd-ngv2',
    path: first('n', 'n-ng'),
    signature: first('sig'),
    buffer: fields.length === 3 ? first('buf') : -1,
    vouched: isList(fields, 'ima-modsig') ? 'appended' : isList(fields, 'evm-sig') ? 'portable' : undefined,
  }
}

function isList(fields: readonly FieldId[], name: string): boolean {
  const list = NAMED[name]
  return list?.length === fields.length && fields.every((id, index) => id === list[index])
}

const TEMPLATES: ReadonlyMap<string, ImaTemplate> = new Map(
  Object.entries(NAMED).map(([name, fields]) => [name, templateOf(name, fields)]),
)

function isFieldId(id: string): id is FieldId {
  return Object.hasOwn(FIELDS, id)
}

export function asciiFormOf(id: FieldId): AsciiForm {
  return FIELDS[id]
}

/**
 * The template of that name: one of the kernel's, or a list of fields such as `d-ng|n-ng|sig`, which is how a template of
 * `ima_template_fmt` is named. `undefined`: no kernel writes it, or nobody should: names are not measured, so a list that
 * took digest and path from elsewhere than every other template could take them from attributes of the file.
 */
export function imaTemplate(name: string): ImaTemplate | undefined {
  const known = TEMPLATES.get(name)
  if (known !== undefined) return known
  const ids = name.split('|')
  if (ids.length < 2 || ids.length > MAX_FIELDS || !ids.every(isFieldId)) return undefined
  const template = templateOf(name, ids)
  return template.digest === 0 && template.path === 1 ? template : undefined
}

/** Byte order of the integers: that of the machine, or little with `ima_canonical_fmt`. */
export type Endian = 'little' | 'big'

/** Where the template data of an entry lies. */
export interface DataPlace {
  readonly bytes: Buffer
  readonly dataAt: number
  readonly dataEnd: number
  readonly endian: Endian
}

/** Where the fields of one entry lie, for one entry after the other without allocating. */
export interface FieldPlaces {
  readonly starts: Uint32Array
  readonly ends: Uint32Array
}

export function fieldPlaces(): FieldPlaces {
  return { starts: new Uint32Array(MAX_FIELDS), ends: new Uint32Array(MAX_FIELDS) }
}

const SHA1_SIZE = 20

/**
 * Finds the fields of an entry in the bytes that it lies in; false where its data is not what its template says, which
 * no kernel writes. O(fields).
 */
export function locateFields(data: DataPlace, template: ImaTemplate, places: FieldPlaces): boolean {
  const { bytes, dataAt, dataEnd, endian } = data
  const { starts, ends } = places
  if (template.name === 'ima') {
    starts[0] = dataAt
    ends[0] = dataAt + SHA1_SIZE
    starts[1] = dataAt + SHA1_SIZE + 4
    ends[1] = dataEnd
    return true
  }
  const count = template.fields.length
  let at = dataAt
  for (let index = 0; index < count; index++) {
    if (dataEnd - at < 4) return false
    const length = endian === 'little' ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at)
    at += 4
    if (length > dataEnd - at) return false
    starts[index] = at
    at += length
    ends[index] = at
  }
  return at === dataEnd
}

/** `sha256:` and its NUL, with a type before it at most. */
const MAX_LABEL = 32
const COLON = 0x3a

/** Where the digest begins behind its label, `sha256:\0`; -1 for a label that no kernel writes. O(1). */
export function digestStart(bytes: Buffer, start: number, end: number, isTyped: boolean): number {
  const limit = Math.min(end, start + MAX_LABEL)
  let colons = 0
  let at = start
  for (; at < limit; at++) {
    const byte = bytes[at] ?? 0
    if (byte === 0) break
    if (byte === COLON) {
      if (at === start || bytes[at - 1] === COLON) return -1
      colons += 1
    }
  }
  if (at >= limit || colons !== (isTyped ? 2 : 1) || bytes[at - 1] !== COLON || at + 1 >= end) return -1
  return at + 1
}

/** What an entry measured. */
export interface ImaMeasurement {
  /** `ima` (the file's content) or `verity` (its fs-verity digest); old templates are always `ima`. */
  readonly digestType: string
  /** As the kernel names it: `sha1`, `sha256`, … */
  readonly algorithm: string
  readonly digest: Buffer
  /** Path of a file, or the name of what else was measured (`boot_aggregate`, `kernel_version`, …). */
  readonly name: string
  /** The other fields of the template, by identifier. */
  readonly fields: ReadonlyMap<FieldId, Buffer>
}

/** From where {@link locateFields} found the fields; `undefined` where the digest cannot be read. */
function measurementAt(bytes: Buffer, template: ImaTemplate, places: FieldPlaces): ImaMeasurement | undefined {
  const field = (index: number) => bytes.subarray(places.starts[index] ?? 0, places.ends[index] ?? 0)
  const digest = labelledDigest(field(template.digest), template)
  if (digest === undefined) return undefined
  const fields = new Map<FieldId, Buffer>()
  for (const [index, id] of template.fields.entries()) {
    if (index !== template.digest && index !== template.path) fields.set(id, field(index))
  }
  return { ...digest, name: nameOf(field(template.path)), fields }
}

function labelledDigest(value: Buffer, template: ImaTemplate) {
  if (template.fields[template.digest] === 'd') return { digestType: 'ima', algorithm: 'sha1', digest: value }
  const start = digestStart(value, 0, value.byteLength, template.isTyped)
  if (start < 0) return undefined
  const [first = '', second = ''] = value.toString('latin1', 0, start).split(':')
  const [digestType, algorithm] = template.isTyped ? [first, second] : ['ima', first]
  return { digestType, algorithm, digest: value.subarray(start) }
}

/** New templates count the NUL of a name in its length. */
function nameOf(value: Buffer): string {
  return value.toString('utf8', 0, value[value.byteLength - 1] === 0 ? value.byteLength - 1 : value.byteLength)
}

/** Whether the name of the template is one that this program can read. */
export function isKnownTemplate(name: string): boolean {
  return imaTemplate(name) !== undefined
}

/**
 * What an entry measured, or `undefined` where its template is not known or its data is not what the template says:
 * neither happens in a log that a kernel wrote. For one entry; whoever reads many uses {@link locateFields}.
 */
export function measurementOf(
  entry: DataPlace & { readonly template: ImaTemplate | undefined },
): ImaMeasurement | undefined {
  const { template, bytes } = entry
  const places = fieldPlaces()
  if (template === undefined || !locateFields(entry, template, places)) return undefined
  return measurementAt(bytes, template, places)
}

/** The same of an entry in a list. */
export function imaMeasurement(
  entry: { readonly template: string; readonly templateData: Buffer },
  endian: Endian,
): ImaMeasurement | undefined {
  const bytes = entry.templateData
  return measurementOf({ bytes, dataAt: 0, dataEnd: bytes.byteLength, endian, template: imaTemplate(entry.template) })
}
