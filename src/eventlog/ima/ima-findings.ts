import type { Finding, ReplayBank } from '../log.ts'
import { imaReader, type ImaCursor } from './ima-reader.ts'
import { isDigestRight } from './ima-register.ts'
import { digestStart, fieldPlaces, locateFields, type FieldPlaces } from './templates.ts'

/** Why the entry is none that a kernel writes; `undefined` for one that is. `places` get its fields. O(fields). */
export function templateFault(entry: ImaCursor, places: FieldPlaces): string | undefined {
  const { template, templateName, bytes } = entry
  if (template === undefined) return `the template ${JSON.stringify(templateName)} does not exist`
  const { digest, isTyped, fields } = template
  const isWhole = locateFields(entry, template, places)
  const start = places.starts[digest] ?? 0
  const end = places.ends[digest] ?? 0
  const isDigest = fields[digest] === 'd' ? isBare(end - start) : digestStart(bytes, start, end, isTyped) >= 0
  const isName = templateName !== 'ima' || isPlainName(bytes, places.starts[1] ?? 0, places.ends[1] ?? 0)
  return isWhole && isDigest && isName ? undefined : `the data is not what the template ${templateName} has`
}

/** Of the oldest template 256 bytes of the name are measured, zeros behind it: what is longer, or has zeros, is not whole. */
function isPlainName(bytes: Buffer, start: number, end: number): boolean {
  const size = end - start
  return size <= MAX_NAME && !bytes.subarray(start, end).includes(0)
}

/** IMA_EVENT_NAME_LEN_MAX. */
const MAX_NAME = 255

/** MD5 or SHA-1: the field has no room for more. */
function isBare(size: number): boolean {
  return size === 16 || size === 20
}

/**
 * What is wrong with an IMA log although it decodes. The name of a template is not measured, so a changed one must
 * show here; a recorded SHA-1 digest counts only where SHA-1 is the judged bank. `event` is the index of the entry.
 */
export function imaFindings(log: Uint8Array, bank: ReplayBank): Finding[] {
  const findings: Finding[] = []
  const places = fieldPlaces()
  const reader = imaReader((entry) => {
    const add = (code: Finding['code'], severity: Finding['severity'], message: string): void => {
      findings.push({ code, severity, event: entry.index, message })
    }
    const fault = templateFault(entry, places)
    if (fault !== undefined) add('eventlog.ima_template', 'error', fault)
    if (entry.violation) add('eventlog.ima_violation', 'warning', 'the file was open for writing while it was measured')
    if (!isDigestRight(entry)) {
      const severity = bank === 'sha1' ? 'error' : 'warning'
      add('eventlog.ima_digest', severity, 'the recorded SHA-1 digest is not that of the template data')
    }
  })
  reader.push(log)
  reader.end()
  return findings
}
