import { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'
import { HASHES, parsePcrSelection } from '../tpm/index.ts'
import { didYouMean } from './closest.ts'
import { apiVersion, metadata } from './document-schema.ts'
import { imaSpec } from './ima-schema.ts'
import { nestedSet } from './reference-schema.ts'
import {
  authoritiesRule,
  commandLineRule,
  countRule,
  digestListRule,
  digestRule,
  flagRule,
  imagesRule,
  revocationRule,
  safeFlagRule,
  textListRule,
  textRule,
  versionRule,
} from './rule-schema.ts'
import { resourceName, termFields, whenEmpty } from './rule-terms.ts'

// `touchstone/v1`: what a policy looks like. The descriptions are what editors show, see
// policies/schema; policies/README.md explains the whole.

/** PCR banks in the spelling of tpm2-tools; the first one is judged. */
const selection = z.string().transform((text, context) => {
  try {
    return parsePcrSelection(text)
  } catch (error) {
    if (!(error instanceof TouchstoneError)) throw error
    context.addIssue({ code: 'custom', message: `${error.message}${bankMeant(text)}` })
    return z.NEVER
  }
})

function bankMeant(text: string): string {
  const banks = text.split('+').map((part) => part.split(':')[0] ?? '')
  const unknown = banks.find((bank) => !Object.hasOwn(HASHES, bank))
  return unknown === undefined ? '' : didYouMean(unknown, Object.keys(HASHES))
}

const pcrIndex = z.string().regex(/^(?:[0-9]|1[0-9]|2[0-3])$/, 'expected a register number, 0 to 23')

/** More than anybody reads; each costs its share of every appraisal. */
const MAX_EXPRESSIONS = 64

const expressionRule = z.strictObject({
  name: resourceName.describe('What verdicts call the rule.'),
  expression: z
    .string()
    .min(1, 'expected an expression')
    .describe('CEL that is true of a good boot, over boot, pcrs, quote, node and ima.'),
  claim: termFields.claim,
  sets: termFields.sets,
  onFailure: termFields.onFailure,
  mode: termFields.mode,
  message: termFields.message,
  whenEmpty: whenEmpty.describe('pass: over an empty list the expression’s own answer stands.'),
})
export type GivenExpression = z.output<typeof expressionRule>

const spec = z.strictObject({
  pcrs: selection.describe('What a node quotes, in the spelling of tpm2-tools: sha256:0-15. The first bank is judged.'),
  purpose: z
    .enum(['attestation', 'enrolment', 'any'], { error: 'expected attestation, enrolment or any' })
    .default('any')
    .describe('When the policy is asked.'),
  guest: z
    .strictObject({
      link: z
        .enum(['required', 'optional'], { error: 'expected required or optional' })
        .default('optional')
        .describe('Whether each quote must come with its host’s, over the two of them.'),
    })
    .optional()
    .describe('Makes the policy one for guests alone; without any such policy, guests are judged as nodes are.'),
  log: z
    .strictObject({
      structure: z
        .enum(['strict', 'tolerant'], { error: 'expected strict or tolerant' })
        .default('strict')
        .describe('tolerant: structural errors of the firmware log, as real machines have them, warn instead of fail.'),
      unmeasuredBanks: z
        .enum(['deny', 'warn'], { error: 'expected deny or warn' })
        .default('deny')
        .describe('An enabled PCR bank that nobody measured into.'),
      ima: z.enum(['required', 'optional'], { error: 'expected required or optional' }).default('optional'),
    })
    .prefault({})
    .describe('What is asked of the logs themselves.'),
  requiredFacts: z
    .array(z.string())
    .max(64)
    .default([])
    .describe('Facts that must be known, whatever they are: names of rules, for example secureBoot.dbx.'),
  secureBoot: z
    .strictObject({
      enabled: safeFlagRule('true').optional(),
      setupMode: safeFlagRule('false').optional(),
      auditMode: safeFlagRule('false').optional(),
      deployedMode: flagRule.optional(),
      pk: digestRule.optional().describe('Digest of the measured variable, in the judged bank; so for the others.'),
      kek: digestRule.optional(),
      db: digestRule.optional(),
      dbx: revocationRule.optional().describe('Revoked boot loaders.'),
      dbt: digestRule.optional(),
      dbr: digestRule.optional(),
      authorities: authoritiesRule.optional().describe('What images were verified with.'),
    })
    .optional()
    .describe('UEFI Secure Boot, PCR 7.'),
  firmware: z
    .strictObject({
      version: versionRule.optional(),
      drivers: digestListRule.optional().describe('Drivers and option ROMs.'),
      actions: textListRule.optional().describe('Unusual actions: debug mode, DMA protection off, setup entered.'),
    })
    .optional(),
  boot: z
    .strictObject({
      order: textRule.optional().describe('Numbers of the boot options: 0001,0000.'),
      options: digestListRule.optional(),
      partitionTables: digestListRule.optional(),
      attempts: textRule.optional().describe('How many boot options the firmware tried.'),
      applications: imagesRule.optional().describe('Images that firmware and boot loaders started.'),
      files: digestListRule.optional().describe('Files that boot loaders read: kernel, initrd, configuration.'),
      exitBootServices: safeFlagRule('true').optional().describe('Whether an operating system took over.'),
    })
    .optional(),
  shim: z.strictObject({ sbatLevel: textRule.optional(), mokListTrusted: flagRule.optional() }).optional(),
  grub: z.strictObject({ commands: textListRule.optional() }).optional(),
  kernel: z.strictObject({ commandLine: commandLineRule.optional() }).optional(),
  eve: z.strictObject({ config: digestListRule.optional(), rootfs: digestListRule.optional() }).optional(),
  pcr: z.record(pcrIndex, digestRule).optional().describe('Values of whole registers, in the judged bank.'),
  clock: z
    .strictObject({
      safe: safeFlagRule('true').optional().describe('Whether the TPM’s clock cannot have gone back: no power cut.'),
      resetsSinceLast: countRule.optional().describe('Reboots since the last accepted quote.'),
      restarts: countRule.optional().describe('Resumes and warm restarts since the last reboot.'),
    })
    .optional()
    .describe('What the quote itself says of the TPM’s clock.'),
  tpm: z
    .strictObject({
      firmwareVersion: versionRule.optional().describe('Four numbers of 16 bits: 7.85.4555.0.'),
    })
    .optional(),
  ima: imaSpec.optional().describe('What the kernel measured of files, keys and devices, PCR 10.'),
  rules: z.array(expressionRule).max(MAX_EXPRESSIONS).default([]).describe('Rules for what no field here can say.'),
  references: z.array(nestedSet).max(64).default([]).describe('Reference sets that travel with the policy.'),
})

export type PolicySpec = z.output<typeof spec>

export const attestationPolicy = z.strictObject({
  apiVersion,
  kind: z.literal('AttestationPolicy'),
  metadata,
  spec,
})
