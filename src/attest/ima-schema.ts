import { z } from 'zod'
import { MAX_GLOB } from './glob.ts'
import { readImaKey } from './ima-keys.ts'
import { resourceName, settleTerms, termFields, termProblems, whenEmpty } from './rule-terms.ts'
import type { GivenTerms, Terms } from './rule-terms.ts'
import type { TrustClaim } from '../core/index.ts'

// `spec.ima` of a policy: what the kernel's measurements must be. docs of each field: policies/README.md.

const MAX_GLOBS = 256
const MAX_KEYS = 64
const MAX_BUFFER_RULES = 64
const MAX_INLINE = 4096

const boolean = z.enum(['true', 'false'], { error: 'expected true or false' }).transform((value) => value === 'true')

const glob = z
  .string()
  .min(1, 'expected a glob')
  .max(MAX_GLOB, `expected at most ${MAX_GLOB} characters`)
  .describe('A path: * within a component, ** across, ? one character, \\ before one that is meant.')
const globs = z.array(glob).min(1).max(MAX_GLOBS)

const DIGESTS: Readonly<Record<string, number>> = { sha1: 40, sha256: 64, sha384: 96, sha512: 128 }

/** `sha256:<hex>`, of a file's content; `verity:sha256:<hex>` of its fs-verity descriptor. */
export function isMeasuredDigest(text: string): boolean {
  const [, algorithm = '', hex = ''] = /^(?:verity:)?([a-z0-9]+):([0-9a-f]+)$/.exec(text) ?? []
  return Object.hasOwn(DIGESTS, algorithm) && DIGESTS[algorithm] === hex.length
}

const digest = z.string().refine(isMeasuredDigest, {
  message: 'expected a digest with its algorithm, such as sha256:<hex>',
})

const references = z.array(resourceName).min(1).max(64).describe('Reference sets, by name.')

const allow = z
  .strictObject({
    anyOf: z.array(digest).min(1).max(MAX_INLINE).optional().describe('Digests of files, whatever their path.'),
    references: references.optional(),
    onUnknown: termFields.onFailure.describe('deny (default) or warn: a file that is neither in the list nor signed.'),
    whenEmpty,
    sets: termFields.sets,
    mode: termFields.mode,
    message: termFields.message,
  })
  .refine(({ anyOf, references: named }) => anyOf !== undefined || named !== undefined, {
    message: 'needs anyOf or references',
  })

const key = z
  .strictObject({
    name: resourceName,
    publicKey: z.string().max(16_384).describe('PEM: a public key, or a certificate.'),
    keyId: z
      .string()
      .regex(/^[0-9a-f]{8}$/, 'expected eight hex digits')
      .optional()
      .describe('What signatures call the key, where it is not the end of its subject key identifier.'),
  })
  .transform((given, context) => {
    const read = readImaKey(given)
    if (typeof read !== 'string') return read
    context.addIssue({ code: 'custom', path: ['publicKey'], message: read })
    return z.NEVER
  })

const buffer = z
  .strictObject({
    name: glob.describe('Of the measurement: .ima and other keyrings, kexec-cmdline, kernel_version, selinux-*.'),
    anyOf: z
      .array(z.string().min(1).max(65_536))
      .min(1)
      .max(MAX_INLINE)
      .optional()
      .describe('Its text, or the digest of its bytes: sha256:<hex>.'),
    references: references.optional(),
    required: boolean.default(false).describe('true: something of that name must have been measured.'),
    onFailure: termFields.onFailure,
  })
  .refine(({ anyOf, references: named, required }) => required || anyOf !== undefined || named !== undefined, {
    message: 'needs anyOf, references or required',
  })

