import type { ImaEntry, ImaLog } from './parse-ima-log.ts'

/** Field identifiers of Linux `Documentation/security/IMA-templates.rst`. */
type FieldId =
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

const FIELD_IDS: ReadonlySet<string> = new Set<FieldId>([
  'd',
  'n',
  'd-ng',
  'd-ngv2',
  'n-ng',
  'sig',
  'd-modsig',
  'modsig',
  'buf',
  'evmsig',
  'xattrnames',
  'xattrlengths',
  'xattrvalues',
  'iuid',
  'igid',
  'imode',
])

/** The fields of each template, in order. */
const TEMPLATES: ReadonlyMap<string, readonly FieldId[]> = new Map([
  ['ima', ['d', 'n']],
  ['ima-ng', ['d-ng', 'n-ng']],
  ['ima-sig', ['d-ng', 'n-ng', 'sig']],
  ['ima-ngv2', ['d-ngv2', 'n-ng']],
  ['ima-sigv2', ['d-ngv2', 'n-ng', 'sig']],
  ['ima-modsig', ['d-ng', 'n-ng', 'sig', 'd-modsig', 'modsig']],
  ['ima-buf', ['d-ng', 'n-ng', 'buf']],
  ['evm-sig', ['d-ng', 'n-ng', 'evmsig', 'xattrnames', 'xattrlengths', 'xattrvalues', 'iuid', 'igid', 'imode']],
])

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
  readonly fields: ReadonlyMap<string, Buffer>
}

/** The identifiers of a template's fields: a name of the table, or a format such as `d-ng|n-ng|sig`. */
function fieldsOf(template: string): readonly string[] | undefined {
  const known = TEMPLATES.get(template)
  if (known !== undefined) return known
  const ids = template.split('|')
  return ids.length > 1 && ids.every((id) => FIELD_IDS.has(id)) ? ids : undefined
}

/** Whether the name of the template is one that this program can read. */
export function isKnownTemplate(template: string): boolean {
  return fieldsOf(template) !== undefined
}

/**
 * The fields of an entry, or `undefined` where its template is not known or its data is not what the template says:
 * neither happens in a log that a kernel wrote.
 */
export function imaMeasurement(entry: ImaEntry, endian: ImaLog['endian']): ImaMeasurement | undefined {
  const ids = fieldsOf(entry.template)
  const values = ids && splitFields(entry, ids, endian)
  if (ids === undefined || values === undefined) return undefined
  let digest: Pick<ImaMeasurement, 'digestType' | 'algorithm' | 'digest'> | undefined
  let name: string | undefined
  const fields = new Map<string, Buffer>()
  for (const [i, id] of ids.entries()) {
    const value = values[i] ?? Buffer.alloc(0)
    if (id === 'd') digest = { digestType: 'ima', algorithm: 'sha1', digest: value }
    else if (id === 'd-ng' || id === 'd-ngv2') digest = labelledDigest(value, id === 'd-ngv2')
    else if (id === 'n' || id === 'n-ng') name = nameOf(value)
    else fields.set(id, value)
  }
  return digest === undefined || name === undefined ? undefined : { ...digest, name, fields }
}

const SHA1_SIZE = 20

function splitFields(entry: ImaEntry, ids: readonly string[], endian: ImaLog['endian']): Buffer[] | undefined {
  const { templateData: data } = entry
  if (entry.template === 'ima') return [data.subarray(0, SHA1_SIZE), data.subarray(SHA1_SIZE + 4)]
  const values: Buffer[] = []
  let at = 0
  while (values.length < ids.length) {
    if (data.byteLength - at < 4) return undefined
    const length = endian === 'little' ? data.readUInt32LE(at) : data.readUInt32BE(at)
    if (length > data.byteLength - at - 4) return undefined
    values.push(data.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return at === data.byteLength ? values : undefined
}

/** `sha256:\0<digest>`, and with a type before it in the second version: `verity:sha256:\0<digest>`. */
function labelledDigest(
  value: Buffer,
  typed: boolean,
): Pick<ImaMeasurement, 'digestType' | 'algorithm' | 'digest'> | undefined {
  const end = value.indexOf(0)
  if (end < 1 || end > 64) return undefined
  const label = value.toString('latin1', 0, end)
  const parts = label.split(':')
  const [digestType, algorithm] = typed ? parts : ['ima', ...parts]
  if (digestType === undefined || algorithm === undefined || !label.endsWith(':')) return undefined
  if (parts.length !== (typed ? 3 : 2)) return undefined
  return { digestType, algorithm, digest: value.subarray(end + 1) }
}

/** New templates count the NUL of a name in its length. */
function nameOf(value: Buffer): string {
  return value.toString('utf8', 0, value[value.byteLength - 1] === 0 ? value.byteLength - 1 : value.byteLength)
}
