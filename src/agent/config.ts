import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import {
  configuredPath,
  describeConfigurationIssue,
  LARGEST_CONFIGURATION,
  parseConfiguration,
} from '../core/configuration.ts'
import { TouchstoneError } from '../core/index.ts'
import { parsePem, type Certificate } from '../ca/path/index.ts'
import { isEkKind, isTcti } from '../device/index.ts'
import { onboardingBegin } from '../wire/index.ts'
import { isLinkAddress } from './link.ts'

/** Where Linux shows what was measured, and what the machine says of itself. */
const DEFAULTS = {
  stateDir: '/var/lib/touchstone-node',
  tcti: 'device:/dev/tpmrm0',
  eventLog: '/sys/kernel/security/tpm0/binary_bios_measurements',
  userspaceLog: '/run/log/systemd/tpm2-measure.log',
  model: '/sys/class/dmi/id/product_name',
  serial: '/sys/class/dmi/id/product_serial',
} as const

/** sun_path holds 108 bytes with its NUL; the status socket lies in the state directory. */
const LONGEST_STATE_DIR = 96

const seconds = z
  .string()
  .regex(/^[1-9]\d{0,6}$/, 'expected a whole number of seconds')
  .transform(Number)

/** Every scalar arrives as the text that was written: `serial: 0012` is four digits. */
const schema = z.strictObject({
  /** Base URL of the verifier, https only. */
  verifier: z
    .url({ protocol: /^https$/, error: 'expected an https URL' })
    .refine((text) => ['search', 'hash', 'username', 'password'].every((part) => !partOf(text, part)), {
      error: 'expected a URL without query, fragment and credentials',
    }),
  /** PEM file of the root, or roots while one is rolled over to the next. Nothing else is ever trusted. */
  trustAnchor: configuredPath,
  stateDir: configuredPath.default(DEFAULTS.stateDir),
  tcti: z.string().default(DEFAULTS.tcti).refine(isTcti, { error: 'expected a TPM address: device:… or swtpm:…' }),
  eventLog: configuredPath.default(DEFAULTS.eventLog),
  /** systemd's tpm2-measure.log, of the same TPM: by default where systemd keeps it, if the event log is the kernel's. */
  userspaceLog: configuredPath.optional(),
  /** IMA's binary_runtime_measurements; a node without IMA leaves it out. */
  imaLog: configuredPath.optional(),
  /** What the node claims to be; by default what its firmware says (DMI). */
  model: onboardingBegin.shape.model.optional(),
  serial: onboardingBegin.shape.serial.optional(),
  /** The longest time between two attestations, in seconds; the verifier may ask for more frequent ones. */
  interval: seconds.optional(),
  /** TCG EK template to use, for example L-1; by default the best one that has a certificate. */
  ek: z
    .string()
    .refine(isEkKind, { error: 'expected an EK template: L-1, L-2, H-1, H-2, H-3, H-4, H-6, H-7' })
    .optional(),
  /** In a guest: the link socket of its broker, `unix:/path` or `http://host:port`. Never trusted, so never encrypted. */
  link: z.string().refine(isLinkAddress, { error: 'expected unix:/path or http://host:port' }).optional(),
})

const mapping = z.record(z.string(), z.unknown())

type Raw = z.output<typeof schema>

export interface AgentConfig extends Readonly<Omit<Raw, 'trustAnchor' | 'model' | 'serial'>> {
  readonly anchors: readonly Certificate[]
  readonly model: string
  readonly serial: string
}

/**
 * Reads the YAML at `file`; relative paths are relative to its directory. Throws one `agent.config` that lists every
 * fault. The result is frozen: it is read once and passed on.
 */
