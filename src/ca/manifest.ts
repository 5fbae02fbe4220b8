import { parseDocument, visit } from 'yaml'
import { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'

/** Printable ASCII, as nodes claim it. */
const claim = z
  .string()
  .regex(/^[\x21-\x7e](?:[\x20-\x7e]{0,62}[\x21-\x7e])?$/, 'expected 1 to 64 printable ASCII characters')
const ekDigest = z.string().regex(/^[0-9a-f]{64}$/, 'expected the SHA-256 of an SPKI in lower-case hex')
const labelName = z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$/, 'expected a label name')

const manifestNode = z.strictObject({
  model: claim,
  serial: claim,
  eks: z.array(ekDigest).min(1).max(16),
  /** Every PCR bank that its TPM implements, allocated or not; what the node says is believed where this is left out. */
  pcrBanks: z
    .array(z.enum(['sha1', 'sha256', 'sha384', 'sha512']))
    .min(1)
    .exactOptional(),
  labels: z.record(labelName, z.string().max(256)).default({}),
})

const manifestSchema = z.strictObject({
  apiVersion: z.literal('touchstone/v1'),
  kind: z.literal('Manifest'),
  metadata: z.strictObject({ name: z.string().min(1).max(128) }),
  spec: z.strictObject({ nodes: z.array(manifestNode) }),
})

/** One box as its manufacturer or integrator listed it. */
export type ManifestNode = Readonly<z.output<typeof manifestNode>>

export interface Manifest {
  readonly name: string
  readonly nodes: readonly ManifestNode[]
  /** By the digest of each of its EKs. */
  readonly byEk: ReadonlyMap<string, ManifestNode>
}

const MAX_FAULTS = 20

/**
 * Reads a manifest, YAML or JSON: every node with its model, serial and all EKs of its TPM by the SHA-256 of their SPKI, and
 * its PCR banks where they are known.
 * All scalars are strings; aliases, tags and merges are refused. An EK or a pair of model and serial that occurs twice is
 * a fault, because one of the two boxes could then take the other's place. Throws `manifest.invalid` naming every fault.
 */
export function parseManifest(text: string): Manifest {
  const parsed = manifestSchema.safeParse(parseScalars(text))
  if (!parsed.success) {
    throw invalid(parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'document'}: ${message}`))
  }
  const { metadata, spec } = parsed.data
  const byEk = new Map<string, ManifestNode>()
  const seen = new Map<string, number>()
  const faults: string[] = []
  for (const [index, node] of spec.nodes.entries()) {
    const identity = JSON.stringify([node.model, node.serial])
    const earlier = seen.get(identity)
    if (earlier !== undefined) faults.push(`spec.nodes.${index}: model and serial are those of spec.nodes.${earlier}`)
    seen.set(identity, index)
    for (const ek of node.eks) {
      if (byEk.has(ek)) faults.push(`spec.nodes.${index}.eks: ${ek} occurs twice`)
      byEk.set(ek, node)
    }
  }
  if (faults.length > 0) throw invalid(faults)
  return { name: metadata.name, nodes: spec.nodes, byEk }
}

function parseScalars(text: string): unknown {
  return parseJson(text) ?? parseYaml(text)
}

/** Lists of a whole production come as JSON, which is read in a tenth of the time; `undefined` for anything else. */
function parseJson(text: string): unknown {
  if (!text.startsWith('{')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function parseYaml(text: string): unknown {
  const document = parseDocument(text, { schema: 'failsafe', merge: false, uniqueKeys: true, stringKeys: true })
  const faults = [...document.errors, ...document.warnings].map(({ message }) => message.split('\n')[0] ?? message)
  visit(document, {
    Alias: (_, { source }) => void faults.push(`aliases are not allowed: *${source}`),
    Value: (_, { anchor, tag }) => {
      if (anchor !== undefined) faults.push(`anchors are not allowed: &${anchor}`)
      if (tag !== undefined) faults.push(`tags are not allowed: ${tag}`)
    },
  })
  if (faults.length > 0) throw invalid(faults)
  return document.toJS()
}

function invalid(faults: readonly string[]): TouchstoneError {
  const shown = faults.slice(0, MAX_FAULTS)
  const more = faults.length > shown.length ? [`and ${faults.length - shown.length} more`] : []
  return new TouchstoneError('manifest.invalid', [...shown, ...more].join('; '))
}
