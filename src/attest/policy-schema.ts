import { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'
import { parsePcrSelection } from '../tpm/index.ts'
import {
  commandLineRule,
  digestListRule,
  digestRule,
  flagRule,
  referenceText,
  resourceName,
  safeFlagRule,
  textListRule,
  textRule,
} from './rule-schema.ts'

// `touchstone/v1`: what a policy and a reference set look like. docs of each field: policies/README.md.

const apiVersion = z.literal('touchstone/v1', { error: 'expected touchstone/v1' })
const metadata = z.strictObject({ name: resourceName, description: z.string().max(4096).optional() })

/** PCR banks in the spelling of tpm2-tools; the first one is judged. */
const selection = z.string().transform((text, context) => {
  try {
    return parsePcrSelection(text)
  } catch (error) {
    if (!(error instanceof TouchstoneError)) throw error
    context.addIssue({ code: 'custom', message: error.message })
    return z.NEVER
  }
})

const REFERENCE_STATES = ['candidate', 'active', 'deprecated', 'revoked'] as const

const entry = z.strictObject({
  value: referenceText,
  /** What it is, for people: `shimx64.efi 15.8`. */
  label: z.string().max(512).optional(),
  /**
   * `candidate`: seen, not yet approved, does not match. `active`: matches. `deprecated`: matches with a warning.
   * `revoked`: contraindicated whatever the rule's severity.
   */
  state: z.enum(REFERENCE_STATES, { error: `expected ${REFERENCE_STATES.join(', ')}` }).default('active'),
})
export type ReferenceEntry = z.output<typeof entry>

const entries = z.array(entry).max(20_000)

const pcrIndex = z.string().regex(/^(?:[0-9]|1[0-9]|2[0-3])$/, 'expected a register number, 0 to 23')

const spec = z.strictObject({
  /** What a node quotes under this policy, for example `sha256:0-15`. */
  pcrs: selection,
  purpose: z
    .enum(['attestation', 'enrolment', 'any'], { error: 'expected attestation, enrolment or any' })
    .default('any'),
  /** Makes the policy one for guests alone; without any such policy, guests are judged as nodes are. */
  guest: z
    .strictObject({
      /** Whether each quote must come with its host's, over the two of them: see docs/adr/0014-guest-trust.md. */
      link: z.enum(['required', 'optional'], { error: 'expected required or optional' }).default('optional'),
    })
    .optional(),
  log: z
    .strictObject({
      /** `tolerant`: structural errors of the firmware log, as real machines have them, warn instead of fail. */
      structure: z.enum(['strict', 'tolerant'], { error: 'expected strict or tolerant' }).default('strict'),
      /** An enabled PCR bank that nobody measured into. */
      unmeasuredBanks: z.enum(['deny', 'warn'], { error: 'expected deny or warn' }).default('deny'),
      ima: z.enum(['required', 'optional'], { error: 'expected required or optional' }).default('optional'),
    })
    .prefault({}),
  /** Facts that must be known, whatever they are: names of rules, for example `secureBoot.dbx`. */
  requiredFacts: z.array(z.string()).max(64).default([]),
  secureBoot: z
    .strictObject({
      enabled: safeFlagRule('true').optional(),
      setupMode: safeFlagRule('false').optional(),
      auditMode: safeFlagRule('false').optional(),
      deployedMode: flagRule.optional(),
      /** Digests of the measured variables, in the judged bank. */
      pk: digestRule.optional(),
      kek: digestRule.optional(),
      db: digestRule.optional(),
      dbx: digestRule.optional(),
      dbt: digestRule.optional(),
      dbr: digestRule.optional(),
      /** What images were verified with. */
      authorities: digestListRule.optional(),
    })
    .optional(),
  firmware: z
    .strictObject({
      version: textRule.optional(),
      /** Drivers and option ROMs. */
      drivers: digestListRule.optional(),
      /** Unusual actions: debug mode, DMA protection off, setup entered. */
      actions: textListRule.optional(),
    })
    .optional(),
  boot: z
    .strictObject({
      /** Numbers of the boot options, `0001,0000`. */
      order: textRule.optional(),
      options: digestListRule.optional(),
      partitionTables: digestListRule.optional(),
      /** How many boot options the firmware tried, `1`. */
      attempts: textRule.optional(),
      /** Images that firmware and boot loaders started. */
      applications: digestListRule.optional(),
      /** Files that boot loaders read: kernel, initrd, configuration. */
      files: digestListRule.optional(),
      exitBootServices: safeFlagRule('true').optional(),
    })
    .optional(),
  shim: z.strictObject({ sbatLevel: textRule.optional(), mokListTrusted: flagRule.optional() }).optional(),
  grub: z.strictObject({ commands: textListRule.optional() }).optional(),
  kernel: z.strictObject({ commandLine: commandLineRule.optional() }).optional(),
  eve: z.strictObject({ config: digestListRule.optional(), rootfs: digestListRule.optional() }).optional(),
  /** Values of whole registers, in the judged bank. */
  pcr: z.record(pcrIndex, digestRule).optional(),
  /** Reference sets that travel with the policy. */
  references: z
    .array(z.strictObject({ name: resourceName, entries }))
    .max(64)
    .default([]),
})

export type PolicySpec = z.output<typeof spec>

export const attestationPolicy = z.strictObject({
  apiVersion,
  kind: z.literal('AttestationPolicy'),
  metadata,
  spec,
})

export const referenceSet = z.strictObject({
  apiVersion,
  kind: z.literal('ReferenceSet'),
  metadata,
  spec: z.strictObject({ entries }),
})