export async function readAgentConfig(file: string): Promise<AgentConfig> {
  const document = await readMapping(file)
  const base = dirname(resolve(file))
  const faults: string[] = []
  const collect = async <T>(key: string, work: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await work()
    } catch (error) {
      faults.push(`${key}: ${error instanceof Error ? error.message : String(error)}`)
      return undefined
    }
  }
  const parsed = schema.safeParse(document)
  faults.push(...(parsed.error?.issues.flatMap(describeConfigurationIssue) ?? []))
  // What the schema refused is not looked at again; everything else is, so that one run names every fault.
  const pem = configuredPath.safeParse(document['trustAnchor']).data
  const anchors =
    pem === undefined
      ? undefined
      : await collect('trustAnchor', async () => parsePem(await readText(resolve(base, pem))))
  const claim = (key: 'model' | 'serial') =>
    document[key] === undefined ? collect(key, () => readClaim(key)) : Promise.resolve(parsed.data?.[key])
  const [model, serial] = [await claim('model'), await claim('serial')]
  const stateDir = resolve(base, configuredPath.safeParse(document['stateDir']).data ?? DEFAULTS.stateDir)
  if (Buffer.byteLength(stateDir) > LONGEST_STATE_DIR) {
    faults.push(`stateDir: longer than ${LONGEST_STATE_DIR} bytes, so its socket could not be opened`)
  }
  if (faults.length > 0 || !parsed.success || anchors === undefined || model === undefined || serial === undefined) {
    throw refused(file, faults)
  }
  const { verifier, tcti, eventLog, imaLog, interval, ek, link } = parsed.data
  const userspaceLog = parsed.data.userspaceLog ?? (eventLog === DEFAULTS.eventLog ? DEFAULTS.userspaceLog : undefined)
  return Object.freeze({
    verifier: verifier.replace(/\/+$/, ''),
    anchors,
    stateDir,
    tcti,
    eventLog: resolve(base, eventLog),
    ...(userspaceLog === undefined ? {} : { userspaceLog: resolve(base, userspaceLog) }),
    ...(imaLog === undefined ? {} : { imaLog: resolve(base, imaLog) }),
    model,
    serial,
    ...(interval === undefined ? {} : { interval }),
    ...(ek === undefined ? {} : { ek }),
    ...(link === undefined ? {} : { link: absoluteLink(base, link) }),
  })
}

function absoluteLink(base: string, link: string): string {
  return link.startsWith('unix:') ? `unix:${resolve(base, link.slice('unix:'.length))}` : link
}

/** The status socket of the agent that owns `stateDir`. */
export function socketPath(stateDir: string): string {
  return join(stateDir, 'agent.sock')
}

async function readMapping(file: string): Promise<Readonly<Record<string, unknown>>> {
  const read = parseConfiguration(await readText(file))
  if ('faults' in read) throw refused(file, read.faults)
  const document = mapping.safeParse(read.document)
  if (!document.success) throw refused(file, ['expected a mapping of keys to values'])
  return document.data
}

async function readText(file: string): Promise<string> {
  let bytes: Buffer
  try {
    bytes = await readFile(file)
  } catch (cause) {
    throw new TouchstoneError('agent.config', `cannot read ${file}`, { cause })
  }
  if (bytes.byteLength > LARGEST_CONFIGURATION)
    throw new TouchstoneError('agent.config', `${file} is larger than 1 MiB`)
  return bytes.toString('utf8')
}

async function readClaim(name: 'model' | 'serial'): Promise<string> {
  const text = (await readText(DEFAULTS[name])).trim()
  const claim = onboardingBegin.shape[name].safeParse(text)
  if (claim.success) return claim.data
  throw new TouchstoneError('agent.config', `not configured, and ${DEFAULTS[name]} holds nothing that could be used`)
}

function refused(file: string, faults: readonly string[]): TouchstoneError {
  return new TouchstoneError('agent.config', `${file}: ${faults.join('; ')}`, { details: { faults: faults.length } })
}

function partOf(text: string, part: string): string {
  const url = URL.parse(text)
  if (url === null) return ''
  return { search: url.search, hash: url.hash, username: url.username, password: url.password }[part] ?? ''
}
