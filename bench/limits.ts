export interface Limit {
  readonly unit: string
  readonly against: string
  /** Largest ratio that is good; absent where a row only informs. */
  readonly ratio?: number
  /** For rows that are compared with a number: the largest value that is good, in `unit`. Their ratio is to this. */
  readonly value?: number
}

/** What is promised, in one table. A row that is not here cannot be reported. */
const LIMITS: Readonly<Record<string, Limit>> = {
  // A command through the lane, on a kept connection; tpm2-abrmd on a private bus, over a TPM of its own.
  'lane-getrandom': { unit: 'us', against: 'tpm2-abrmd', ratio: 0.5 },
  'lane-pcrread': { unit: 'us', against: 'tpm2-abrmd', ratio: 0.5 },
  // The same through tpm2-tss' swtpm TCTI, which connects anew for each command.
  'lane-getrandom-tcti': { unit: 'us', against: 'tpm2-abrmd' },
  'lane-pcrread-tcti': { unit: 'us', against: 'tpm2-abrmd' },
  'lane-sign': { unit: 'us', against: 'swtpm alone', ratio: 1.15 },
  // p99 of a quote while eight tenants sign without pause.
  'lane-fair': { unit: 'us', against: 'p99 of a quote alone and of the longest command', ratio: 1 },
  // A guest's command through tpm2-tss' swtpm TCTI, and on a connection that is kept.
  'vtpm-path': { unit: 'us', against: 'swtpm alone', ratio: 1.1 },
  'vtpm-path-kept': { unit: 'us', against: 'swtpm alone', ratio: 1.1 },
  // A guest's start, from the request to its socket: with state from the pool, and with state that a stop left.
  'vtpm-start': { unit: 'ms', against: '50 ms', value: 50 },
  'vtpm-restart': { unit: 'ms', against: '50 ms', value: 50 },
  // A command to one of 500 guests, what they all take, and what their broker takes.
  'vtpm-many': { unit: 'us', against: 'swtpm alone', ratio: 1.1 },
  'vtpm-many-pss': { unit: 'MB', against: '500 times one alone' },
  'vtpm-many-rss': { unit: 'MB', against: '120 MB', value: 120 },
}

export function limitOf(name: string): Limit {
  const limit = LIMITS[name]
  if (limit === undefined) throw new Error(`${name} has no row in bench/limits.ts`)
  return limit
}

/** What the table prints as the goal. */
export function goalOf({ ratio, value, unit }: Limit): string {
  if (value !== undefined) return `<= ${value} ${unit}`
  return ratio === undefined ? '' : `<= ${ratio}`
}

export function isMet(limit: Limit, row: { readonly ratio: number }): boolean | undefined {
  const largest = limit.value === undefined ? limit.ratio : 1
  return largest === undefined ? undefined : row.ratio <= largest
}