const deviceMapper = z
  .strictObject({
    rootHashes: z
      .strictObject({
        anyOf: z
          .array(z.string().regex(/^(?:[0-9a-f]{2})+$/, 'expected lower-case hex'))
          .min(1)
          .max(MAX_INLINE)
          .optional(),
        references: references.optional(),
      })
      .refine(({ anyOf, references: named }) => anyOf !== undefined || named !== undefined, {
        message: 'needs anyOf or references',
      })
      .optional()
      .describe('Root hashes of dm-verity that tables may have.'),
    targets: z
      .array(z.string().min(1).max(64))
      .min(1)
      .max(64)
      .optional()
      .describe('Kinds of target that tables may have.'),
    required: z.array(glob).min(1).max(64).optional().describe('Names of devices that must have a verity table.'),
    sets: termFields.sets,
    onFailure: termFields.onFailure,
    mode: termFields.mode,
    message: termFields.message,
  })
  .refine(({ rootHashes, targets, required }) => [rootHashes, targets, required].some((field) => field !== undefined), {
    message: 'needs rootHashes, targets or required',
  })

export const imaSpec = z
  .strictObject({
    required: boolean.default(true).describe('Whether an IMA log must come; false: what comes is judged.'),
    allow: allow.optional().describe('Files that may have been run or read, by digest and path.'),
    keys: z.array(key).min(1).max(MAX_KEYS).optional().describe('Keys whose signature on a file is good enough.'),
    requireSigned: globs.optional().describe('Files that must be signed by one of the keys, whatever the list says.'),
    excludes: globs.optional().describe('Files that are not judged; a revoked digest is, wherever it lies.'),
    violations: z
      .enum(['deny', 'warn', 'allow'], { error: 'expected deny, warn or allow' })
      .default('warn')
      .describe('Files that somebody could write while they were measured.'),
    buffers: z.array(buffer).min(1).max(MAX_BUFFER_RULES).optional(),
    otherBuffers: z
      .enum(['deny', 'warn', 'allow'], { error: 'expected deny, warn or allow' })
      .optional()
      .describe('Buffers under no rule; by default those that Linux is known to measure are fine, and others are not.'),
    deviceMapper: deviceMapper.optional(),
  })
  .refine(({ requireSigned, keys }) => requireSigned === undefined || keys !== undefined, {
    message: 'requireSigned needs keys',
    path: ['requireSigned'],
  })
  .refine(({ excludes, allow: list, keys }) => excludes === undefined || list !== undefined || keys !== undefined, {
    message: 'excludes needs allow or keys',
    path: ['excludes'],
  })

export type ImaSpec = z.output<typeof imaSpec>

interface ImaTerm {
  /** Of `spec.ima`, and what verdicts call the rule. */
  readonly field: 'allow' | 'violations' | 'buffers' | 'deviceMapper'
  readonly given: GivenTerms
  readonly claim: TrustClaim
}

/** What the failure of each part means: files and violations speak for what runs, buffers for settings. */
function givenTerms({ allow: list, keys, deviceMapper: devices, violations }: ImaSpec): readonly ImaTerm[] {
  const { onUnknown: onFailure, sets, mode, message } = list ?? {}
  return [
    ...(list === undefined && keys === undefined
      ? []
      : [{ field: 'allow', given: { onFailure, sets, mode, message }, claim: 'executables' } as const]),
    { field: 'violations', given: { onFailure: violations === 'deny' ? 'deny' : 'warn' }, claim: 'executables' },
    { field: 'buffers', given: {}, claim: 'configuration' },
    ...(devices === undefined ? [] : [{ field: 'deviceMapper', given: devices, claim: 'file-system' } as const]),
  ]
}

/** By field. */
export function imaTerms(spec: ImaSpec, policy: string): ReadonlyMap<string, Terms> {
  return new Map(
    givenTerms(spec).map(({ field, given, claim }) => [
      field,
      settleTerms({ ...given, name: undefined }, policy, { name: `ima.${field}`, claim }),
    ]),
  )
}

/** What contradicts itself: where it stands under `spec.ima`, and why. */
export function imaTermProblems(
  spec: ImaSpec,
): readonly { readonly path: readonly string[]; readonly message: string }[] {
  return givenTerms(spec).flatMap(({ field, given, claim }) =>
    termProblems(given, { claim }).map(({ field: of, message }) => {
      const name = field === 'allow' && of === 'onFailure' ? 'onUnknown' : of
      return { path: [field, name], message }
    }),
  )
}
