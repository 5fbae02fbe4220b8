import { equalBytes, TouchstoneError, toHex } from '../../core/index.ts'
import { readGrant, type Grant, type MigrationGrant, type RestoreGrant } from '../../wire/index.ts'
import type { LedgerEntry } from '../ledger/index.ts'
import type { GuestContext } from './context.ts'

/** A grant that this broker may act on, once: the ledger keeps the last one of each guest, and only a later one counts. */
export function restoreGrant(context: GuestContext, token: string, expected: Expected): RestoreGrant {
  const grant = genuine(context, token)
  if (grant.kind !== 'restore') throw rejected('it allows a move, not a restore')
  check(grant, expected)
  checkDestination(context, grant)
  return grant
}

/** The same to take a guest in. */
export function importGrant(context: GuestContext, token: string, expected: Expected): MigrationGrant {
  const grant = genuine(context, token)
  if (grant.kind !== 'migrate') throw rejected('it allows a restore, not a move')
  check(grant, expected)
  checkDestination(context, grant)
  return grant
}

/** The same to give a guest away; `isRepeated` where this very grant was used for it already. */
export function exportGrant(
  context: GuestContext,
  token: string,
  expected: Expected,
): { readonly grant: MigrationGrant; readonly isRepeated: boolean } {
  const grant = genuine(context, token)
  if (grant.kind !== 'migrate') throw rejected('it allows a restore, not a move')
  const isRepeated = expected.entry?.state === 'retired' && expected.entry.grant === grant.jti
  check(grant, isRepeated ? { ...expected, entry: undefined } : expected)
  const own = context.options.nodeId()
  if (own === undefined) throw rejected('this node does not know its own id yet; see that its agent is enrolled')
  if (grant.source !== own) throw rejected(`it is for a move away from node ${grant.source}, this is ${own}`)
  if (grant.nodeRef === toHex(context.options.roots.nodeRef)) throw rejected('the guest is on that node already')
  return { grant, isRepeated }
}

interface Expected {
  readonly guest: string
  /** Undefined where nothing on this node says it. */
  readonly tenant: string | undefined
  readonly entry: LedgerEntry | undefined
}

function genuine({ options }: GuestContext, token: string): Grant {
  const key = options.grantKey()
  if (key === undefined) throw rejected('this node does not know the key that grants are signed with yet')
  return readGrant(token, key, options.clock.now())
}

function check(grant: Grant, { guest, tenant, entry }: Expected): void {
  if (grant.guest !== guest) throw rejected(`it is for guest ${grant.guest}`)
  if (tenant !== undefined && grant.tenant !== tenant) {
    throw rejected(`it is for a guest of tenant ${grant.tenant}, this one is of ${tenant}`)
  }
  if (entry?.grant !== undefined && grant.jti <= entry.grant)
    throw rejected('it was used, or is older than one that was')
}

function checkDestination({ options: { roots } }: GuestContext, grant: Grant): void {
  if (grant.nodeRef !== toHex(roots.nodeRef))
    throw rejected('it is for another node, or the TPM of this one was cleared')
  if (!equalBytes(grant.transportKey, roots.transportKey.spki)) throw rejected('it names another transport key')
}

function rejected(why: string): TouchstoneError {
  return new TouchstoneError('guest.grant_rejected', `the grant does not allow this: ${why}`)
}
