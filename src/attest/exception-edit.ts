import { isMap, parseDocument } from 'yaml'
import { toRfc3339 } from '../core/index.ts'
import { parseException } from './policy.ts'
import { mappingEditor, unfit } from './yaml-edit.ts'

/**
 * The text of a PolicyException that ends at that moment (milliseconds since the Unix epoch), and everything else as it was, to the
 * byte. Throws `reference.unfit` for what cannot be done in that text, and `policy.invalid`.
 */
export function endException(text: string, at: number): string {
  const before = parseException(text)
  const spec = parseDocument(text, { schema: 'failsafe' }).getIn(['spec'])
  if (!isMap(spec)) throw unfit('it has no spec')
  const edits = mappingEditor(text)
  // In quotes it is a text of JSON, too.
  edits.set(spec, [['expires', JSON.stringify(toRfc3339(at))]])
  const made = edits.text()
  const after = parseException(made)
  const told = ({ digest: _digest, expires: _expires, ...rest }: typeof before) => JSON.stringify(rest)
  if (after.expires !== at || told(after) !== told(before))
    throw unfit('its layout is not one that can be changed in place')
  return made
}
