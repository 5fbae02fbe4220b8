import { stringify } from 'yaml'
import type { ManifestNode } from '../src/ca/index.ts'
import type { Box } from './box.ts'

/** The row of a box in a manufacturer's manifest: what the verifier is to know of it before it is first switched on. */
export function manifestEntry(box: Box, labels: Readonly<Record<string, string>> = {}): ManifestNode {
  const { model, serial, endorsementKeys } = box
  return { model, serial, eks: endorsementKeys.map(({ spkiSha256 }) => spkiSha256), labels }
}

/** A manifest in YAML, as a verifier in admission mode `manifest` reads it. */
export function manifestText(name: string, nodes: readonly ManifestNode[]): string {
  return stringify({ apiVersion: 'touchstone/v1', kind: 'Manifest', metadata: { name }, spec: { nodes } })
}
