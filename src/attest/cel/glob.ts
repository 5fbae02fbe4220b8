/** Stars and characters of a pattern, so that a rule says what a person can read. */
export const MAX_STARS = 8
export const MAX_PATTERN = 256

/**
 * Whether `pattern` matches the whole text; `*` stands for any characters, none included, and nothing else is special.
 * Each part is sought once, behind the one before it, so there is no way back: O(text × parts).
 */
export function globMatches(text: string, pattern: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return text === first
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
  const end = text.length - last.length
  let at = first.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}

/** What is wrong with a pattern; `undefined` where it may be used. */
export function globFault(pattern: string): string | undefined {
  if (pattern.length > MAX_PATTERN) return `a pattern has at most ${MAX_PATTERN} characters`
  if (pattern.split('*').length - 1 > MAX_STARS) return `a pattern has at most ${MAX_STARS} stars`
  return undefined
}
