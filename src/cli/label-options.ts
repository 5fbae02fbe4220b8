import { LABEL_NAME, TouchstoneError } from '../core/index.ts'

/** `site=north` as name and value. Throws `usage.arguments`. */
export function parseLabel(text: string): readonly [name: string, value: string] {
  const at = text.indexOf('=')
  const name = text.slice(0, Math.max(at, 0))
  if (at > 0 && LABEL_NAME.test(name)) return [name, text.slice(at + 1)]
  throw new TouchstoneError('usage.arguments', `${text} is not a label`, { hint: 'Write it like site=north.' })
}

/** Of an option that may be given more than once; for commander. */
export function collectLabels(
  text: string,
  before: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  return { ...before, ...Object.fromEntries([parseLabel(text)]) }
}
