import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { ADMISSION_MODES } from '../ca/index.ts'
import { TouchstoneError } from '../core/index.ts'

const DAY = 24 * 3600
const MAX_FILE = 1 << 20

const path = z.string().min(1, 'expected a path')
const oneOrMore = z.union([path.transform((one) => [one]), z.array(path).min(1)])

/** Scalars arrive as the text that was written; each key says what it makes of it. */
function whole(least: number, most: number) {
  return z
    .string()
    .regex(/^\d{1,9}$/, 'expected a whole number')
    .transform(Number)
    .refine((value) => value >= least && value <= most, { error: `expected ${least} to ${most}` })
}

function choice<const T extends readonly [string, ...string[]]>(...values: T) {
  return z.enum(values, { error: `expected ${values.join(', ')}` })
}

const flag = choice('true', 'false').transform((text) => text === 'true')

const HOST_PORT = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/
const listen = z.string().transform((text, context) => {
  const [, ipv6, host, port] = HOST_PORT.exec(text) ?? []
  const address = ipv6 ?? host
  if (address !== undefined && Number(port) <= 65_535) return { host: address, port: Number(port) }
  context.addIssue({ code: 'custom', message: 'expected host:port, for example 127.0.0.1:8443 or [::1]:0' })
  return z.NEVER
})

const limits = z.strictObject({
  /** Onboardings under way at once: all together, and by one EK. */
  pendingSessions: whole(1, 1_000_000).default(10_000),
  pendingSessionsPerEk: whole(1, 10_000).default(32),
  /** Nodes that wait for an operator. */
  pendingNodes: whole(1, 1_000_000).default(10_000),
  /** From one address. */
  requestsPerMinute: whole(1, 10_000_000).default(12_000),
  onboardingPerMinute: whole(1, 10_000_000).default(600),
  /** Firmware logs kept of one node. */
  logsPerNode: whole(1, 10_000).default(16),
  logBytesPerNode: whole(1, 999_999_999).default(8 << 20),
  attestationsPerNode: whole(1, 1_000_000).default(1000),
})

interface PolicyFiles {
  readonly path?: string | undefined
  readonly enrolment?: string | undefined
  readonly attestation?: string | undefined
}

const schema = z.strictObject({
  /** Port 0 takes any free one; run.json tells which. */
  listen: listen.prefault('127.0.0.1:8443'),
  /** Database, certificate authority and run.json. Made if need be; mode 0700. */
  dataDir: path,
  /** PEM files. Without them the issuing authority certifies the verifier itself. */
  tls: z.strictObject({ certificate: path, key: path }).optional(),
  /** DNS names and addresses that nodes reach the verifier by, besides localhost. */
  tlsNames: oneOrMore.default([]),
  /** PEM files, or folders of them: whose EK certificates are trusted. */
  ekRoots: oneOrMore.default([]),
  ekCertificates: z
    .strictObject({
      /** What a date that has passed amounts to: TPMs outlive their certificates. */
      expired: choice('warn', 'fail').default('warn'),
      /** Insecure: for the SHA-1 chains of old vendors. */
      allowSha1: flag.default(false),
    })
    .prefault({}),
  admission: z.enum(ADMISSION_MODES, { error: `expected ${ADMISSION_MODES.join(', ')}` }).default('manifest'),
  /** YAML or JSON: which boxes are expected, with every EK. */
  manifest: path.optional(),
  /** YAML file or folder; policies that are applied later by an operator come before those of the same name here. */
  policies: z
    .union([
      path.transform((one) => ({ path: one })),
      z.strictObject({
        path: path.optional(),
        /** Names, needed where several policies would serve one purpose. */
        enrolment: z.string().optional(),
        attestation: z.string().optional(),
      }),
    ])
    .transform((policies): PolicyFiles => policies)
    .prefault({}),
  /** What becomes of an enrolled TPM that comes with another AK or device key. */
  reEnrolment: choice('refuse', 'approve', 'allow').default('refuse'),
  /** Seconds between two attestations of a node. */
  interval: whole(1, DAY).default(300),
  /** Seconds that a result is good for. */
  resultLifetime: whole(1, 30 * DAY).default(900),
  /** Seconds that device and AK certificates are good for. */
  certificateLifetime: whole(60, 3650 * DAY).default(90 * DAY),
  /** Spelling of results: the current draft, or that of 2023, which deployed readers want. */
  resultProfile: choice('ear-03', 'veraison-2023').default('ear-03'),
  /** Who results say they are from; the verifier's URL unless told otherwise. */
  issuer: z.string().min(1).max(256).optional(),
  /** Opens the keys in <dataDir>/ca; by default the file `passphrase` there. */
  passphraseFile: path.optional(),
  limits: limits.prefault({}),
  logLevel: choice('trace', 'debug', 'info', 'warn', 'error').default('info'),
})

