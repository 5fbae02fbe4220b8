import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import { ADMISSION_MODES } from '../ca/index.ts'
import {
  configuredFlag,
  configuredPath,
  describeConfigurationIssue,
  oneOf,
  parseConfiguration,
  wholeNumber,
} from '../core/configuration.ts'
import { TouchstoneError } from '../core/index.ts'

const DAY = 24 * 3600

const oneOrMore = z.union([configuredPath.transform((one) => [one]), z.array(configuredPath).min(1)])

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
  pendingSessions: wholeNumber(1, 1_000_000).default(10_000),
  pendingSessionsPerEk: wholeNumber(1, 10_000).default(32),
  /** Nodes that wait for an operator. */
  pendingNodes: wholeNumber(1, 1_000_000).default(10_000),
  /** From one address. */
  requestsPerMinute: wholeNumber(1, 10_000_000).default(12_000),
  onboardingPerMinute: wholeNumber(1, 10_000_000).default(600),
  /** Firmware logs kept of one node. */
  logsPerNode: wholeNumber(1, 10_000).default(16),
  logBytesPerNode: wholeNumber(1, 999_999_999).default(8 << 20),
  attestationsPerNode: wholeNumber(1, 1_000_000).default(1000),
  /** Certificates for apps' keys that have not ended. */
  appKeysPerNode: wholeNumber(1, 1_000_000).default(1000),
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
  dataDir: configuredPath,
  /** PEM files. Without them the issuing authority certifies the verifier itself. */
  tls: z.strictObject({ certificate: configuredPath, key: configuredPath }).optional(),
  /** DNS names and addresses that nodes reach the verifier by, besides localhost. */
  tlsNames: oneOrMore.default([]),
  /** PEM files, or folders of them: whose EK certificates are trusted. */
  ekRoots: oneOrMore.default([]),
  ekCertificates: z
    .strictObject({
      /** What a date that has passed amounts to: TPMs outlive their certificates. */
      expired: oneOf('warn', 'fail').default('warn'),
      /** Insecure: for the SHA-1 chains of old vendors. */
      allowSha1: configuredFlag.default(false),
    })
    .prefault({}),
  admission: z.enum(ADMISSION_MODES, { error: `expected ${ADMISSION_MODES.join(', ')}` }).default('manifest'),
  /** YAML or JSON: which boxes are expected, with every EK. */
  manifest: configuredPath.optional(),
  /** YAML file or folder; policies that are applied later by an operator come before those of the same name here. */
  policies: z
    .union([
      configuredPath.transform((one) => ({ path: one })),
      z.strictObject({
        path: configuredPath.optional(),
        /** Names, needed where several policies would serve one purpose. */
        enrolment: z.string().optional(),
        attestation: z.string().optional(),
      }),
    ])
    .transform((policies): PolicyFiles => policies)
    .prefault({}),
  /** What becomes of an enrolled TPM that comes with another AK or device key. */
  reEnrolment: oneOf('refuse', 'approve', 'allow').default('refuse'),
  /** Seconds between two attestations of a node. */
  interval: wholeNumber(1, DAY).default(300),
  /** Seconds that a result is good for. */
  resultLifetime: wholeNumber(1, 30 * DAY).default(900),
  /** Seconds that one key signs results, and that the next is published before it does. */
  resultsKey: z
    .strictObject({
      lifetime: wholeNumber(3600, 3650 * DAY).default(180 * DAY),
      overlap: wholeNumber(60, 365 * DAY).default(DAY),
    })
    .prefault({})
    .refine(({ lifetime, overlap }) => overlap < lifetime, { error: 'overlap: must be shorter than lifetime' }),
  /** Seconds that device and AK certificates are good for. */
  certificateLifetime: wholeNumber(60, 3650 * DAY).default(90 * DAY),
  /** Seconds that certificates of guests' endorsement keys are good for, cut to the guest CA's end. */
  guestCertificateLifetime: wholeNumber(3600, 7300 * DAY).default(3650 * DAY),
  /** PEM of the public release key: then its private half is kept offline, and this verifier signs no releases. */
  releaseKey: configuredPath.optional(),
  /** Spelling of results: the current draft, or that of 2023, which deployed readers want. */
  resultProfile: oneOf('ear-03', 'veraison-2023').default('ear-03'),
  /** Who results say they are from; the verifier's URL unless told otherwise. */
  issuer: z.string().min(1).max(256).optional(),
  /** Opens the keys in <dataDir>/ca; by default the file `passphrase` there. */
  passphraseFile: configuredPath.optional(),
  limits: limits.prefault({}),
  logLevel: oneOf('trace', 'debug', 'info', 'warn', 'error').default('info'),
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
  const read = parseConfiguration(text)
  if ('faults' in read) throw invalid(file, read.faults)
  const parsed = schema.safeParse(read.document)
  if (!parsed.success) throw invalid(file, parsed.error.issues.flatMap(describeConfigurationIssue))
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
    ...(raw.releaseKey === undefined ? {} : { releaseKey: from(raw.releaseKey) }),
    ...(raw.manifest === undefined ? {} : { manifest: from(raw.manifest) }),
    policies: {
      ...raw.policies,
      ...(raw.policies.path === undefined ? {} : { path: from(raw.policies.path) }),
    },
  })
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new TouchstoneError('config.invalid', `cannot read ${file}`, { cause })
  }
}

function invalid(file: string, faults: readonly string[]): TouchstoneError {
  return new TouchstoneError('config.invalid', `${file}: ${faults.join('; ')}`, { details: { faults: faults.length } })
}
