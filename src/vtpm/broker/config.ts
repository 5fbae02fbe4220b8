import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import {
  configuredPath,
  describeConfigurationIssue,
  oneOf,
  parseConfiguration,
  wholeNumber,
} from '../../core/configuration.ts'
import { TouchstoneError } from '../../core/index.ts'
import { isTcti } from '../../device/index.ts'
import type { TenantConfig } from '../lane/index.ts'

const DEFAULTS = {
  stateDir: '/var/lib/touchstone-broker',
  runDir: '/run/touchstone',
  tpm: '/dev/tpm0',
} as const

/** sun_path holds 108 bytes with its NUL; sockets lie up to 48 bytes below the run directory. */
const LONGEST_RUN_DIR = 56
const UID = wholeNumber(0, 4_294_967_294)

/** `0x01810000-0x0181000f`, both ends included. */
const handleRange = (first: number, last: number, what: string) =>
  z.string().transform((text, context): readonly [number, number] => {
    const [, from, to] = /^0x([0-9a-fA-F]{8})-0x([0-9a-fA-F]{8})$/.exec(text) ?? []
    const range = [Number.parseInt(from ?? '', 16), Number.parseInt(to ?? '', 16)] as const
    if (range[0] >= first && range[1] <= last && range[0] <= range[1]) return range
    context.addIssue({ code: 'custom', message: `expected a range of ${what}, for example 0x01810000-0x0181000f` })
    return z.NEVER
  })

const tenant = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'expected 1 to 32 of a-z, 0-9 and -'),
  /** Owner of the tenant's sockets; the broker's own user unless told otherwise. */
  uid: UID.optional(),
  /** `agent` is for the node agent alone: it may use the endorsement hierarchy. */
  class: oneOf('agent', 'app').default('app'),
  /** Raw TPM 2.0, as tpm2-tools and tpm2-tss speak it, and named keys over HTTP. */
  serve: z.array(oneOf('tpm', 'keys')).min(1).default(['tpm', 'keys']),
  quota: z
    .strictObject({
      objects: wholeNumber(1, 256).default(16),
      sessions: wholeNumber(1, 32).default(8),
      nvBytes: wholeNumber(0, 65_536).default(0),
      keys: wholeNumber(0, 10_000).default(64),
      /** Of the audit log of what it did, kept at least. */
      auditMebibytes: wholeNumber(4, 4096).default(32),
      commandsPerSecond: wholeNumber(1, 1_000_000).default(2000),
      burst: wholeNumber(1, 1_000_000).default(4000),
      nvWritesPerHour: wholeNumber(1, 1_000_000).default(360),
    })
    .prefault({}),
  nv: handleRange(0x0180_0000, 0x01bf_ffff, 'NV indices of the owner').optional(),
  persistent: handleRange(0x8100_0000, 0x817f_ffff, 'persistent handles of the owner').optional(),
  /** Seconds without a command after which its transient objects and sessions are freed. */
  idle: wholeNumber(1, 86_400).default(300),
})

const guests = z.strictObject({
  /** TPMs made ahead, so that a start takes no time. */
  pool: wholeNumber(0, 64).default(2),
  /** Guest n runs as this user plus n; every guest as the broker's own user without it. */
  uidBase: UID.optional(),
  /** Who may open a guest's sockets: the hypervisor's user. */
  hypervisorUid: UID.optional(),
  /** Whether a guest may start before its EK certificate is there. */
  certificate: oneOf('required', 'later').default('later'),
  /** `direct` gives the hypervisor swtpm's own control socket: only where the filter cannot run. */
  control: oneOf('filtered', 'direct').default('filtered'),
})

const schema = z.strictObject({
  /** `/dev/tpm0`, or an address as tpm2-tss writes it: `device:…`, `swtpm:path=…`. */
  tpm: z
    .string()
    .default(DEFAULTS.tpm)
    .transform((text) => (text.startsWith('/dev/') ? `device:${text}` : text))
    .refine(isTcti, { error: 'expected a device or an address: /dev/tpm0, swtpm:path=…' }),
  stateDir: configuredPath.default(DEFAULTS.stateDir),
  runDir: configuredPath.default(DEFAULTS.runDir),
  tenants: z.array(tenant).max(256).default([]),
  /** Base URL of the verifier that the agent must talk to; where it does not say, any. Status has the agent's. */
  verifier: z.url({ protocol: /^https$/, error: 'expected an https URL' }).optional(),
  /** State directory of this node's agent, whose socket obtains what the verifier gives. */
  agent: configuredPath.optional(),
  /** PEM of the key that releases are signed with; by default what the verifier names. */
  releaseKey: configuredPath.optional(),
  /** PEM of the fleet's recovery key, to which guests' keys are escrowed. */
  recoveryKey: configuredPath.optional(),
  guests: guests.prefault({}),
  logLevel: oneOf('trace', 'debug', 'info', 'warn', 'error').default('info'),
})