type Raw = z.output<typeof schema>

export interface ServerConfig extends Readonly<Raw> {
  readonly passphraseFile: string
}

/**
 * Reads the configuration; relative paths in it are relative to its own directory. Throws one `config.invalid` that
 * lists every fault. The result is frozen: it is read once and passed on.
 */
export async function readServerConfig(file: string): Promise<ServerConfig> {
  const text = await readText(file)
  return parseServerConfig(text, file)
}

/** The same of a text; `file` is where it came from. */
export function parseServerConfig(text: string, file: string): ServerConfig {
  const parsed = schema.safeParse(parseYaml(text, file))
  if (!parsed.success) throw invalid(file, parsed.error.issues.flatMap(describeIssue))
  const raw = parsed.data
  const faults: string[] = []
  if (raw.admission === 'manifest' && raw.manifest === undefined) {
    faults.push('manifest: admission by manifest needs one')
  }
  if (raw.admission === 'vendor-ek' && raw.ekRoots.length === 0) {
    faults.push('ekRoots: admission by vendor-ek needs the roots of the vendors')
  }
  if (faults.length > 0) throw invalid(file, faults)
  const from = (relative: string) => resolve(dirname(resolve(file)), relative)
  const dataDir = from(raw.dataDir)
  return Object.freeze({
    ...raw,
    dataDir,
    ekRoots: raw.ekRoots.map(from),
    passphraseFile: raw.passphraseFile === undefined ? join(dataDir, 'ca', 'passphrase') : from(raw.passphraseFile),
    ...(raw.tls === undefined ? {} : { tls: { certificate: from(raw.tls.certificate), key: from(raw.tls.key) } }),
    ...(raw.manifest === undefined ? {} : { manifest: from(raw.manifest) }),
    policies: {
      ...raw.policies,
      ...(raw.policies.path === undefined ? {} : { path: from(raw.policies.path) }),
    },
  })
}

async function readText(file: string): Promise<string> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw new TouchstoneError('config.invalid', `cannot read ${file}`, { cause })
  }
  if (text.length > MAX_FILE) throw invalid(file, ['larger than 1 MiB'])
  return text
}

function parseYaml(text: string, file: string): unknown {
  try {
    return parse(text, { schema: 'failsafe', merge: false, maxAliasCount: 0, uniqueKeys: true, logLevel: 'error' })
  } catch (cause) {
    throw invalid(file, [cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause)])
  }
}

function describeIssue(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => `${[...at, key].join('.')}: unknown key`)
  const message =
    issue.code === 'invalid_type' && issue.input === undefined
      ? 'is needed'
      : issue.code === 'invalid_union'
        ? (issue.errors.at(-1)?.[0]?.message ?? issue.message)
        : issue.message
  return [`${at.join('.') || 'document'}: ${message}`]
}

function invalid(file: string, faults: readonly string[]): TouchstoneError {
  return new TouchstoneError('config.invalid', `${file}: ${faults.join('; ')}`, { details: { faults: faults.length } })
}
