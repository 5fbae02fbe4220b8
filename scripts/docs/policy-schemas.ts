import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { schemaText } from '../../src/attest/index.ts'

/** Writes policies/schema from the schemas that policies are read by; a test holds the two together. */

for (const kind of ['AttestationPolicy', 'ReferenceSet', 'PolicyException'] as const) {
  const file = join(import.meta.dirname, '..', '..', 'policies', 'schema', `${kind}.json`)
  writeFileSync(file, schemaText(kind))
}