type Raw = z.output<typeof schema>

export interface BrokerTenant {
  readonly uid: number | undefined
  readonly serve: readonly ('tpm' | 'keys')[]
  readonly keys: number
  /** Of the audit log of what it did, kept at least. */
  readonly auditBytes: number
  readonly lane: TenantConfig
}

export interface BrokerConfig extends Readonly<Omit<Raw, 'tenants'>> {
  readonly tenants: readonly BrokerTenant[]
}

/** Reads the YAML at `file`; relative paths are relative to its directory. Throws one `broker.config` with every fault. */
export async function readBrokerConfig(file: string): Promise<BrokerConfig> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw new TouchstoneError('broker.config', `cannot read ${file}`, { cause })
  }
  return parseBrokerConfig(text, file)
}

/** The same of a text; `file` is where it came from. */
export function parseBrokerConfig(text: string, file: string): BrokerConfig {
  const read = parseConfiguration(text)
  if ('faults' in read) throw invalid(file, read.faults)
  const parsed = schema.safeParse(read.document)
  if (!parsed.success) throw invalid(file, parsed.error.issues.flatMap(describeConfigurationIssue))
  const raw = parsed.data
  const from = (relative: string) => resolve(dirname(resolve(file)), relative)
  const runDir = from(raw.runDir)
  const faults = [...tenantFaults(raw.tenants)]
  if (Buffer.byteLength(runDir) > LONGEST_RUN_DIR) {
    faults.push(`runDir: longer than ${LONGEST_RUN_DIR} bytes, so sockets below it could not be opened`)
  }
  if (faults.length > 0) throw invalid(file, faults)
  const { agent, releaseKey, recoveryKey, ...rest } = raw
  return Object.freeze({
    ...rest,
    runDir,
    stateDir: from(raw.stateDir),
    ...(agent === undefined ? {} : { agent: from(agent) }),
    ...(releaseKey === undefined ? {} : { releaseKey: from(releaseKey) }),
    ...(recoveryKey === undefined ? {} : { recoveryKey: from(recoveryKey) }),
    tenants: raw.tenants.map(brokerTenant),
  })
}

function brokerTenant({
  name,
  uid,
  serve,
  quota,
  nv,
  persistent,
  idle,
  ...rest
}: Raw['tenants'][number]): BrokerTenant {
  const { keys, auditMebibytes, ...limits } = quota
  return {
    uid,
    serve,
    keys,
    auditBytes: auditMebibytes << 20,
    lane: {
      name,
      class: rest.class,
      priority: rest.class === 'agent' ? 'attestation' : 'apps',
      quota: limits,
      nvRange: nv,
      persistentRange: persistent,
      idleTimeoutMs: idle * 1000,
    },
  }
}

function tenantFaults(tenants: Raw['tenants']): string[] {
  return tenants.flatMap(({ name, nv, persistent }, at) => {
    const before = tenants.slice(0, at)
    const shares = (key: 'nv' | 'persistent', own: readonly [number, number] | undefined) =>
      before
        .filter(
          ({ [key]: other }) => own !== undefined && other !== undefined && own[0] <= other[1] && other[0] <= own[1],
        )
        .map((other) => `tenants.${at}.${key}: overlaps that of ${other.name}`)
    return [
      ...(before.some((other) => other.name === name) ? [`tenants.${at}.name: ${name} occurs twice`] : []),
      ...shares('nv', nv),
      ...shares('persistent', persistent),
    ]
  })
}

function invalid(file: string, faults: readonly string[]): TouchstoneError {
  return new TouchstoneError('broker.config', `${file}: ${faults.join('; ')}`, { details: { faults: faults.length } })
}

/** Where the broker's parts have their files and sockets. */
export function brokerPaths({ stateDir, runDir }: Pick<BrokerConfig, 'stateDir' | 'runDir'>) {
  return {
    socket: join(runDir, 'broker.sock'),
    audit: join(stateDir, 'audit'),
    releases: join(stateDir, 'releases'),
    ledger: join(stateDir, 'ledger'),
    keys: join(stateDir, 'keys'),
  }
}
