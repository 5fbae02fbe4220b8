/**
 * Order of versions of one scheme: whole numbers with dots between them, behind letters that both have alike, as in
 * `1.10.2`, `v2.0` or `Dhyana2.05.43`. `1.10` is newer than `1.9`, and `1.2` is the same as `1.2.0`.
 *
 * Everything else (`N1UET78W`, `2.0-rc1`, a GUID) has an order that only its vendor knows, so nothing is guessed.
 */

const MAX_LENGTH = 128

interface Version {
  /** What stands in front of the first digit. */
  readonly scheme: string
  /** Digits without leading zeros; `0` is empty. */
  readonly parts: readonly string[]
}

function readVersion(text: string): Version | undefined {
  if (text.length > MAX_LENGTH) return undefined
  const [, scheme, numbers] = /^([^0-9]*)([0-9]+(?:\.[0-9]+)*)\s*$/.exec(text) ?? []
  if (scheme === undefined || numbers === undefined) return undefined
  return { scheme, parts: numbers.split('.').map((part) => part.replace(/^0+/, '')) }
}

/** Whether a text has an order at all. */
export function isVersion(text: string): boolean {
  return readVersion(text) !== undefined
}

/** Negative, 0 or positive as `a` is older than, the same as or newer than `b`; `undefined` where nobody can say. */
export function compareVersions(a: string, b: string): number | undefined {
  const one = readVersion(a)
  const other = readVersion(b)
  if (one === undefined || one.scheme !== other?.scheme) return undefined
  const length = Math.max(one.parts.length, other.parts.length)
  for (let at = 0; at < length; at += 1) {
    const order = compareDigits(one.parts[at] ?? '', other.parts[at] ?? '')
    if (order !== 0) return order
  }
  return 0
}

/** Numbers of any length: a build number may be a date with a time. */
function compareDigits(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length
  if (a === b) return 0
  return a < b ? -1 : 1
}
