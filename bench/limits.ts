export interface Limit {
  readonly unit: string
  readonly against: string
  /** Largest ratio that is good; absent where a row only informs. */
  readonly ratio?: number
  /** Smallest ratio that is good, for rates. */
  readonly least?: number
  /** For rows that are compared with a number: the largest value that is good, in `unit`. Their ratio is to this. */
  readonly value?: number
}

/** Time of twice the bytes by that of the bytes; 2 would be exact, and a larger heap costs a little. */
const LINEAR = 2.3

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
  // The process that keeps their control sockets, and both together, with the pages that they share counted once.
  'vtpm-many-keeper-rss': { unit: 'MB', against: '120 MB' },
  'vtpm-many-both-pss': { unit: 'MB', against: '120 MB' },
  // A quote: structure, nonce, selection, signature and the digest over its registers.
  'quote-verify': { unit: '/s', against: 'crypto.verify alone', least: 0.85 },
  'quote-verify-rsa2048': { unit: '/s', against: 'crypto.verify alone', least: 0.85 },
  // A firmware log: parsed, every payload held against its digest, one bank replayed.
  'log-replay': { unit: 'us/event', against: 'crypto.hash alone', ratio: 1.8 },
  'log-replay-tight': { unit: 'us/event', against: 'crypto.hash alone, without Buffers' },
  'log-replay-worst': { unit: 'us/event', against: 'crypto.hash alone, of the log that costs most' },
  // A whole judgement of 99 events under 12 rules: of a log that nobody saw before, and of one that was seen.
  'appraise-cold': { unit: '/s', against: 'crypto.verify and crypto.hash alone', least: 0.5 },
  'appraise-cold-tight': { unit: '/s', against: 'the same, without Buffers' },
  'appraise-warm': { unit: '/s', against: 'crypto.verify alone', least: 0.7 },
  'ima-replay': { unit: 'entries/s', against: 'hashing the same bytes', least: 0.5 },
  // 50,000 nodes' stored evidence, judged by a draft of ten rules, as an operator asks for it.
  'what-if': { unit: 's', against: 'crypto.verify of each quote alone' },
  // Twice the bytes, of what is meant to cost more than twice the time.
  linear: { unit: 'ms', against: 'half of it', ratio: LINEAR },
  'linear-payload': { unit: 'ms', against: 'half of it', ratio: LINEAR },
  'linear-tags': { unit: 'ms', against: 'half of it', ratio: LINEAR },
  'linear-paths': { unit: 'ms', against: 'half of it', ratio: LINEAR },
  'linear-databases': { unit: 'ms', against: 'half of it', ratio: LINEAR },
  'linear-texts': { unit: 'ms', against: 'half of it', ratio: LINEAR },
  'linear-ima': { unit: 'ms', against: 'half of it', ratio: LINEAR },
}

export function limitOf(name: string): Limit {
  const limit = LIMITS[name]
  if (limit === undefined) throw new Error(`${name} has no row in bench/limits.ts`)
  return limit
}

/** What the table prints as the goal. */
export function goalOf({ ratio, least, value, unit }: Limit): string {
  if (least !== undefined) return `>= ${least}`
  if (value !== undefined) return `<= ${value} ${unit}`
  return ratio === undefined ? '' : `<= ${ratio}`
}

export function isMet(limit: Limit, row: { readonly ratio: number }): boolean | undefined {
  if (limit.least !== undefined) return row.ratio >= limit.least
  const largest = limit.value === undefined ? limit.ratio : 1
  return largest === undefined ? undefined : row.ratio <= largest
}
