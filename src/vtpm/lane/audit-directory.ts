import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from '../ledger/index.ts'

/** Chains are directories below the log's own; the node's is that directory itself. */
export const NODE_CHAIN = '.'
export const REFUSED_CHAIN = 'refused'
/** What the node's AK signs for guests and apps, as often as they ask. */
export const ATTESTATION_CHAIN = 'attestation'
const TENANTS = 'tenants'

export function auditDirectory(stateDir: string): string {
  return join(stateDir, 'audit')
}

/** Names of tenants are names of directories. */
export function tenantChain(tenant: string): string {
  return `${TENANTS}/${tenant}`
}

/** All chains that there are, the node's first. */
export async function listChains(stateDir: string): Promise<readonly string[]> {
  const directory = auditDirectory(stateDir)
  const tenants = await directoriesIn(join(directory, TENANTS))
  return [NODE_CHAIN, ATTESTATION_CHAIN, REFUSED_CHAIN, ...tenants.map(tenantChain)]
}

async function directoriesIn(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort()
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}
